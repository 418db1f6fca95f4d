//! `ipam token`.

use std::{collections::BTreeSet, path::PathBuf};

use clap::builder::ValueParser;
use clap_complete::engine::ArgValueCompleter;
use ipam_client::{Client, Created};
use ipam_shared::{
    api::{
        pool::Pool,
        profile::Profile,
        token::{Limits, NewToken, QuotaUsage, Role, Token, TokenFilter, TokenPatch},
        vrf::Vrf,
    },
    name::Name,
    pattern::Pattern,
    quotas::{Quotas, quota},
    secret::Secret,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::cli::{
    input,
    listing::Column,
    noun::{
        NoOptions, Noun,
        args::{OwnerFilter, labels, pair},
        done, fits_path, found, name, names, some_change, which,
    },
    output::Failure,
    span::span,
    value::Value,
};
use crate::text::{addresses, held};

/// Where a token may do what its roles allow.
#[derive(clap::Args, Default)]
struct LimitOptions {
    /// Only this VRF; may be given several times
    #[arg(long = "vrf", value_name = "VRF", add = ArgValueCompleter::new(names::<Vrf>))]
    vrfs: Vec<String>,
    /// Only this pool; may be given several times
    #[arg(long = "pool", value_name = "POOL", add = ArgValueCompleter::new(which::<Pool>))]
    pools: Vec<String>,
    /// Only requests from this profile; may be given several times
    #[arg(long = "profile", value_name = "PROFILE", add = ArgValueCompleter::new(names::<Profile>))]
    profiles: Vec<String>,
    /// Only VPCs named like this, where * stands for any text; may be given several times
    #[arg(long = "vpc", value_name = "PATTERN")]
    vpcs: Vec<Pattern>,
    /// Only allocations with this label; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// At most that many addresses of this pool for all that the other limits cover; may be given several times
    #[arg(long = "quota", value_name = "POOL=ADDRESSES", value_parser = quota)]
    quotas: Vec<(String, u128)>,
}

impl LimitOptions {
    fn limits(self) -> Result<Limits, Failure> {
        let mut quotas = Quotas::default();
        for (pool, addresses) in self.quotas {
            quotas.insert(pool.as_str(), addresses).ok_or_else(|| {
                Failure::Usage(format!("--quota: pool \"{pool}\" has two; give it one"))
            })?;
        }
        Ok(Limits {
            vrfs: self.vrfs,
            pools: self.pools,
            profiles: self.profiles,
            vpcs: self.vpcs,
            labels: labels(&self.labels)?,
            quotas,
        })
    }
}

/// A secret that the caller has made. It is no argument, which every user of a machine can read.
#[derive(clap::Args)]
struct SecretOption {
    /// File with its secret, as `ipam token secret` makes one, or - for the standard input
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

impl SecretOption {
    fn read(self) -> Result<Option<Secret>, Failure> {
        let Some(path) = self.secret_file else {
            return Ok(None);
        };
        let usage = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
        let file = input::read(&path).map_err(|error| usage(error.to_string()))?;
        let secret = String::from_utf8_lossy(&file).trim().parse();
        secret
            .map(Some)
            .map_err(|error: ipam_shared::secret::NotASecret| usage(error.to_string()))
    }
}

#[derive(clap::Args)]
pub(in crate::cli) struct New {
    /// Its name, unique: what the audit log calls it by
    name: Name,
    /// What it may do: admin, operator, allocator, planner, reader, auditor or metrics; may be given several times
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<Role>,
    #[command(flatten)]
    limits: LimitOptions,
    /// Until when, such as 2027-01-31T00:00:00Z, or for how long from now, such as 90d or 12h
    #[arg(long, value_name = "WHEN", value_parser = ValueParser::new(when))]
    expires: Option<OffsetDateTime>,
    #[command(flatten)]
    secret: SecretOption,
    /// What it is for
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
}

#[derive(clap::Args, Default)]
pub(in crate::cli) struct Filter {
    /// Only with this name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    owned: OwnerFilter,
}

#[derive(clap::Args)]
pub(in crate::cli) struct Change {
    /// All roles, in place of those that it has; may be given several times
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<Role>,
    #[command(flatten)]
    limits: LimitOptions,
    /// Remove all limits that are not given
    #[arg(long)]
    clear_limits: bool,
    /// A new end, as for `create`, or `never`
    #[arg(long, value_name = "WHEN", value_parser = ValueParser::new(end))]
    expires: Option<End>,
    #[command(flatten)]
    secret: SecretOption,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

#[derive(clap::Subcommand)]
pub(in crate::cli) enum More {
    /// Make a secret for --secret-file, and print it; asks no server
    Secret,
}

/// When a token ends.
#[derive(Clone, Copy)]
struct End(Option<OffsetDateTime>);

fn end(text: &str) -> Result<End, String> {
    match text {
        "never" => Ok(End(None)),
        text => when(text).map(|at| End(Some(at))),
    }
}

/// A moment, or how long from now.
fn when(text: &str) -> Result<OffsetDateTime, String> {
    if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(at);
    }
    let wrong = || {
        "write a moment, such as 2027-01-31T00:00:00Z, or a time from now, such as 90d, 12h or 30m"
            .to_owned()
    };
    let length = span(text).and_then(|span| time::Duration::try_from(span).ok());
    length
        .and_then(|length| OffsetDateTime::now_utc().checked_add(length))
        .ok_or_else(wrong)
}

fn roles(token: &Token) -> Vec<String> {
    token.roles.iter().map(ToString::to_string).collect()
}

/// How much of each quota is used, where that is known: of one token.
pub(in crate::cli) fn usage(usage: Option<&[QuotaUsage]>) -> Vec<String> {
    let usage = usage.unwrap_or_default().iter();
    usage.map(held).collect()
}

/// Limits on one line.
fn limits(token: &Token) -> Vec<String> {
    let of = |what: &'static str, values: &[String]| {
        values
            .iter()
            .map(|value| format!("{what}={value}"))
            .collect::<Vec<_>>()
    };
    let limits = &token.limits;
    let patterns: Vec<_> = limits
        .vpcs
        .iter()
        .map(|it| it.as_str().to_owned())
        .collect();
    let mut all = of("vrf", &limits.vrfs);
    all.extend(of("pool", &limits.pools));
    all.extend(of("profile", &limits.profiles));
    all.extend(of("vpc", &patterns));
    all.extend(
        limits
            .labels
            .iter()
            .map(|(key, value)| format!("label:{key}={value}")),
    );
    all.extend(
        limits
            .quotas
            .iter()
            .map(|(pool, most)| format!("quota:{pool}={}", addresses(most))),
    );
    all
}

impl Noun for Token {
    const PLURAL: &'static str = "tokens";
    const ABOUT: &'static str = "Tokens: who may do what, and where";
    const WHICH: &'static str = "Its name or id";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("name", |it| (&it.name).into()),
        Column::new("roles", |it| (&roles(it)).into()),
        Column::new("limits", |it| (&limits(it)).into()),
        Column::wide("usage", |it| (&usage(it.usage.as_deref())).into()),
        Column::new("expires_at", |it| Value::of(it.expires_at)),
        Column::new("last_used_at", |it| Value::of(it.last_used_at)),
        Column::wide("last_used_from", |it| Value::of(it.last_used_from.as_ref())),
        Column::wide("public_id", |it| it.public_id.as_str().into()),
        Column::wide("description", |it| it.description.as_str().into()),
        Column::wide("created_by", |it| Value::of(it.created_by.as_ref())),
    ];
    const DELETED: &'static str = "Revoked";
    type New = New;
    type Filter = Filter;
    type Change = Change;
    type End = NoOptions;
    type More = More;

    async fn create(client: &Client, new: New) -> Result<Created<Self>, Failure> {
        let request = NewToken {
            name: new.name,
            description: new.description,
            roles: new.roles.into_iter().collect(),
            limits: new.limits.limits()?,
            expires_at: new.expires,
            secret: new.secret.read()?,
        };
        done(client.create_token(&request).await)
    }

    async fn list(
        client: &Client,
        filter: Filter,
        most: usize,
    ) -> Result<(Vec<Self>, bool), Failure> {
        let filter = TokenFilter {
            name: filter.name,
            owner: filter.owned.owner,
            confirmed: filter.owned.confirmed,
            ..TokenFilter::default()
        };
        done(client.first_tokens(&filter, most).await)
    }

    async fn find(client: &Client, which: &str) -> Result<Self, Failure> {
        if fits_path(which) {
            return done(client.get_token(which, None).await);
        }
        let filter = TokenFilter {
            name: Some(name(which)?.to_string()),
            ..TokenFilter::default()
        };
        let (mut all, _) = done(client.first_tokens(&filter, 1).await)?;
        found(all.pop(), "token", which)
    }

    async fn update(
        client: &Client,
        found: &Self,
        change: Change,
        revision: Option<i64>,
    ) -> Result<Self, Failure> {
        let roles: BTreeSet<_> = change.roles.into_iter().collect();
        let given = change.limits.limits()?;
        let limits = if change.clear_limits {
            Some(given)
        } else if given.is_empty() {
            None
        } else {
            // Of each kind that is given, all; the others stay.
            let mut after = found.limits.clone();
            for (kept, given) in [
                (&mut after.vrfs, given.vrfs),
                (&mut after.pools, given.pools),
                (&mut after.profiles, given.profiles),
            ] {
                if !given.is_empty() {
                    *kept = given;
                }
            }
            if !given.vpcs.is_empty() {
                after.vpcs = given.vpcs;
            }
            if !given.labels.is_empty() {
                after.labels = given.labels;
            }
            if !given.quotas.is_empty() {
                after.quotas = given.quotas;
            }
            Some(after)
        };
        // What was read decides what is written, so it must still be so.
        let revision = revision.or(limits.as_ref().map(|_| found.revision));
        let patch = some_change(TokenPatch {
            description: change.description,
            roles: (!roles.is_empty()).then_some(roles),
            limits,
            expires_at: change.expires.map(|End(at)| at),
            secret: change.secret.read()?,
        })?;
        done(client.update_token(found.id, &patch, revision).await)
    }

    async fn delete(
        client: &Client,
        found: &Self,
        _: NoOptions,
        revision: Option<i64>,
    ) -> Result<String, Failure> {
        done(client.delete_token(found.id, revision).await)?;
        Ok(": every server refuses it within a second".to_owned())
    }

    async fn more(verb: More) -> Result<String, Failure> {
        match verb {
            More::Secret => {
                let secret = Secret::generate().map_err(|error| {
                    Failure::Refused(format!("this machine has no random numbers: {error}"))
                })?;
                Ok(format!("{}\n", secret.reveal()))
            }
        }
    }

    fn makes_secret(new: &New) -> bool {
        new.secret.secret_file.is_none()
    }

    fn shown_once(&self) -> Option<String> {
        let secret = self.secret.as_ref()?;
        Some(format!("; its secret, which is shown only now:\n{secret}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_a_pool_with_its_addresses() {
        for (text, is) in [
            ("default/primary=4096", ("default/primary", 4096)),
            ("a=b=0", ("a=b", 0)),
            ("six=2^72", ("six", 1 << 72)),
        ] {
            let (pool, addresses) = quota(text).unwrap();
            assert_eq!((pool.as_str(), addresses), is);
        }
        for bad in [
            "primary",
            "primary=",
            "primary=-1",
            "six=2^128",
            "six=2^",
            "p=1.5",
        ] {
            assert!(quota(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_end_is_a_moment_or_a_time_from_now() {
        assert_eq!(when("2099-01-31T00:00:00Z").unwrap().year(), 2099);
        let days = when("90d").unwrap() - OffsetDateTime::now_utc();
        assert!((89..=90).contains(&days.whole_days()), "{days}");
        assert!(when("12h").is_ok() && when("30m").is_ok());
        assert!(end("never").unwrap().0.is_none());
        for bad in [
            "",
            "d",
            "-1d",
            "1y",
            "tomorrow",
            "99999999999d",
            "4294967295d",
            "1ä",
        ] {
            assert!(when(bad).is_err(), "{bad}");
        }
    }
}
