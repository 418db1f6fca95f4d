//! Changes of an allocation, and its release. How one is made, and its own page, are elsewhere.

use ipam_shared::{
    api::allocation::{Allocation, AllocationPatch},
    ids::AllocationId,
};

use super::{Editable, Outlook, changed, changed_text};
use crate::{
    db::{self, Connection},
    domain::{Caller, Ipam},
    error::Result,
    pages::{
        Section,
        allocations::SUGGESTIONS,
        form::{Field, Input, Reader},
        freed, labels_text,
        shown::{Fact, Shown},
    },
    text,
};

impl Editable for Allocation {
    const PATH: &'static str = "/ui/allocations";
    const SECTION: Section = Section::Allocations;
    const MANY: &'static str = "Allocations";
    const FIELDS: (&'static str, &'static str) = ("name", "hosts");
    const END: (&'static str, &'static str, &'static str) = ("Release", "release", "released");
    type Patch = AllocationPatch;

    fn called(&self) -> String {
        match &self.name {
            Some(name) => name.to_string(),
            None => format!("#{}", self.number),
        }
    }

    fn facts(&self) -> Vec<Fact> {
        let mut facts = vec![
            Fact::new("VPC", Shown::text(&self.vpc)),
            Fact::new("Name", Shown::maybe(self.name.as_ref())),
            Fact::new("Asked for", Shown::text(asked_for(self))),
        ];
        for block in &self.blocks {
            facts.push(Fact::new(
                format!("Range {}", block.role),
                Shown::Lines(vec![
                    block.cidr.to_string(),
                    format!(
                        "{} usable, from pool {}",
                        text::addresses(block.usable),
                        block.pool
                    ),
                ]),
            ));
        }
        let protected = if self.deletion_protection {
            "yes: it can't be released"
        } else {
            "no"
        };
        facts.extend([
            Fact::new("Labels", Shown::labels(&self.labels)),
            Fact::new("Description", Shown::text(&self.description)),
            Fact::new("Protected from deletion", Shown::text(protected)),
        ]);
        facts
    }

    async fn fields(db: &mut Connection, _: Option<&Self>) -> Result<Vec<Field>> {
        Ok(vec![
            Field::text("vpc", "VPC")
                .suggesting(db::search::vpc_names(db, SUGGESTIONS).await?)
                .hint("Of the same VRF; the ranges stay. One that does not exist yet is created.")
                .required(),
            Field::text("name", "Name").hint("Unique within the VPC. A name can be changed, and not removed."),
            Field::number("hosts", "Hosts").hint(
                "Another size, in place: the ranges grow if the space beside them is free, and shrink to their lower end. Give \
                 hosts or a prefix length.",
            ),
            Field::number("prefix_length", "Prefix length").hint("Of the first range."),
            Field::labels(),
            Field::description(),
            Field::check("protect", "Protect from deletion"),
        ])
    }

    fn input(&self) -> Input {
        let number = |number: Option<u64>| number.map(|it| it.to_string()).unwrap_or_default();
        Input::default()
            .with("vpc", self.vpc.as_str())
            .with("name", self.name.as_ref().map_or("", |name| name.as_str()))
            .with("hosts", number(self.requested_hosts))
            .with(
                "prefix_length",
                number(self.requested_prefix_length.map(u64::from)),
            )
            .with("labels", labels_text(&self.labels))
            .with("description", &self.description)
            .with("protect", if self.deletion_protection { "on" } else { "" })
    }

    fn patch(&self, form: &mut Reader<'_>) -> Option<AllocationPatch> {
        let name = form.optional("name");
        if self.name.is_some() && form.input.get("name").is_empty() {
            form.wrong("name", "a name can be changed, and not removed");
        }
        let patch = AllocationPatch {
            vpc: form.parsed("vpc").and_then(|vpc| changed(&self.vpc, vpc)),
            name: name.filter(|name| self.name.as_ref() != Some(name)),
            hosts: form
                .number("hosts")
                .filter(|it| self.requested_hosts != Some(*it)),
            prefix_length: form
                .number("prefix_length")
                .filter(|it| self.requested_prefix_length != Some(*it)),
            labels: changed(&self.labels, form.labels("labels")),
            description: changed_text(&self.description, form.text("description")),
            deletion_protection: changed(
                &self.deletion_protection,
                form.input.has("protect", "on"),
            ),
            dry_run: false,
        };
        (patch != AllocationPatch::default()).then_some(patch)
    }

    async fn update(
        ipam: &Ipam,
        caller: Caller,
        id: AllocationId,
        patch: AllocationPatch,
        revision: i64,
    ) -> Result<Self> {
        // A dry run locks nothing.
        let patch = AllocationPatch {
            dry_run: ipam.is_rehearsal(),
            ..patch
        };
        ipam.update(caller, id, patch, Some(revision)).await
    }

    async fn delete(
        ipam: &Ipam,
        caller: Caller,
        id: AllocationId,
        _: &Input,
        revision: i64,
    ) -> Result<()> {
        ipam.release(caller, id, Some(revision)).await
    }

    fn remarks(before: Option<&Self>, after: &Self) -> Vec<String> {
        let Some(before) = before else {
            return Vec::new();
        };
        let mut remarks = Vec::new();
        if before.blocks == after.blocks && before.vpc != after.vpc {
            remarks.push("The ranges stay the same.".to_owned());
        }
        if before.prefix_length < after.prefix_length {
            remarks.push("Whatever still uses the addresses that it gives up will clash with their next owner.".to_owned());
        }
        remarks
    }

    /// Read and not rehearsed: that would hold the locks of its pools.
    async fn outlook(&self, ipam: &Ipam, _: Caller) -> Result<Outlook> {
        let mut outlook = Outlook::default();
        if self.deletion_protection {
            outlook.refusal =
                Some("It is protected from deletion. Switch that off first.".to_owned());
        }
        let mut db = ipam.read().await?;
        let ahead = db::cooldown::ahead(&mut db, self.vpc_id, Some(self.id)).await?;
        outlook.sentences = vec![format!(
            "VPC \"{}\" loses {}. This can't be undone.",
            self.vpc,
            match self.blocks.len() {
                1 => "this range".to_owned(),
                count => format!("these {count} ranges"),
            }
        )];
        outlook.sentences.extend(freed::told(&ahead));
        outlook.sentences.push(
            "Whatever still uses these addresses will clash with their next owner.".to_owned(),
        );
        Ok(outlook)
    }
}

/// The size as it was asked for.
pub(in crate::pages) fn asked_for(allocation: &Allocation) -> String {
    let Allocation {
        requested_hosts,
        requested_prefix_length,
        requested_cidr,
        ..
    } = allocation;
    match (requested_hosts, requested_prefix_length, requested_cidr) {
        (Some(hosts), ..) => format!("{} hosts", text::thousands(*hosts)),
        (_, Some(length), _) => format!("/{length}"),
        (.., Some(cidr)) => cidr.to_string(),
        _ => "the pool's usual size".to_owned(),
    }
}
