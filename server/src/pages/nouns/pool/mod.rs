//! Pools. The page of one, with its map, is elsewhere.

mod text;

use ipam_shared::{
    api::pool::{NewPool, Pool, PoolFilter, PoolPatch, Strategy},
    cidr::{Cidr, RESERVED_ADDRESSES},
    ids::PoolId,
};

use self::text::{
    cooldown, cut, family, read_cooldown, read_required, read_strategy, required_text, strategy,
};
use super::{
    Editable, Noun, Row, changed, changed_text, of_whole_vrfs, vrf_field, wanted, wanted_label,
};
use crate::{
    db::{self, Connection},
    domain::{Caller, Ipam},
    error::{Error, Result},
    pages::{
        Section,
        duration::in_words,
        form::{Field, Input, Reader},
        labels_text,
        shown::{Fact, Shown},
    },
    rights::{Right, Rights},
};

impl Editable for Pool {
    const PATH: &'static str = "/ui/pools";
    const SECTION: Section = Section::Pools;
    const MANY: &'static str = "Pools";
    const FIELDS: (&'static str, &'static str) = ("name", "ranges");
    const FIELD_NAMES: &'static [(&'static str, &'static str)] = &[
        ("release_cooldown_seconds", "cooldown"),
        ("add_range_prefix_lengths", "cut"),
        ("range_prefix_lengths", "cut"),
    ];
    type Patch = PoolPatch;

    fn called(&self) -> String {
        self.name.clone()
    }

    fn facts(&self) -> Vec<Fact> {
        let length = |length: u8| format!("/{length}");
        vec![
            Fact::new("Name", Shown::text(&self.name)),
            Fact::new("VRF", Shown::text(&self.vrf)),
            Fact::new("Parent", parent(self)),
            Fact::new("Ranges", Shown::cidrs(&self.ranges)),
            Fact::new("Largest block", Shown::text(length(self.min_prefix_length))),
            Fact::new(
                "Smallest block",
                Shown::text(length(self.max_prefix_length)),
            ),
            Fact::new(
                "Usual block",
                Shown::maybe(self.default_prefix_length.map(length)),
            ),
            Fact::new(
                "Reserved addresses",
                Shown::text(format!("{} of each block", self.reserved_addresses)),
            ),
            Fact::new("Strategy", Shown::text(strategy(self.strategy))),
            Fact::new(
                "Cooldown",
                Shown::text(cooldown(self.release_cooldown_seconds)),
            ),
            Fact::new(
                "Required labels",
                Shown::lines(required_text(&self.required_labels).lines()),
            ),
            Fact::new("Labels", Shown::labels(&self.labels)),
            Fact::new("Description", Shown::text(&self.description)),
        ]
    }

    async fn fields(db: &mut Connection, this: Option<&Self>) -> Result<Vec<Field>> {
        let mut fields = vec![Field::text("name", "Name").required()];
        if this.is_none() {
            fields.extend([
                vrf_field(db).await?,
                Field::text("parent", "Parent").hint(
                    "Id or name of a pool of the same VRF from which the ranges are cut; none for ranges of its own.",
                ),
                Field::choice(
                    "family",
                    "Family",
                    [("", "as its ranges or its parent"), ("ipv4", "IPv4"), ("ipv6", "IPv6")]
                        .map(|(value, meaning)| (value.to_owned(), meaning.to_owned())),
                ),
            ]);
        }
        fields.push(Field::lines("ranges", "Ranges").hint(match this {
            None => "One network per line, such as 10.0.0.0/16.",
            Some(_) => {
                "One network per line. One that is missing here is removed if nothing is in it."
            }
        }));
        if this.is_none_or(|pool| pool.parent.is_some()) {
            fields.push(
                Field::text("cut", "More ranges from the parent")
                    .hint("Prefix lengths, such as 20, 22: cut wherever the parent has room."),
            );
        }
        fields.extend([
            Field::number("min_prefix_length", "Largest block")
                .hint("The shortest prefix length that it hands out; 0 for no bound."),
            Field::number("max_prefix_length", "Smallest block").hint(
                "The longest prefix length that it hands out; 32 or 128 if nothing is filled in.",
            ),
            Field::number("default_prefix_length", "Usual block")
                .hint("The prefix length of requests that give none."),
            Field::number("reserved_addresses", "Reserved addresses")
                .hint("Of each block: those that are not for hosts."),
            Field::choice(
                "strategy",
                "Strategy",
                Strategy::ALL.map(|it| (it.as_str().to_owned(), strategy(it).to_owned())),
            ),
            Field::text("cooldown", "Cooldown").hint(
                "How long released blocks stay out of circulation, such as 12h or 7d; meanwhile the same name in the same VPC \
                 gets them back. 0 for not at all.",
            ),
            Field::lines("required_labels", "Required labels").hint(
                "What an allocation must have to get space here: a key per line, or key=value,value.",
            ),
            Field::labels(),
            Field::description(),
        ]);
        Ok(fields)
    }

    fn input(&self) -> Input {
        let ranges: Vec<_> = self.ranges.iter().map(ToString::to_string).collect();
        let usual = self.default_prefix_length.map(|length| length.to_string());
        Input::default()
            .with("name", &self.name)
            .with("ranges", ranges.join("\n"))
            .with("min_prefix_length", self.min_prefix_length.to_string())
            .with("max_prefix_length", self.max_prefix_length.to_string())
            .with("default_prefix_length", usual.unwrap_or_default())
            .with("reserved_addresses", self.reserved_addresses.to_string())
            .with("strategy", self.strategy.as_str())
            .with("cooldown", in_words(self.release_cooldown_seconds.into()))
            .with("required_labels", required_text(&self.required_labels))
            .with("labels", labels_text(&self.labels))
            .with("description", &self.description)
    }

    fn patch(&self, form: &mut Reader<'_>) -> Option<PoolPatch> {
        let new = Self::new(form)?;
        let longest = new.max_prefix_length.unwrap_or(self.family.bits());
        let mut ranges = new.ranges;
        ranges.sort_unstable();
        ranges.dedup();
        let patch = PoolPatch {
            name: (new.name.as_str() != self.name).then_some(new.name),
            ranges: changed(&self.ranges, ranges),
            add_range_prefix_lengths: new.range_prefix_lengths,
            min_prefix_length: changed(&self.min_prefix_length, new.min_prefix_length),
            max_prefix_length: changed(&self.max_prefix_length, longest),
            default_prefix_length: changed(&self.default_prefix_length, new.default_prefix_length),
            reserved_addresses: changed(&self.reserved_addresses, new.reserved_addresses),
            strategy: changed(&self.strategy, new.strategy),
            release_cooldown_seconds: changed(
                &self.release_cooldown_seconds,
                new.release_cooldown_seconds,
            ),
            labels: changed(&self.labels, new.labels),
            required_labels: changed(&self.required_labels, new.required_labels),
            description: changed_text(&self.description, new.description),
        };
        (patch != PoolPatch::default()).then_some(patch)
    }

    async fn update(
        ipam: &Ipam,
        caller: Caller,
        id: PoolId,
        patch: PoolPatch,
        revision: i64,
    ) -> Result<Self> {
        ipam.update_pool(caller, id, patch, Some(revision)).await
    }

    async fn delete(
        ipam: &Ipam,
        caller: Caller,
        id: PoolId,
        _: &Input,
        revision: i64,
    ) -> Result<()> {
        ipam.delete_pool(caller, id, Some(revision)).await
    }

    fn remarks(before: Option<&Self>, after: &Self) -> Vec<String> {
        let mut remarks = Vec::new();
        let Some(before) = before else {
            return remarks;
        };
        remarks.push("Blocks that exist stay as they are.".to_owned());
        if before.name != after.name {
            remarks.push(format!(
                "Profiles and requests that name the pool \"{}\" have to name \"{}\" from then on.",
                before.name, after.name
            ));
        }
        if before.release_cooldown_seconds != after.release_cooldown_seconds {
            remarks.push("Blocks that are cooling down already keep their time.".to_owned());
        }
        if before.facts() == after.facts() {
            remarks.clear();
        }
        remarks
    }

    fn loses(&self) -> Vec<String> {
        vec![match &self.parent {
            Some(parent) => {
                format!(
                    "Nothing is in it. Its ranges go back to the pool \"{parent}\" that they were cut from."
                )
            }
            None => "Nothing is in it. Its ranges belong to no pool afterwards.".to_owned(),
        }]
    }
}

impl Noun for Pool {
    const ABOUT: &'static str = "Named networks of one VRF, from which blocks are cut.";
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("Pool", false),
        ("VRF", false),
        ("Parent", false),
        ("Ranges", false),
        ("Used", true),
        ("Free", true),
        ("Labels", false),
    ];
    type New = NewPool;

    fn may_make(rights: &Rights) -> bool {
        rights.may(Right::Operate) && of_whole_vrfs(rights)
    }

    fn filters() -> Vec<Field> {
        vec![
            Field::text("vrf", "VRF"),
            Field::text("name", "Name"),
            Field::text("parent", "Parent"),
            Field::text("label", "Label").hint("key=value"),
        ]
    }

    async fn list(db: &mut Connection, search: &Input, limit: u16) -> Result<Vec<Row>> {
        let filter = PoolFilter {
            name: wanted(search, "name")?,
            vrf: wanted(search, "vrf")?,
            parent: wanted(search, "parent")?,
            ..PoolFilter::default()
        };
        let label = wanted_label(search)?;
        let label = label.as_ref().map(|(key, value)| (&**key, &**value));
        // No name contains a slash.
        let after = wanted(search, "after")?;
        let after = after.as_deref().map(|place| {
            place.split_once('/').ok_or_else(|| {
                Error::invalid("the address of this page is incomplete; begin at the first page")
            })
        });
        let found = db::pool::list(db, &filter, label, after.transpose()?, limit).await?;
        let rows = found.into_iter().map(|pool| {
            let free = pool.total_addresses.saturating_sub(pool.used_addresses);
            let cells = vec![
                Shown::text(&pool.vrf),
                parent(&pool),
                Shown::cidrs(&pool.ranges[..pool.ranges.len().min(4)]),
                Shown::Share(pool.utilisation),
                Shown::text(crate::text::addresses(free)),
                Shown::labels(&pool.labels),
            ];
            Row {
                cursor: format!("{}/{}", pool.vrf, pool.name),
                ..Row::of(&pool, pool.called(), cells)
            }
        });
        Ok(rows.collect())
    }

    fn state(&self) -> Vec<Fact> {
        Vec::new()
    }

    fn defaults() -> Input {
        Input::default()
            .with("reserved_addresses", RESERVED_ADDRESSES.to_string())
            .with("strategy", Strategy::default().as_str())
            .with("cooldown", "0")
    }

    fn new(form: &mut Reader<'_>) -> Option<NewPool> {
        let name = form.name();
        Some(NewPool {
            vrf: form.optional("vrf"),
            family: family(form),
            parent: match form.input.get("parent") {
                "" => None,
                parent => Some(parent.to_owned()),
            },
            ranges: form.each::<Cidr>("ranges"),
            range_prefix_lengths: cut(form),
            min_prefix_length: form.number("min_prefix_length").unwrap_or_default(),
            max_prefix_length: form.number("max_prefix_length"),
            default_prefix_length: form.number("default_prefix_length"),
            reserved_addresses: form
                .number("reserved_addresses")
                .unwrap_or(RESERVED_ADDRESSES),
            strategy: read_strategy(form),
            release_cooldown_seconds: read_cooldown(form),
            labels: form.labels("labels"),
            required_labels: read_required(form),
            description: form.text("description"),
            // Last, so that everything else was read and found wrong before.
            name: name?,
        })
    }

    async fn make(ipam: &Ipam, caller: Caller, new: NewPool) -> Result<(Self, bool)> {
        ipam.create_pool(caller, new).await
    }
}

fn parent(pool: &Pool) -> Shown {
    match (&pool.parent, pool.parent_id) {
        (Some(name), Some(id)) => Shown::Link(format!("/ui/pools/{id}"), name.clone()),
        (name, _) => Shown::maybe(name.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::nouns::filled;

    #[test]
    fn every_mistake_is_found_in_one_go() {
        let input = filled(&[
            ("name", ""),
            ("family", "ipx"),
            ("ranges", "10.0.0.0/33"),
            ("cut", "x"),
            ("strategy", "worst_fit"),
            ("cooldown", "soon"),
        ]);
        let mut form = Reader::new(&input);
        assert!(Pool::new(&mut form).is_none());
        let names = ["name", "family", "ranges", "cut", "strategy", "cooldown"];
        let fields: Vec<_> = names.map(|name| Field::text(name, "")).into();
        let fields = crate::pages::form::fill(fields, &input, &form.problems);
        assert!(fields.iter().all(|field| field.problem.is_some()));
    }
}
