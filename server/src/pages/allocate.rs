//! `/ui/allocations/new`: the form that asks for space, with a preview. Problems are shown at the field, and input is kept.

use std::fmt::Display;

use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use ipam_shared::{
    api::allocation::{Allocation, NewAllocation, Recipe, Size},
    cidr::usable_hosts,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Section, Shell,
    allocations::SUGGESTIONS,
    error::{Failure, sentence},
    filters, page, parse_labels,
    session::{Posted, SignedIn},
};
use crate::{
    app::App,
    db,
    domain::address_plan::Source,
    error::{Error, Result},
    http::error::log,
    text,
};

#[derive(askama::Template)]
#[template(path = "allocate.html")]
struct AllocatePage {
    shell: Shell,
    form: Ask,
    problems: Problems,
    sizes: Vec<SizeOption>,
    /// Most hosts of the largest block.
    most_hosts: u128,
    vpc_names: Vec<String>,
    preview: Option<Allocation>,
}

/// The form as it was filled in.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Ask {
    #[serde(default)]
    vpc: String,
    #[serde(default)]
    name: String,
    /// Which of the three sizes counts: `hosts`, `prefix_length` or `cidr`.
    #[serde(default)]
    by: String,
    #[serde(default)]
    hosts: String,
    #[serde(default)]
    prefix_length: String,
    #[serde(default)]
    cidr: String,
    #[serde(default)]
    labels: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    protect: String,
    /// Makes a form that is submitted twice allocate once.
    #[serde(default)]
    key: String,
    /// The button: `preview` or `allocate`.
    #[serde(default)]
    action: String,
}

impl Ask {
    fn is_length(&self, length: &u8) -> bool {
        self.prefix_length.trim_start_matches('/').parse() == Ok(*length)
    }
}

/// Problems by field.
#[derive(Debug, Default)]
struct Problems {
    vpc: Option<String>,
    name: Option<String>,
    size: Option<String>,
    labels: Option<String>,
    description: Option<String>,
    /// Problems that belong to no field.
    form: Option<String>,
}

impl Problems {
    fn any(&self) -> bool {
        let Self {
            vpc,
            name,
            size,
            labels,
            description,
            form,
        } = self;
        [vpc, name, size, labels, description, form]
            .into_iter()
            .any(Option::is_some)
    }
}

/// A line of the list of prefix lengths.
#[derive(Debug, PartialEq, Eq)]
struct SizeOption {
    prefix_length: u8,
    usable: u128,
    label: String,
}

/// `GET /ui/allocations/new`
pub(super) async fn form(
    State(app): State<App>,
    Query(mut form): Query<Ask>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    form.key = Uuid::new_v4().to_string();
    Ok(page(
        &view(&app, &signed_in, form, Problems::default(), None).await?,
    ))
}

/// `POST /ui/allocations/new`
pub(super) async fn submit(
    State(app): State<App>,
    Posted(signed_in, form): Posted<Ask>,
) -> Result<Response, Failure> {
    let preview = form.action == "preview";
    let mut new = match read(&form) {
        Ok(new) => new,
        Err(problems) => return refuse(&app, &signed_in, form, *problems).await,
    };
    new.dry_run = preview;
    // The key is not used for a preview.
    let key = (!preview && !form.key.is_empty()).then(|| form.key.clone());
    match app
        .ipam(&signed_in.caller)
        .allocate(signed_in.caller.clone(), new, key)
        .await
    {
        Ok(outcome) if preview => {
            let view = view(
                &app,
                &signed_in,
                form,
                Problems::default(),
                Some(outcome.allocation),
            )
            .await?;
            Ok(page(&view))
        }
        Ok(outcome) => {
            let notice = if outcome.created {
                "allocated"
            } else {
                "existing"
            };
            let to = format!("/ui/allocations/{}?notice={notice}", outcome.allocation.id);
            Ok(Redirect::to(&to).into_response())
        }
        Err(error) => match place(&error) {
            Some(problems) => {
                log(&error);
                let mut page = refuse(&app, &signed_in, form, problems).await?;
                page.extensions_mut().insert(error.code());
                Ok(page)
            }
            None => Err(error.into()),
        },
    }
}

/// The form again, with its problems.
async fn refuse(
    app: &App,
    signed_in: &SignedIn,
    form: Ask,
    problems: Problems,
) -> Result<Response, Failure> {
    let view = view(app, signed_in, form, problems, None).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&view)).into_response())
}

async fn view(
    app: &App,
    signed_in: &SignedIn,
    mut form: Ask,
    problems: Problems,
    preview: Option<Allocation>,
) -> Result<AllocatePage> {
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let plan = app
        .ipam(&signed_in.caller)
        .current_address_plan(&mut db)
        .await?;
    let choice = plan.choice(&Recipe::default(), plan.vrf(None)?)?;
    let sizes = sizes(choice.options.first().map_or(&[], Vec::as_slice));
    if !["hosts", "prefix_length", "cidr"].contains(&form.by.as_str()) {
        form.by = "hosts".to_owned();
    }
    Ok(AllocatePage {
        shell: Shell::of(&mut db, signed_in, Section::Allocations).await?,
        most_hosts: sizes.first().map_or(0, |size| size.usable),
        sizes,
        vpc_names: db::search::vpc_names(&mut db, SUGGESTIONS).await?,
        form,
        problems,
        preview,
    })
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

/// The request of a form, or its problems.
fn read(form: &Ask) -> Result<NewAllocation, Box<Problems>> {
    let mut problems = Problems::default();
    let said = |error: &dyn Display| Some(sentence(&error.to_string()));
    let vpc = form.vpc.trim().parse();
    if let Err(error) = &vpc {
        problems.vpc = said(error);
    }
    let name = match form.name.trim() {
        "" => None,
        name => name
            .parse()
            .map_err(|error| problems.name = said(&error))
            .ok(),
    };
    let size = size(form);
    if let Err(problem) = &size {
        problems.size = said(problem);
    }
    let labels = parse_labels(&form.labels);
    if let Err(problem) = &labels {
        problems.labels = said(problem);
    }
    let description = form.description.trim().replace("\r\n", "\n");
    if description.chars().count() > 1000 || description.contains('\0') {
        problems.description = said(&"at most 1,000 characters, none of them NUL");
    }
    match (vpc, size, labels) {
        (Ok(vpc), Ok(size), Ok(labels)) if !problems.any() => Ok(NewAllocation {
            name,
            labels,
            description,
            deletion_protection: !form.protect.is_empty(),
            ..NewAllocation::new(vpc, size)
        }),
        _ => Err(Box::new(problems)),
    }
}

fn size(form: &Ask) -> Result<Size, String> {
    match form.by.as_str() {
        "prefix_length" => {
            let length = form.prefix_length.trim().trim_start_matches('/').parse();
            length
                .map(Size::PrefixLength)
                .map_err(|_| "choose a prefix length".to_owned())
        }
        "cidr" => {
            let cidr = form.cidr.trim().parse();
            cidr.map(Size::Cidr)
                .map_err(|error: ipam_shared::cidr::CidrError| error.to_string())
        }
        _ => {
            // With thousands separators.
            let digits = form.hosts.trim().replace([',', '_', ' '], "");
            let hosts = digits.parse().ok().filter(|hosts| *hosts > 0);
            hosts
                .map(Size::Hosts)
                .ok_or_else(|| "give the number of hosts, 1 or more".to_owned())
        }
    }
}

/// The field that the domain's refusal belongs to; none if it is not about what was typed.
fn place(error: &Error) -> Option<Problems> {
    let said = Some(sentence(&error.to_string()));
    Some(match error {
        Error::NameTaken { .. } | Error::Claimed { .. } => Problems { name: said, ..Problems::default() },
        Error::Invalid(_) | Error::Overlap { .. } | Error::Exhausted(_) | Error::QuotaExceeded(_) => {
            Problems { size: said, ..Problems::default() }
        }
        Error::KeyReused(_) => Problems {
            form: Some(
                "This form has already been submitted and has allocated; look at the list of allocations, and open a \
                 new form for another one."
                    .to_owned(),
            ),
            ..Problems::default()
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let form = |by: &str| Ask {
            by: by.to_owned(),
            hosts: "1,000".to_owned(),
            prefix_length: "/24".to_owned(),
            cidr: "10.0.0.0/24".to_owned(),
            ..Ask::default()
        };
        assert_eq!(size(&form("hosts")), Ok(Size::Hosts(1000)));
        assert_eq!(size(&form("prefix_length")), Ok(Size::PrefixLength(24)));
        assert_eq!(
            size(&form("cidr")),
            Ok(Size::Cidr("10.0.0.0/24".parse().unwrap()))
        );
        assert!(
            size(&Ask {
                hosts: "0".to_owned(),
                ..Ask::default()
            })
            .is_err()
        );
        assert!(
            size(&Ask {
                hosts: "-1".to_owned(),
                ..Ask::default()
            })
            .is_err()
        );
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let form = Ask {
            vpc: " ".to_owned(),
            name: "a/b".to_owned(),
            labels: "oops".to_owned(),
            description: "x".repeat(1001),
            ..Ask::default()
        };
        let problems = read(&form).unwrap_err();
        assert_eq!(problems.vpc.as_deref(), Some("A name must not be empty."));
        assert!(problems.name.is_some() && problems.size.is_some());
        assert!(problems.labels.is_some() && problems.description.is_some());
    }
}
