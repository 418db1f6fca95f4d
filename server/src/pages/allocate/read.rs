//! How the form that asks for space is read: the sizes that it offers, and the request that it makes.

use ipam_shared::{
    api::allocation::{NewAllocation, Recipe, Size},
    cidr::{Cidr, usable_hosts},
};

use crate::{
    db::Connection,
    domain::{Ipam, address_plan::Source},
    pages::form::{Input, Reader},
    text,
};

/// A line of the list of prefix lengths.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SizeOption {
    pub(super) prefix_length: u8,
    pub(super) usable: u128,
    pub(super) label: String,
}

/// The prefix lengths that are possible from where it is asked for; none if that does not exist.
pub(super) async fn suggested(ipam: &Ipam, db: &mut Connection, input: &Input) -> Vec<SizeOption> {
    let Ok(plan) = ipam.current_address_plan(db).await else {
        return Vec::new();
    };
    let mut form = Reader::new(input);
    let (profile, pools) = (form.optional("profile"), names(&form, "pools"));
    let recipe = match (profile, pools) {
        (Some(profile), _) => Recipe::Profile(profile),
        (None, Some(pools)) => Recipe::Pools(pools),
        (None, None) => Recipe::default(),
    };
    let vrf = plan.vrf(form.optional("vrf").as_ref());
    let choice = vrf.and_then(|vrf| plan.choice(&recipe, vrf));
    let Ok(choice) = choice else {
        return Vec::new();
    };
    sizes(choice.options.first().map_or(&[], Vec::as_slice))
}

/// The prefix lengths that every member of the profile can give, and what each means.
fn sizes(members: &[Source]) -> Vec<SizeOption> {
    let bounds = |member: &Source| {
        let (shortest, longest) = member.bounds();
        (
            i16::from(shortest) - member.size_offset,
            i16::from(longest) - member.size_offset,
        )
    };
    let Some(shortest) = members.iter().map(|member| bounds(member).0).max() else {
        return Vec::new();
    };
    let longest = members
        .iter()
        .map(|member| bounds(member).1)
        .min()
        .unwrap_or(shortest);
    (shortest..=longest)
        .filter_map(|length| {
            let prefix_length = u8::try_from(length).ok()?;
            let mut parts = Vec::new();
            let mut first = None;
            for member in members {
                let length = u8::try_from(length + member.size_offset).ok()?;
                let usable =
                    usable_hosts(member.pool.family, length, member.pool.reserved_addresses);
                let total = usable_hosts(member.pool.family, length, 0);
                first.get_or_insert(usable);
                parts.push(format!(
                    "{} /{length}: {} addresses, {} usable",
                    member.role,
                    text::addresses(total),
                    text::addresses(usable)
                ));
            }
            Some(SizeOption {
                prefix_length,
                usable: first?,
                label: format!("/{prefix_length} ({})", parts.join("; ")),
            })
        })
        .collect()
}

/// The lines of a field, if there are any.
fn names(form: &Reader<'_>, field: &'static str) -> Option<Vec<String>> {
    let names: Vec<_> = form
        .input
        .get(field)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    (!names.is_empty()).then_some(names)
}

/// The request of a form.
pub(super) fn read(form: &mut Reader<'_>) -> Option<NewAllocation> {
    let (vpc, size) = (form.parsed("vpc"), size(form));
    let selector = form.labels("pool_selector");
    let new = NewAllocation {
        name: form.optional("name"),
        vrf: form.optional("vrf"),
        profile: form.optional("profile"),
        pools: names(form, "pools"),
        pool_selector: (!selector.is_empty()).then_some(selector),
        exclude_cidrs: form.each::<Cidr>("exclude_cidrs"),
        labels: form.labels("labels"),
        description: form.text("description"),
        deletion_protection: form.input.has("protect", "on"),
        ..NewAllocation::new(vpc?, size?)
    };
    if new.size().is_err() {
        form.wrong(
            "size",
            "only pools have a usual size: name pools, or labels of pools, below",
        );
    } else if let Err(error) = new.recipe() {
        form.wrong("profile", error);
    }
    Some(new)
}

fn size(form: &mut Reader<'_>) -> Option<Size> {
    let input = form.input;
    let size = match input.get("by") {
        "default" => Ok(Size::Default),
        "prefix_length" => {
            let length = input.get("prefix_length").trim_start_matches('/').parse();
            length
                .map(Size::PrefixLength)
                .map_err(|_| "give a prefix length, such as 24".to_owned())
        }
        "cidr" => {
            let cidr = input.get("cidr").parse();
            cidr.map(Size::Cidr)
                .map_err(|error: ipam_shared::cidr::CidrError| error.to_string())
        }
        _ => {
            // With thousands separators.
            let digits = input.get("hosts").replace([',', '_', ' '], "");
            let hosts = digits.parse().ok().filter(|hosts| *hosts > 0);
            hosts
                .map(Size::Hosts)
                .ok_or_else(|| "give the number of hosts, 1 or more".to_owned())
        }
    };
    size.map_err(|problem| form.wrong("size", problem)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::form::{Field, fill};

    fn filled(pairs: &[(&str, &str)]) -> Input {
        pairs.iter().fold(Input::default(), |input, (name, value)| {
            input.with(name, *value)
        })
    }

    #[test]
    fn the_list_says_what_each_length_gives() {
        let sizes = sizes(&[
            Source::example("primary", 0, (20, 26)),
            Source::example("cgnat", -5, (15, 21)),
        ]);
        assert_eq!(sizes.len(), 7);
        assert_eq!(sizes[0].usable, 4091);
        assert_eq!(
            sizes[3].label,
            "/23 (primary /23: 512 addresses, 507 usable; cgnat /18: 16,384 addresses, 16,379 usable)"
        );
        assert_eq!(super::sizes(&[]), []);
    }

    #[test]
    fn the_size_is_that_of_the_chosen_kind() {
        let of = |by: &str, hosts: &str| {
            let input = filled(&[
                ("by", by),
                ("hosts", hosts),
                ("prefix_length", "/24"),
                ("cidr", "10.0.0.0/24"),
            ]);
            size(&mut Reader::new(&input))
        };
        assert_eq!(of("hosts", "1,000"), Some(Size::Hosts(1000)));
        assert_eq!(of("prefix_length", ""), Some(Size::PrefixLength(24)));
        assert_eq!(
            of("cidr", ""),
            Some(Size::Cidr("10.0.0.0/24".parse().unwrap()))
        );
        assert_eq!(of("default", ""), Some(Size::Default));
        assert_eq!(of("hosts", "0"), None);
        assert_eq!(of("hosts", "-1"), None);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let long = "x".repeat(1001);
        let input = filled(&[
            ("vpc", "v"),
            ("hosts", "5"),
            ("name", "a/b"),
            ("labels", "oops"),
            ("exclude_cidrs", "nothing"),
            ("description", &long),
        ]);
        let mut form = Reader::new(&input);
        read(&mut form);
        let names = ["name", "labels", "exclude_cidrs", "description"];
        let fields = names.map(|name| Field::text(name, "")).to_vec();
        let fields = fill(fields, &input, &form.problems);
        assert!(fields.iter().all(|field| field.problem.is_some()));
        let input = filled(&[("vpc", ""), ("hosts", "")]);
        let mut form = Reader::new(&input);
        assert_eq!(read(&mut form), None);
        let fields = vec![Field::text("vpc", ""), Field::text("size", "")];
        let fields = fill(fields, &input, &form.problems);
        assert_eq!(
            fields[0].problem.as_deref(),
            Some("A name must not be empty.")
        );
        assert!(fields[1].problem.is_some());
    }

    #[test]
    fn space_comes_from_one_place_only() {
        let ask = |pairs: &[(&str, &str)]| {
            let input = filled(pairs);
            let mut form = Reader::new(&input);
            read(&mut form);
            form.problems.is_empty()
        };
        let vpc = ("vpc", "v");
        assert!(ask(&[vpc, ("hosts", "5"), ("pools", "a\nb")]));
        assert!(ask(&[vpc, ("by", "default"), ("pools", "a")]));
        assert!(!ask(&[vpc, ("by", "default")]));
        assert!(!ask(&[
            vpc,
            ("hosts", "5"),
            ("pools", "a"),
            ("profile", "p")
        ]));
    }
}
