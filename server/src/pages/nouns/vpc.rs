//! VPCs. A deletion takes the allocations with it, so what it shows is counted and compared when it is confirmed.

use ipam_shared::{
    api::{
        allocation::AllocationFilter,
        vpc::{NewVpc, Vpc, VpcPatch},
    },
    ids::VpcId,
};

use super::{Editable, Noun, Outlook, Row, after, changed, changed_text, vrf_field, wanted};
use crate::{
    db::{self, Connection},
    domain::{Caller, Ipam},
    error::{Error, Result},
    pages::{
        Section, allocations,
        form::{Field, Input, Reader},
        freed, labels_text, query_value,
        shown::{Fact, Shown},
    },
};

/// Allocations that the confirmation of a deletion names.
const NAMED: u16 = 20;

impl Editable for Vpc {
    const PATH: &'static str = "/ui/vpcs";
    const SECTION: Section = Section::Vpcs;
    const MANY: &'static str = "VPCs";
    type Patch = VpcPatch;

    fn called(&self) -> String {
        self.name.to_string()
    }

    fn facts(&self) -> Vec<Fact> {
        vec![
            Fact::new("Name", Shown::text(&self.name)),
            Fact::new("VRF", Shown::text(&self.vrf)),
            Fact::new("Labels", Shown::labels(&self.labels)),
            Fact::new("Description", Shown::text(&self.description)),
        ]
    }

    async fn fields(db: &mut Connection, this: Option<&Self>) -> Result<Vec<Field>> {
        let mut fields = vec![
            Field::text("name", "Name")
                .hint("Unique, whatever its case.")
                .required(),
        ];
        if this.is_none() {
            fields.push(vrf_field(db).await?);
        }
        fields.extend([Field::labels(), Field::description()]);
        Ok(fields)
    }

    fn input(&self) -> Input {
        Input::default()
            .with("name", self.name.as_str())
            .with("labels", labels_text(&self.labels))
            .with("description", &self.description)
    }

    fn patch(&self, form: &mut Reader<'_>) -> Option<VpcPatch> {
        let new = Self::new(form)?;
        let patch = VpcPatch {
            name: changed(&self.name, new.name),
            labels: changed(&self.labels, new.labels),
            description: changed_text(&self.description, new.description),
        };
        (patch != VpcPatch::default()).then_some(patch)
    }

    async fn update(
        ipam: &Ipam,
        caller: Caller,
        id: VpcId,
        patch: VpcPatch,
        revision: i64,
    ) -> Result<Self> {
        ipam.update_vpc(caller, id, patch, Some(revision)).await
    }

    async fn delete(
        ipam: &Ipam,
        caller: Caller,
        id: VpcId,
        shown: &Input,
        revision: i64,
    ) -> Result<()> {
        let now = db::vpc::get(&mut ipam.read().await?, id).await?;
        let now = now.map_or(0, |vpc| vpc.allocations);
        if shown.get("allocations").parse() != Ok(now) {
            return Err(Error::Stale { now: revision });
        }
        // Nothing was to be released, so what was added in between stays.
        ipam.delete_vpc(caller, id, now > 0, Some(revision)).await?;
        Ok(())
    }

    fn remarks(before: Option<&Self>, after: &Self) -> Vec<String> {
        match before {
            Some(before) if before.name != after.name => vec![format!(
                "Its allocations stay. Requests and configurations that name the VPC \"{}\" have to name \"{}\" from then on.",
                before.name, after.name
            )],
            _ => Vec::new(),
        }
    }

    /// Counted and not rehearsed: that would hold the locks of all its pools for as long as the deletion takes.
    async fn outlook(&self, ipam: &Ipam, _: Caller) -> Result<Outlook> {
        let mut db = ipam.read().await?;
        let mut outlook = Outlook {
            shown: vec![("allocations".to_owned(), self.allocations.to_string())],
            ..Outlook::default()
        };
        if self.allocations == 0 {
            outlook.sentences = vec!["It has no allocations, so no range is released.".to_owned()];
            return Ok(outlook);
        }
        let ahead = db::cooldown::ahead(&mut db, self.id, None).await?;
        let protected = db::vpc::protected(&mut db, self.id).await?;
        if protected > 0 {
            let are = if protected == 1 { "is" } else { "are" };
            outlook.refusal = Some(format!(
                "{protected} of its allocations {are} protected from deletion, so it can't be deleted. Switch the protection off first."
            ));
        }
        outlook.sentences = vec![match self.allocations {
            1 => "Its allocation is released with it. This can't be undone.".to_owned(),
            count => format!("Its {count} allocations are released with it. This can't be undone."),
        }];
        outlook.sentences.extend(freed::told(&ahead));
        let filter = AllocationFilter {
            vpc: Some(self.name.to_string()),
            ..AllocationFilter::default()
        };
        let ids = db::search::allocations(&mut db, &filter, None, None, None, NAMED).await?;
        outlook.lost = allocations::load(&mut db, &ids)
            .await?
            .into_iter()
            .map(|it| {
                let name = it
                    .name
                    .as_ref()
                    .map_or_else(|| format!("#{}", it.number), ToString::to_string);
                let cidrs: Vec<_> = it
                    .blocks
                    .iter()
                    .map(|block| block.cidr.to_string())
                    .collect();
                (format!("/ui/allocations/{}", it.id), name, cidrs.join(", "))
            })
            .collect();
        let named = i64::try_from(outlook.lost.len()).unwrap_or(i64::MAX);
        outlook.more = self.allocations.saturating_sub(named).max(0);
        Ok(outlook)
    }
}

impl Noun for Vpc {
    const ABOUT: &'static str =
        "Whom the space is for. A VPC is also created with its first allocation.";
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("VPC", false),
        ("VRF", false),
        ("Description", false),
        ("Allocations", true),
        ("Created", false),
    ];
    type New = NewVpc;

    fn filters() -> Vec<Field> {
        vec![Field::text("q", "Part of the name")]
    }

    async fn list(db: &mut Connection, search: &Input, limit: u16) -> Result<Vec<Row>> {
        let text = wanted(search, "q")?;
        let found = db::search::vpcs(db, text.as_deref(), after(search)?, limit).await?;
        let rows = found.into_iter().map(|vpc| {
            let count = i64::try_from(vpc.allocations).unwrap_or(i64::MAX);
            let cells = vec![
                Shown::text(&vpc.vrf),
                Shown::text(&vpc.description),
                Shown::count(count, of(&vpc.name)),
                Shown::Time(vpc.created_at),
            ];
            Row::at::<Self>(vpc.id.to_string(), vpc.name, cells)
        });
        Ok(rows.collect())
    }

    fn state(&self) -> Vec<Fact> {
        let name = query_value(self.name.as_str());
        vec![
            Fact::new(
                "Allocations",
                Shown::count(self.allocations, of(self.name.as_str())),
            ),
            Fact::new(
                "Ask for space",
                Shown::Link(
                    format!(
                        "/ui/allocations/new?vpc={name}&vrf={}",
                        query_value(&self.vrf)
                    ),
                    "New allocation".to_owned(),
                ),
            ),
            Fact::new(
                "Managed",
                Shown::text(if self.implicit {
                    "no: it was created on first use, and goes with its VRF once it is empty"
                } else {
                    "yes"
                }),
            ),
        ]
    }

    fn new(form: &mut Reader<'_>) -> Option<NewVpc> {
        let name = form.name();
        Some(NewVpc {
            vrf: form.optional("vrf"),
            labels: form.labels("labels"),
            description: form.text("description"),
            name: name?,
        })
    }

    async fn make(ipam: &Ipam, caller: Caller, new: NewVpc) -> Result<(Self, bool)> {
        ipam.create_vpc(caller, new).await
    }
}

/// The list of a VPC's allocations.
fn of(name: &str) -> String {
    format!("/ui/allocations?vpc={}", query_value(name))
}
