//! The size of an allocation: the three ways to ask for it, and which change of it needs another block.

use ipam_shared::{
    api::{
        allocation::Size,
        profile::{DEFAULT_PROFILE, MAX_PREFIX_LENGTH, MIN_PREFIX_LENGTH},
    },
    cidr::Cidr,
};
use tfplugin::{Context, Diagnostic, Field, Plan, Result, Text, Value};

use super::ranges;
use crate::{
    provider::Connection,
    sizing::{node_prefix_length, resized_prefix_length},
};

/// The three ways to ask for a size.
const SIZES: [&str; 3] = ["hosts", "prefix_length", "cidr"];

/// Refuses none or more than one size. One that is not known yet counts as given.
pub(super) fn check_given(ctx: &Context<Connection>, config: &Value) {
    let given: Vec<&str> = SIZES
        .into_iter()
        .filter(|name| !config.get(name).is_null())
        .collect();
    match given.as_slice() {
        [_] => {}
        [] => ctx.report(
            Diagnostic::error(
                "How much space?",
                "Exactly one of hosts, prefix_length and cidr must be set; none is.",
            )
            .at("hosts"),
        ),
        [first, rest @ ..] => {
            // A value that is not known yet may turn out to be null.
            let certain = rest.iter().filter(|name| !config.get(name).is_unknown());
            for name in certain.filter(|_| !config.get(first).is_unknown()) {
                ctx.report(
                    Diagnostic::error(
                        "The size is given twice",
                        format!("Exactly one of hosts, prefix_length and cidr may be set, but there are {first} and {name}."),
                    )
                    .at(*name),
                );
            }
        }
    }
}

/// Refuses sizes that can't be, and those that the built-in profile does not give.
pub(super) fn check_value(config: &Value) -> Result<()> {
    let profile: Field<String> = config.attribute("profile")?;
    let built_in = match &profile {
        Field::Null => true,
        Field::Unknown => false,
        Field::Known(name) => name == DEFAULT_PROFILE,
    };
    let refuse = |name: &str, reason: String| -> Result<()> {
        Err(Diagnostic::error("Unsuitable size", reason).at(name).into())
    };
    if let Field::Known(hosts) = config.attribute::<Field<u64>>("hosts")? {
        let outcome = if built_in {
            node_prefix_length(hosts).map(drop)
        } else if hosts == 0 {
            Err("There must be at least 1 host.".to_owned())
        } else {
            Ok(())
        };
        if let Err(reason) = outcome {
            return refuse("hosts", reason);
        }
    }
    let mut prefix_length: Field<u8> = config.attribute("prefix_length")?;
    let mut name = "prefix_length";
    if let Field::Known(text) = config.attribute::<Field<String>>("cidr")? {
        let Text(cidr): Text<Cidr> = config.attribute("cidr")?;
        if cidr.to_string() != text {
            return refuse(
                "cidr",
                format!("Write {text} as {cidr}, so that it stays the same when it is read back."),
            );
        }
        (prefix_length, name) = (Field::Known(cidr.prefix_length()), "cidr");
    }
    match prefix_length {
        Field::Known(length)
            if built_in && !(MIN_PREFIX_LENGTH..=MAX_PREFIX_LENGTH).contains(&length) =>
        {
            refuse(
                name,
                format!(
                    "A /{length} is outside the bounds of the profile {DEFAULT_PROFILE}: its node ranges are \
                 /{MIN_PREFIX_LENGTH} (the largest) to /{MAX_PREFIX_LENGTH}."
                ),
            )
        }
        Field::Known(length) if length > 128 => {
            refuse(name, format!("/{length} is not a prefix length."))
        }
        _ => Ok(()),
    }
}

/// Replaces the allocation when the new size needs another block, and says why. Returns whether it does.
pub(super) fn plan(ctx: &Context<Connection>, plan: &mut Plan) -> Result<bool> {
    let Some(prior) = plan.prior.clone() else {
        return Ok(false);
    };
    let Text(now): Text<Cidr> = prior.attribute("cidr")?;
    let consequence = format!(
        "A block can't change its size or place, so this allocation is released with {}, and a new one is allocated, \
         most likely elsewhere. Whatever uses the old ranges must move.",
        ranges(&prior)
    );
    for size in SIZES {
        if plan.planned.get(size).is_unknown() {
            ctx.report(
                Diagnostic::warning(
                    format!("It is not known yet whether {now} is large enough"),
                    format!(
                        "The value of {size} is known only after apply. If it turns out to need another block, the \
                         apply stops (\"inconsistent final plan\") before anything happens to the allocation, and the \
                         next plan shows the replacement."
                    ),
                )
                .at(size),
            );
        }
    }
    let mut reasons = Vec::new();
    if plan.changes("hosts")
        && let Field::Known(hosts) = plan.planned::<Field<u64>>("hosts")?
    {
        let usable = first_usable(&prior, now);
        let profile: String = prior.attribute("profile")?;
        let needed = usable.and_then(|usable| resized_prefix_length(now, usable, hosts, &profile));
        if needed != Some(now.prefix_length()) {
            let needs = needed.map_or_else(
                || "more than there can be".to_owned(),
                |length| format!("a /{length}"),
            );
            reasons.push(("hosts", format!("{hosts} hosts need {needs}")));
        }
    }
    if plan.changes("prefix_length")
        && let Field::Known(length) = plan.planned::<Field<u8>>("prefix_length")?
    {
        reasons.push(("prefix_length", format!("A /{length} is wanted")));
    }
    if plan.changes("cidr")
        && let Field::Known(cidr) = plan.planned::<Field<String>>("cidr")?
    {
        reasons.push(("cidr", format!("{cidr} is wanted")));
    }
    let replaced = !reasons.is_empty();
    for (size, reason) in reasons {
        plan.replace(
            size,
            format!("{reason}, but the allocation has {now}. {consequence}"),
        );
    }
    Ok(replaced)
}

/// Addresses for hosts in the block `first`, as the state has them.
fn first_usable(state: &Value, first: Cidr) -> Option<u64> {
    let blocks = state.get("blocks").as_map()?;
    let block = blocks
        .values()
        .find(|block| block.get("cidr").as_str() == Some(&first.to_string()))?;
    block.attribute("usable").ok()
}

/// The one size that the configuration gives.
pub(super) fn asked(config: &Value) -> Result<Size> {
    let hosts: Option<u64> = config.attribute("hosts")?;
    let prefix_length: Option<u8> = config.attribute("prefix_length")?;
    let cidr: Option<Text<Cidr>> = config.attribute("cidr")?;
    match (hosts, prefix_length, cidr) {
        (Some(hosts), None, None) => Ok(Size::Hosts(hosts)),
        (None, Some(length), None) => Ok(Size::PrefixLength(length)),
        (None, None, Some(Text(cidr))) => Ok(Size::Cidr(cidr)),
        _ => Err(Diagnostic::error(
            "How much space?",
            "Exactly one of hosts, prefix_length and cidr must be set; now that all of them are known, it is not so.",
        )
        .into()),
    }
}
