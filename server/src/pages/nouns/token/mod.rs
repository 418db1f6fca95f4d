//! Tokens. A secret is in the reply to the form that made it, and nowhere else.

mod limits;

use std::collections::BTreeSet;

use ipam_shared::{
    api::token::{NewToken, Role, Token, TokenFilter, TokenPatch},
    ids::TokenId,
    moment::in_utc,
    secret::Secret,
};
use time::{
    Date, OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description,
};

pub(in crate::pages) use self::limits::limits;
use self::limits::{quotas, read_limits};
use super::{Editable, Noun, Row, after, changed, changed_text, wanted};
use crate::{
    db::{self, Connection},
    domain::{Caller, Ipam},
    error::Result,
    pages::{
        Section,
        duration::seconds,
        form::{Field, Input, Reader},
        labels_text,
        shown::{Fact, Shown},
    },
    text::{held, moment},
};

impl Editable for Token {
    const PATH: &'static str = "/ui/tokens";
    const SECTION: Section = Section::Tokens;
    const MANY: &'static str = "Tokens";
    const FIELD_NAMES: &'static [(&'static str, &'static str)] = &[
        ("limits.vrfs", "limit_vrfs"),
        ("limits.pools", "limit_pools"),
        ("limits.profiles", "limit_profiles"),
        ("limits.vpcs", "limit_vpcs"),
        ("limits.quotas", "limit_quotas"),
        ("expires_at", "expires"),
    ];
    type Patch = TokenPatch;

    fn called(&self) -> String {
        self.name.to_string()
    }

    fn facts(&self) -> Vec<Fact> {
        let mut facts = vec![
            Fact::new("Name", Shown::text(&self.name)),
            Fact::new("Roles", Shown::text(roles(&self.roles))),
        ];
        facts.extend(limits(&self.limits));
        facts.extend([
            Fact::new("Ends", Shown::time(self.expires_at)),
            Fact::new("Description", Shown::text(&self.description)),
        ]);
        facts
    }

    async fn fields(_: &mut Connection, this: Option<&Self>) -> Result<Vec<Field>> {
        let mut fields = Vec::new();
        if this.is_none() {
            fields.push(
                Field::text("name", "Name")
                    .hint("What the audit log calls it by. It can't be changed.")
                    .required(),
            );
        }
        fields.extend([
            Field::checks(
                "roles",
                "Roles",
                Role::ALL.map(|role| (role.as_str().to_owned(), format!("{role}: {}", may(role)))),
            )
            .required(),
            Field::lines("limit_vrfs", "Only these VRFs").hint("One per line, by name or id. Nothing is no limit, here and below."),
            Field::lines("limit_pools", "Only these pools")
                .hint("One per line: vrf/name, a name that only one VRF has, or an id."),
            Field::lines("limit_profiles", "Only these profiles")
                .hint("One per line. Requests that name pools themselves are not covered then."),
            Field::lines("limit_vpcs", "Only VPCs with these names")
                .hint("One pattern per line, such as team-a-*."),
            Field::lines("limit_labels", "Only allocations with these labels")
                .hint("One key=value per line; all of them."),
            Field::lines("limit_quotas", "Quotas")
                .hint("One POOL=ADDRESSES per line, such as default/primary=4096: what the allocations may hold that the limits cover."),
            Field::text("expires", "Ends").hint(
                "A time from now such as 90d, a day such as 2027-01-31, or a moment such as 2027-01-31T12:00:00Z. Nothing for no \
                 end.",
            ),
            Field::description(),
        ]);
        if this.is_some() {
            fields.push(Field::check("renew", "Give it a new secret").hint(
                "The one before is refused within a second, and the sessions that began with it end.",
            ));
        }
        Ok(fields)
    }

    fn input(&self) -> Input {
        let lines = |values: &[String]| values.join("\n");
        let patterns: Vec<_> = self
            .limits
            .vpcs
            .iter()
            .map(|it| it.as_str().to_owned())
            .collect();
        let input = Input::default()
            .with("limit_vrfs", lines(&self.limits.vrfs))
            .with("limit_pools", lines(&self.limits.pools))
            .with("limit_profiles", lines(&self.limits.profiles))
            .with("limit_vpcs", lines(&patterns))
            .with("limit_labels", labels_text(&self.limits.labels))
            .with("limit_quotas", lines(&quotas(&self.limits)))
            .with("expires", self.expires_at.map(moment).unwrap_or_default())
            .with("description", &self.description);
        self.roles
            .iter()
            .fold(input, |input, role| input.with("roles", role.as_str()))
    }

    fn patch(&self, form: &mut Reader<'_>) -> Option<TokenPatch> {
        let second = |at: OffsetDateTime| at.unix_timestamp();
        let end = read_end(form, self.expires_at);
        let mut patch = TokenPatch {
            description: changed_text(&self.description, form.text("description")),
            roles: changed(&self.roles, read_roles(form)),
            limits: changed(&self.limits, read_limits(form)),
            // The form has no fractions of a second.
            expires_at: (self.expires_at.map(second) != end.map(second)).then_some(end),
            secret: None,
        };
        if form.input.has("renew", "on") {
            match Secret::generate() {
                Ok(secret) => patch.secret = Some(secret),
                Err(error) => form.wrong("renew", error),
            }
        }
        (patch != TokenPatch::default()).then_some(patch)
    }

    async fn update(
        ipam: &Ipam,
        caller: Caller,
        id: TokenId,
        patch: TokenPatch,
        revision: i64,
    ) -> Result<Self> {
        let secret = patch
            .secret
            .as_ref()
            .map(|secret| secret.reveal().to_owned());
        let token = ipam.update_token(caller, id, patch, Some(revision)).await?;
        Ok(Self { secret, ..token })
    }

    async fn delete(
        ipam: &Ipam,
        caller: Caller,
        id: TokenId,
        _: &Input,
        revision: i64,
    ) -> Result<()> {
        ipam.revoke_token(caller, id, Some(revision)).await
    }

    fn remarks(before: Option<&Self>, after: &Self) -> Vec<String> {
        let Some(before) = before else {
            return vec!["Its secret is shown on the next page, once.".to_owned()];
        };
        let mut remarks = Vec::new();
        if after.secret.is_some() {
            remarks.push(
                "It gets a new secret, which the next page shows, once. The one before is refused within a second, and all \
                 sessions of this token end."
                    .to_owned(),
            );
        }
        if before.roles != after.roles || before.limits != after.limits {
            remarks.push(
                "Every server follows within a second, for sessions of this token too.".to_owned(),
            );
        }
        remarks
    }

    fn loses(&self) -> Vec<String> {
        vec![
            "Every server refuses it within a second, and its sessions end. What it made stays."
                .to_owned(),
            match self.last_used_at {
                Some(at) => format!("It was last used at {}.", moment(at)),
                None => "It was never used.".to_owned(),
            },
        ]
    }

    fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }

    fn secret_when_taken_over() -> Option<&'static str> {
        Some("The secret that it has now is no longer valid then.")
    }
}

impl Noun for Token {
    const ABOUT: &'static str =
        "A key of its own for each pipeline, script and person: what it may do, and where.";
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("Token", false),
        ("Roles", false),
        ("Limits", false),
        ("Ends", false),
        ("Last used", false),
        ("Description", false),
    ];
    type New = NewToken;

    async fn list(db: &mut Connection, search: &Input, limit: u16) -> Result<Vec<Row>> {
        let found = match wanted(search, "name")? {
            Some(text) => called_like(db, &text, limit.saturating_sub(1).into()).await?,
            None => db::token::list(db, &TokenFilter::default(), after(search)?, limit).await?,
        };
        let rows = found.into_iter().map(|token| {
            let limits: Vec<_> = limits(&token.limits)
                .into_iter()
                .filter(|fact| fact.value != Shown::Nothing)
                .map(|fact| fact.label)
                .collect();
            let cells = vec![
                Shown::text(roles(&token.roles)),
                Shown::text(limits.join(", ")),
                Shown::time(token.expires_at),
                Shown::time(token.last_used_at),
                Shown::text(&token.description),
            ];
            Row::of(&token, token.called(), cells)
        });
        Ok(rows.collect())
    }

    fn state(&self) -> Vec<Fact> {
        vec![
            Fact::new("Last used", Shown::time(self.last_used_at)),
            Fact::new("From", Shown::maybe(self.last_used_from.as_deref())),
            Fact::new("Public id", Shown::Code(vec![self.public_id.clone()], 0)),
            Fact::new(
                "Called in the audit log",
                Shown::text(format!("token/{}", self.name)),
            ),
        ]
    }

    async fn counted(&self, ipam: &Ipam) -> Result<Vec<Fact>> {
        if self.limits.quotas.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![quotas_held(ipam, self.id).await?])
    }

    fn new(form: &mut Reader<'_>) -> Option<NewToken> {
        let name = form.name();
        Some(NewToken {
            description: form.text("description"),
            roles: read_roles(form),
            limits: read_limits(form),
            expires_at: read_end(form, None),
            secret: None,
            name: name?,
        })
    }

    async fn make(ipam: &Ipam, caller: Caller, new: NewToken) -> Result<(Self, bool)> {
        ipam.create_token(caller, new).await
    }
}

/// Tokens with a text in their names: at most `most`, among the first of them. They are few, and no index knows parts of names.
async fn called_like(db: &mut Connection, text: &str, most: usize) -> Result<Vec<Token>> {
    /// Tokens that are read at a time, and how often.
    const READ: u16 = 1_000;
    const TIMES: usize = 10;
    let text = text.to_lowercase();
    let (mut found, mut after) = (Vec::new(), None);
    for _ in 0..TIMES {
        let some = db::token::list(db, &TokenFilter::default(), after, READ).await?;
        let is_last = some.len() < usize::from(READ);
        after = some.last().map(|token| token.id);
        let fits = |token: &Token| token.name.as_str().to_lowercase().contains(&text);
        found.extend(some.into_iter().filter(fits));
        if is_last || found.len() >= most {
            break;
        }
    }
    found.truncate(most);
    Ok(found)
}

/// How much of its quotas a token uses.
pub(in crate::pages) async fn quotas_held(ipam: &Ipam, id: TokenId) -> Result<Fact> {
    let usage = ipam.usage(id).await?;
    let used = usage.iter().map(|it| held(it) + " addresses");
    Ok(Fact::new("Of its quotas are held", Shown::lines(used)))
}

fn roles(roles: &BTreeSet<Role>) -> String {
    let names: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    names.join(", ")
}

fn may(role: Role) -> &'static str {
    match role {
        Role::Admin => "everything, tokens and imports too; it can't be limited",
        Role::Operator => {
            "reads; makes, changes and deletes pools, profiles, VRFs and reservations"
        }
        Role::Allocator => "reads; makes, changes and releases allocations and VPCs",
        Role::Planner => "reads; asks what a request would get",
        Role::Reader => "reads everything but the audit log and tokens",
        Role::Auditor => "reads, the audit log and metrics too",
        Role::Metrics => "reads metrics and nothing else",
    }
}

fn read_roles(form: &mut Reader<'_>) -> BTreeSet<Role> {
    let parsed: Result<BTreeSet<Role>, _> = form.input.all("roles").map(str::parse).collect();
    match parsed {
        Ok(roles) => {
            if roles.is_empty() {
                form.wrong("roles", "choose at least one role");
            }
            if roles.contains(&Role::Admin) && !read_limits(form).is_empty() {
                form.wrong(
                    "roles",
                    "an admin may do everything, so it can't be limited",
                );
            }
            roles
        }
        Err(error) => {
            form.wrong("roles", error);
            BTreeSet::new()
        }
    }
}

/// When it ends. What stays as it is may be in the past.
fn read_end(form: &mut Reader<'_>, before: Option<OffsetDateTime>) -> Option<OffsetDateTime> {
    let text = form.input.get("expires");
    if text.is_empty() {
        return None;
    }
    if before.map(moment).as_deref() == Some(text) {
        return before;
    }
    let now = OffsetDateTime::now_utc();
    let day = format_description!("[year]-[month]-[day]");
    let end = if let Ok(at) = OffsetDateTime::parse(text, &Rfc3339) {
        in_utc(at)
    } else if let Ok(day) = Date::parse(text, &day) {
        Some(day.midnight().assume_utc())
    } else if text.parse::<u64>().is_err() {
        let span = seconds(text).and_then(|span| i64::try_from(span).ok());
        span.and_then(|span| now.checked_add(time::Duration::seconds(span)))
            // What PostgreSQL and the API can write.
            .filter(|at| at.year() < 10_000)
    } else {
        None
    };
    match end {
        None => {
            form.wrong(
                "expires",
                "write a time from now such as 90d, a day such as 2027-01-31, or a moment such as 2027-01-31T12:00:00Z",
            );
            None
        }
        Some(at) if at <= now => {
            form.wrong(
                "expires",
                "this is in the past; to end a token now, delete it",
            );
            None
        }
        Some(at) => Some(at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::nouns::filled;

    #[test]
    fn an_end_is_a_span_a_day_or_a_moment() {
        let end = |text: &str| {
            let input = filled(&[("expires", text)]);
            let mut form = Reader::new(&input);
            let end = read_end(&mut form, None);
            (end, form.problems.is_empty())
        };
        assert_eq!(end(""), (None, true));
        for text in ["2200-01-31", "2200-01-31T12:00:00Z", "90d", "1h"] {
            let (end, is_fine) = end(text);
            assert!(end.is_some() && is_fine, "{text}");
        }
        for text in ["2000-01-01", "soon", "90", "99999999d", "0d"] {
            assert_eq!(end(text), (None, false), "{text}");
        }
        let past = OffsetDateTime::UNIX_EPOCH;
        let input = filled(&[("expires", "1970-01-01T00:00:00Z")]);
        let mut form = Reader::new(&input);
        assert_eq!(read_end(&mut form, Some(past)), Some(past));
        assert!(form.problems.is_empty());
    }
}
