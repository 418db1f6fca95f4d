//! The limits of a token, as a form has them.

use ipam_shared::{
    api::token::Limits,
    quotas::{Quotas, quota},
};

use crate::pages::{
    form::Reader,
    shown::{Fact, Shown},
};

/// What a token is limited to.
pub(in crate::pages) fn limits(limits: &Limits) -> Vec<Fact> {
    let patterns = limits.vpcs.iter().map(|pattern| pattern.as_str());
    vec![
        Fact::new("Only VRFs", Shown::lines(&limits.vrfs)),
        Fact::new("Only pools", Shown::lines(&limits.pools)),
        Fact::new("Only profiles", Shown::lines(&limits.profiles)),
        Fact::new("Only VPCs", Shown::lines(patterns)),
        Fact::new("Only allocations labelled", Shown::labels(&limits.labels)),
        Fact::new("Quotas", Shown::lines(quotas(limits))),
    ]
}

pub(super) fn read_limits(form: &mut Reader<'_>) -> Limits {
    let names = |form: &Reader<'_>, field| {
        let lines = form.input.get(field).lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty()).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    Limits {
        vrfs: names(form, "limit_vrfs"),
        pools: names(form, "limit_pools"),
        profiles: names(form, "limit_profiles"),
        vpcs: form.each("limit_vpcs"),
        labels: form.labels("limit_labels"),
        quotas: read_quotas(form),
    }
}

pub(super) fn quotas(limits: &Limits) -> Vec<String> {
    let each = limits.quotas.iter();
    each.map(|(pool, addresses)| format!("{pool}={addresses}"))
        .collect()
}

fn read_quotas(form: &mut Reader<'_>) -> Quotas {
    let mut quotas = Quotas::default();
    let lines: Vec<_> = form
        .input
        .get("limit_quotas")
        .lines()
        .map(str::to_owned)
        .collect();
    for line in lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty())
    {
        match quota(line) {
            Ok((pool, addresses)) if quotas.insert(pool.trim(), addresses).is_none() => {
                form.wrong("limit_quotas", format!("{} has two quotas", pool.trim()));
            }
            Ok(_) => {}
            Err(problem) => form.wrong("limit_quotas", format!("{line}: {problem}")),
        }
    }
    quotas
}
