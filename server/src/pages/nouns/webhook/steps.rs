//! What else is done with a webhook, each on a page that says what would happen: a test, a new secret, going on after a stop.

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use ipam_shared::{
    api::webhook::{NewWebhookSecret, OVERLAP, Webhook, WebhookResumption},
    ids::WebhookId,
};

use super::super::{ConfirmPage, Editable, change::secret_page, find, id_of};
use crate::{
    app::App,
    error::Error,
    http::error::log,
    pages::{
        Shell,
        error::{Failure, sentence},
        form::{Action, Field, Input, Problems, Reader, fill},
        page,
        session::{Posted, SignedIn},
        shown::{Fact, Shown},
        snippet::Server,
    },
    text::thousands,
};

/// The pages.
pub(in crate::pages::nouns) fn routes() -> Router<App> {
    let at = |step| format!("{}/{{id}}/{step}", Webhook::PATH);
    Router::new()
        .route(&at("rotate"), get(rotation).post(rotate))
        .route(&at("resume"), get(resumption).post(resume))
        .route(&at("test"), get(trial).post(test))
}

/// A page that asks whether to do something with a webhook.
struct Step {
    name: &'static str,
    question: &'static str,
    button: &'static str,
    sentences: Vec<String>,
    facts: Vec<Fact>,
    fields: Vec<Field>,
    /// Whether it is done to the webhook as it is now only.
    is_of_revision: bool,
    problem: Option<String>,
}

impl Step {
    async fn page(
        self,
        app: &App,
        signed_in: &SignedIn,
        webhook: &Webhook,
    ) -> Result<Response, Failure> {
        let mut db = app.ipam(&signed_in.caller).read().await?;
        let here = format!("{}/{}", Webhook::PATH, webhook.id);
        Ok(page(&ConfirmPage {
            shell: Shell::of(&mut db, signed_in, Webhook::SECTION).await?,
            crumbs: vec![
                (Webhook::PATH.to_owned(), Webhook::MANY.to_owned()),
                (here.clone(), webhook.called()),
            ],
            question: (self.question.to_owned(), webhook.called(), "?".to_owned()),
            problem: self.problem,
            sentences: self.sentences,
            facts: self.facts,
            changes: Vec::new(),
            lost: Vec::new(),
            more: 0,
            fields: self.fields,
            action: format!("{here}/{}", self.name),
            hidden: (self.is_of_revision)
                .then(|| ("revision".to_owned(), webhook.revision.to_string()))
                .into_iter()
                .collect(),
            button: Some(self.button.to_owned()),
            danger: false,
            back: Some(here),
        }))
    }
}

/// For how long secrets that are replaced also sign, in seconds.
const OVERLAPS: [(u32, &str); 5] = [
    (OVERLAP, "a day"),
    (3_600, "an hour"),
    (7 * OVERLAP, "a week"),
    (30 * OVERLAP, "30 days"),
    (0, "not at all: one of them has leaked"),
];

fn asked_to_rotate(input: &Input, problems: &Problems) -> Step {
    let choices = OVERLAPS.map(|(seconds, words)| (seconds.to_string(), words.to_owned()));
    let fields = vec![
        Field::choice("overlap", "Those before it also sign for", choices)
            .required()
            .hint("A receiver takes any of the signatures, so it can be told of the new secret meanwhile."),
    ];
    Step {
        name: "rotate",
        question: "A new secret for webhook ",
        button: "Make a new secret",
        sentences: vec![
            "The next page shows it, once. From then on it signs every request.".to_owned(),
        ],
        facts: Vec::new(),
        fields: fill(fields, input, problems),
        is_of_revision: true,
        problem: None,
    }
}

/// `GET /ui/webhooks/{id}/rotate`
async fn rotation(
    State(app): State<App>,
    Path(id): Path<String>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let webhook: Webhook = find(&app, &signed_in, &id).await?;
    let step = asked_to_rotate(&Input::default(), &Problems::default());
    step.page(&app, &signed_in, &webhook).await
}

/// `POST /ui/webhooks/{id}/rotate`
async fn rotate(
    State(app): State<App>,
    Path(id): Path<String>,
    server: Server,
    Posted(signed_in, input): Posted<Input>,
) -> Result<Response, Failure> {
    let webhook: Webhook = find(&app, &signed_in, &id).await?;
    let overlap = input.get("overlap").parse().ok();
    let known = overlap.filter(|overlap| OVERLAPS.iter().any(|(seconds, _)| seconds == overlap));
    let (Action::Confirm, Some(overlap_seconds)) = (input.action(), known) else {
        let mut reader = Reader::new(&input);
        if known.is_none() {
            reader.wrong("overlap", "choose one of these");
        }
        let step = asked_to_rotate(&input, &reader.problems);
        return step.page(&app, &signed_in, &webhook).await;
    };
    // The page with the secret, loaded once more, is this form sent again.
    if input.get("revision") != webhook.revision.to_string() {
        let step = Step {
            problem: Some(
                "It has changed since you opened this page, so no secret was made. If this page has shown one before, that is valid."
                    .to_owned(),
            ),
            ..asked_to_rotate(&input, &Problems::default())
        };
        let again = step.page(&app, &signed_in, &webhook).await?;
        return Ok((StatusCode::PRECONDITION_FAILED, again).into_response());
    }
    let ipam = app.ipam(&signed_in.caller);
    let rotation = NewWebhookSecret { overlap_seconds };
    let id: WebhookId = id_of(&webhook)?;
    match ipam
        .rotate_webhook(signed_in.caller.clone(), id, rotation)
        .await
    {
        Ok(rotated) => secret_page(&app, &signed_in, &server, &rotated).await,
        Err(error) => {
            let step = asked_to_rotate(&input, &Problems::default());
            refused(&app, &signed_in, &webhook, step, error).await
        }
    }
}

/// The page again, with a refusal.
async fn refused(
    app: &App,
    signed_in: &SignedIn,
    webhook: &Webhook,
    step: Step,
    error: Error,
) -> Result<Response, Failure> {
    let Error::Invalid(problem) = &error else {
        return Err(error.into());
    };
    log(&error);
    let step = Step {
        problem: Some(sentence(&problem.message)),
        ..step
    };
    let again = step.page(app, signed_in, webhook).await?;
    let mut response = (StatusCode::UNPROCESSABLE_ENTITY, again).into_response();
    response.extensions_mut().insert(error.code());
    Ok(response)
}

fn asked_to_resume(webhook: &Webhook, input: &Input, problems: &Problems) -> Step {
    let delivery = &webhook.delivery;
    let up_to = thousands(delivery.up_to.unsigned_abs());
    let fields = vec![
        Field::number("after", "After event").hint(
            "An earlier one, to have some sent again; a later one, to skip some. Nothing for where it is.",
        ),
    ];
    let mut sentences = vec![format!(
        "What happened after event {up_to} is sent at once, and not only when the next attempt is due."
    )];
    if !webhook.enabled {
        sentences.push("It is disabled, so nothing is sent until it is enabled.".to_owned());
    }
    Step {
        name: "resume",
        question: "Let it go on: webhook ",
        button: "Go on",
        sentences,
        facts: vec![
            Fact::new("Stopped", Shown::time(delivery.stopped_at)),
            Fact::new("Last error", Shown::maybe(delivery.last_error.as_deref())),
            Fact::new(
                "Behind",
                Shown::text(thousands(delivery.behind.unsigned_abs())),
            ),
        ],
        fields: fill(fields, input, problems),
        is_of_revision: false,
        problem: None,
    }
}

/// `GET /ui/webhooks/{id}/resume`
async fn resumption(
    State(app): State<App>,
    Path(id): Path<String>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let webhook: Webhook = find(&app, &signed_in, &id).await?;
    let step = asked_to_resume(&webhook, &Input::default(), &Problems::default());
    step.page(&app, &signed_in, &webhook).await
}

/// `POST /ui/webhooks/{id}/resume`
async fn resume(
    State(app): State<App>,
    Path(id): Path<String>,
    Posted(signed_in, input): Posted<Input>,
) -> Result<Response, Failure> {
    let webhook: Webhook = find(&app, &signed_in, &id).await?;
    let mut reader = Reader::new(&input);
    let after = reader.number::<i64>("after");
    let step = asked_to_resume(&webhook, &input, &reader.problems);
    if input.action() != Action::Confirm || !reader.problems.is_empty() {
        return step.page(&app, &signed_in, &webhook).await;
    }
    let ipam = app.ipam(&signed_in.caller);
    let resumption = WebhookResumption { after };
    let resumed = ipam.resume_webhook(signed_in.caller.clone(), webhook.id, resumption);
    match resumed.await {
        Ok(_) => {
            let here = format!("{}/{}", Webhook::PATH, webhook.id);
            Ok(Redirect::to(&format!("{here}?notice=resumed")).into_response())
        }
        Err(error) => refused(&app, &signed_in, &webhook, step, error).await,
    }
}

fn asked_to_test(webhook: &Webhook) -> Step {
    Step {
        name: "test",
        question: "Test webhook ",
        button: "Send it",
        sentences: vec![
            "A signed request without events is sent now, whatever state the webhook is in. What is delivered besides stays \
             as it is."
                .to_owned(),
        ],
        facts: vec![Fact::new("To", Shown::text(&webhook.url))],
        fields: Vec::new(),
        is_of_revision: false,
        problem: None,
    }
}

/// `GET /ui/webhooks/{id}/test`
async fn trial(
    State(app): State<App>,
    Path(id): Path<String>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let webhook: Webhook = find(&app, &signed_in, &id).await?;
    asked_to_test(&webhook)
        .page(&app, &signed_in, &webhook)
        .await
}

/// `POST /ui/webhooks/{id}/test`: what came of it is on the page that asks again.
async fn test(
    State(app): State<App>,
    Path(id): Path<String>,
    Posted(signed_in, input): Posted<Input>,
) -> Result<Response, Failure> {
    let webhook: Webhook = find(&app, &signed_in, &id).await?;
    let mut step = asked_to_test(&webhook);
    if input.action() == Action::Confirm {
        let ipam = app.ipam(&signed_in.caller);
        let tested = ipam
            .test_webhook(signed_in.caller.clone(), webhook.id)
            .await?;
        step.button = "Send it again";
        let took = format!("{} ms", thousands(tested.milliseconds));
        match tested.error {
            None => step
                .sentences
                .insert(0, format!("The receiver accepted it within {took}.")),
            Some(error) => {
                step.problem = Some(sentence(&format!("it failed after {took}: {error}")))
            }
        }
        step.facts
            .push(Fact::new("Answer", Shown::maybe(tested.status)));
    }
    step.page(&app, &signed_in, &webhook).await
}
