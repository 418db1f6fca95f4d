//! The life of an allocation on one line: made, changed, released, cooling down, free.

use time::OffsetDateTime;

use super::events::Line;

/// Steps in the middle that are told one by one; the newest, since these say what it is now.
const STEPS: usize = 6;

/// A step in a life.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    /// What happened.
    pub(super) what: String,
    /// When; none for what is not known, and for what goes on.
    pub(super) at: Option<OffsetDateTime>,
    pub(super) by: Option<String>,
    /// How the line goes on from here, as a class.
    pub(super) state: &'static str,
}

impl Step {
    fn new(what: impl Into<String>, state: &'static str) -> Self {
        Self {
            what: what.into(),
            at: None,
            by: None,
            state,
        }
    }

    fn of(line: &Line, state: &'static str) -> Self {
        Self {
            at: Some(line.entry.at),
            by: Some(line.entry.actor.clone()),
            ..Self::new(short(line), state)
        }
    }
}

/// What an event is called on the line: a list of networks would not fit.
fn short(line: &Line) -> String {
    const CHARACTERS: usize = 60;
    let words = match line.entry.action.as_str() {
        "allocation.resize" => "resized",
        _ => &line.what,
    };
    match words.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}

/// Whether an event is about what the allocation is, and not only about who may take it over.
fn counts(line: &Line) -> bool {
    !matches!(
        line.entry.action.as_str(),
        "allocation.adopt" | "allocation.confirm" | "allocation.release"
    )
}

/// Whether a change is only the wish whose outcome another event of the same request tells.
fn is_told_by_another(line: &Line, history: &[Line]) -> bool {
    let fields = line.entry.detail.as_object().into_iter().flatten();
    let is_size = |field: &str| ["hosts", "prefix_length", "before", "dry_run"].contains(&field);
    line.entry.action == "allocation.update"
        && fields.map(|(field, _)| field.as_str()).all(is_size)
        && history.iter().any(|other| {
            other.entry.action == "allocation.resize"
                && other.entry.request_id == line.entry.request_id
        })
}

/// The life of what still has its space. The history has the newest first, and may lack the beginning.
pub(super) fn living(created_at: OffsetDateTime, by: &str, history: &[Line]) -> Vec<Step> {
    let mut steps = beginning(Some((created_at, by)), history);
    steps.push(Step::new("has its ranges", "held"));
    steps
}

/// What it began with, if the history lacks that and `created` does not say it, is when and by whom nobody knows.
fn beginning(created: Option<(OffsetDateTime, &str)>, history: &[Line]) -> Vec<Step> {
    let is_first = |line: &&Line| {
        matches!(
            line.entry.action.as_str(),
            "allocation.create" | "allocation.import"
        )
    };
    let first = match history.last().filter(is_first) {
        Some(line) => Step::of(line, "held"),
        None => Step {
            at: created.map(|(at, _)| at),
            by: created.map(|(_, by)| by.to_owned()),
            ..Step::new("allocated", "held")
        },
    };
    let changes: Vec<_> = history
        .iter()
        .rev()
        .filter(|line| counts(line) && !is_first(line) && !is_told_by_another(line, history))
        .collect();
    let left_out = changes.len().saturating_sub(STEPS);
    let mut steps = vec![first];
    match left_out {
        0 => {}
        1 => steps.push(Step::new("one more change", "held")),
        more => steps.push(Step::new(format!("{more} more changes"), "held")),
    }
    steps.extend(
        changes
            .iter()
            .skip(left_out)
            .map(|line| Step::of(line, "held")),
    );
    steps
}

/// The life of what was released: `cooling` is until when what is left of it is kept for the same name.
pub(super) fn ended(
    (at, by): (OffsetDateTime, String),
    history: &[Line],
    cooling: Option<OffsetDateTime>,
) -> Vec<Step> {
    let mut steps = beginning(None, history);
    let state = if cooling.is_some() {
        "cooling"
    } else {
        "ended"
    };
    steps.push(Step {
        at: Some(at),
        by: Some(by),
        ..Step::new("released", state)
    });
    match cooling {
        Some(until) => steps.extend([
            Step::new("cools down: only the same name gets it back", "cooling"),
            Step {
                at: Some(until),
                ..Step::new("free for everybody", "free")
            },
        ]),
        None => steps.push(Step::new("free, or somebody else's by now", "free")),
    }
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::db::event::Entry;

    fn line(second: i64, action: &str) -> Line {
        Line::new(Entry {
            at: OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(second),
            actor: "token/ci".to_owned(),
            action: action.to_owned(),
            detail: match action {
                "allocation.resize" => {
                    json!({ "before": ["10.0.0.0/24"], "cidrs": ["10.0.0.0/23"] })
                }
                _ => json!({ "hosts": second }),
            },
            // Every change in a request of its own.
            request_id: uuid::Uuid::from_u128(second.unsigned_abs().into()),
        })
    }

    fn told(steps: &[Step]) -> Vec<(&str, &str)> {
        steps
            .iter()
            .map(|step| (step.what.as_str(), step.state))
            .collect()
    }

    #[test]
    fn a_life_is_told_from_its_beginning() {
        let history = [
            line(4, "allocation.resize"),
            line(3, "allocation.confirm"),
            line(2, "allocation.update"),
            line(1, "allocation.create"),
        ];
        let steps = living(OffsetDateTime::UNIX_EPOCH, "admin", &history);
        assert_eq!(
            told(&steps),
            [
                ("allocated", "held"),
                ("hosts set to 2", "held"),
                ("resized", "held"),
                ("has its ranges", "held"),
            ]
        );
        assert_eq!(steps[0].at, Some(history[3].entry.at));
        assert_eq!(steps[3].at, None);
    }

    #[test]
    fn a_size_that_was_asked_for_and_given_is_one_step() {
        let mut history = [
            line(3, "allocation.resize"),
            line(3, "allocation.update"),
            line(1, "allocation.create"),
        ];
        history[1].entry.detail = json!({ "hosts": 9, "before": { "hosts": 5 } });
        let steps = living(OffsetDateTime::UNIX_EPOCH, "admin", &history);
        assert_eq!(steps.len(), 3, "{steps:?}");
        history[1].entry.detail = json!({ "hosts": 9, "name": "b" });
        let steps = living(OffsetDateTime::UNIX_EPOCH, "admin", &history);
        assert_eq!(steps.len(), 4, "{steps:?}");
    }

    #[test]
    fn a_long_life_is_told_in_a_few_steps_and_without_its_log() {
        let history: Vec<_> = (2..40)
            .rev()
            .map(|at| line(at, "allocation.update"))
            .collect();
        let steps = living(OffsetDateTime::UNIX_EPOCH, "admin", &history);
        assert_eq!(steps.len(), STEPS + 3);
        assert_eq!(steps[0].at, Some(OffsetDateTime::UNIX_EPOCH));
        assert_eq!(steps[1].what, "32 more changes");
        assert_eq!(steps[STEPS + 1].what, "hosts set to 39");
    }

    #[test]
    fn what_was_released_is_kept_for_its_name_before_it_is_free() {
        let history = [line(9, "allocation.release"), line(1, "allocation.create")];
        let until = OffsetDateTime::UNIX_EPOCH + time::Duration::days(7);
        let by = || (history[0].entry.at, "token/ci".to_owned());
        let steps = ended(by(), &history, Some(until));
        assert_eq!(steps.len(), 4);
        assert_eq!(
            (steps[1].what.as_str(), steps[1].state),
            ("released", "cooling")
        );
        assert_eq!((steps[3].at, steps[3].state), (Some(until), "free"));
        let steps = ended(by(), &history, None);
        assert_eq!(
            told(&steps),
            [
                ("allocated", "held"),
                ("released", "ended"),
                ("free, or somebody else's by now", "free"),
            ]
        );
        // It had a beginning that nothing tells of, which was not its end.
        for history in [&history[..1], &[]] {
            let steps = ended(by(), history, None);
            let first = (steps[0].what.as_str(), steps[0].at, &steps[0].by);
            assert_eq!(first, ("allocated", None, &None));
        }
    }
}
