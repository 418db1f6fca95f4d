//! VRFs.

use ipam_shared::{
    api::vrf::{NewVrf, Vrf, VrfFilter, VrfPatch},
    ids::VrfId,
};

use super::{Editable, Noun, Row, after, called_like, changed, changed_text, of_whole_vrfs};
use crate::{
    db::{self, Connection},
    domain::{Caller, Ipam},
    error::Result,
    pages::{
        Section,
        form::{Field, Input, Reader},
        labels_text, query_value,
        shown::{Fact, Shown},
    },
    rights::{Right, Rights},
};

impl Editable for Vrf {
    const PATH: &'static str = "/ui/vrfs";
    const SECTION: Section = Section::Vrfs;
    const MANY: &'static str = "VRFs";
    type Patch = VrfPatch;

    fn may_change(rights: &Rights) -> bool {
        rights.may(Right::Operate) && of_whole_vrfs(rights)
    }

    fn called(&self) -> String {
        self.name.to_string()
    }

    fn facts(&self) -> Vec<Fact> {
        vec![
            Fact::new("Name", Shown::text(&self.name)),
            Fact::new("Labels", Shown::labels(&self.labels)),
            Fact::new("Description", Shown::text(&self.description)),
        ]
    }

    async fn fields(_: &mut Connection, _: Option<&Self>) -> Result<Vec<Field>> {
        Ok(vec![
            Field::text("name", "Name").required(),
            Field::labels(),
            Field::description(),
        ])
    }

    fn input(&self) -> Input {
        Input::default()
            .with("name", self.name.as_str())
            .with("labels", labels_text(&self.labels))
            .with("description", &self.description)
    }

    fn patch(&self, form: &mut Reader<'_>) -> Option<VrfPatch> {
        let new = Self::new(form)?;
        let patch = VrfPatch {
            name: changed(&self.name, new.name),
            labels: changed(&self.labels, new.labels),
            description: changed_text(&self.description, new.description),
        };
        (patch != VrfPatch::default()).then_some(patch)
    }

    async fn update(
        ipam: &Ipam,
        caller: Caller,
        id: VrfId,
        patch: VrfPatch,
        revision: i64,
    ) -> Result<Self> {
        ipam.update_vrf(caller, id, patch, Some(revision)).await
    }

    async fn delete(
        ipam: &Ipam,
        caller: Caller,
        id: VrfId,
        _: &Input,
        revision: i64,
    ) -> Result<()> {
        ipam.delete_vrf(caller, id, Some(revision)).await
    }

    fn remarks(before: Option<&Self>, after: &Self) -> Vec<String> {
        match before {
            Some(before) if before.name != after.name => vec![format!(
                "Everything in it stays. Requests and configurations that name the VRF \"{}\" have to name \"{}\" from then on.",
                before.name, after.name
            )],
            _ => Vec::new(),
        }
    }

    fn loses(&self) -> Vec<String> {
        let mut sentences =
            vec!["Nothing is in it that anybody manages, so no network is given back.".to_owned()];
        if self.vpcs > 0 {
            let are = if self.vpcs == 1 { "VPC is" } else { "VPCs are" };
            sentences.push(format!(
                "{} {are} deleted with it: made on first use, empty, and managed by nobody.",
                self.vpcs
            ));
        }
        sentences
    }
}

impl Noun for Vrf {
    const ABOUT: &'static str =
        "An isolated address space: the same network may exist once in each.";
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("VRF", false),
        ("Description", false),
        ("Pools", true),
        ("VPCs", true),
        ("Reservations", true),
        ("Labels", false),
        ("Created", false),
    ];
    type New = NewVrf;

    async fn list(db: &mut Connection, search: &Input, limit: u16) -> Result<Vec<Row>> {
        let found = match called_like(db, "vrf", search, limit).await? {
            Some(ids) => {
                let mut found = Vec::new();
                for id in ids {
                    found.extend(db::vrf::get(db, VrfId(id)).await?);
                }
                found
            }
            None => db::vrf::list(db, &VrfFilter::default(), after(search)?, limit).await?,
        };
        let rows = found.into_iter().map(|vrf| {
            let mut cells = vec![Shown::text(&vrf.description)];
            cells.extend(counts(&vrf).into_iter().map(|fact| fact.value));
            cells.extend([Shown::labels(&vrf.labels), Shown::Time(vrf.created_at)]);
            Row::of(&vrf, vrf.called(), cells)
        });
        Ok(rows.collect())
    }

    fn state(&self) -> Vec<Fact> {
        counts(self)
    }

    fn new(form: &mut Reader<'_>) -> Option<NewVrf> {
        let (name, labels) = (form.name(), form.labels("labels"));
        let description = form.text("description");
        Some(NewVrf {
            name: name?,
            labels,
            description,
        })
    }

    async fn make(ipam: &Ipam, caller: Caller, new: NewVrf) -> Result<(Self, bool)> {
        ipam.create_vrf(caller, new).await
    }
}

/// What is in it, each count leading to what was counted.
fn counts(vrf: &Vrf) -> Vec<Fact> {
    let name = query_value(vrf.name.as_str());
    vec![
        Fact::new(
            "Pools",
            Shown::count(vrf.pools, format!("/ui/pools?vrf={name}")),
        ),
        Fact::new("VPCs", Shown::text(vrf.vpcs)),
        Fact::new(
            "Reservations",
            Shown::count(vrf.reservations, format!("/ui/reservations?vrf={name}")),
        ),
    ]
}
