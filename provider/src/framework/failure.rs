//! From a failed call to the message that Terraform shows: what failed, why, and what to do about it.

use ipam_client::Error;
use ipam_shared::error::Code;
use tfplugin::{Diagnostic, Path};

/// The message for a call that failed. `what` completes "Can't …", such as "create the allocation prod/a".
pub(crate) fn failure(what: &str, error: &Error) -> Diagnostic {
    explained(what, error, advice(error))
}

/// The message for a creation whose name is taken by something that can be imported as `id`.
pub(crate) fn name_taken(what: &str, error: &Error, id: &str) -> Diagnostic {
    let advice = quotable(id).map(|id| {
        format!(
            "Change the name; or, if the existing one is to belong to this configuration from now on, {}",
            import(id)
        )
    });
    explained(what, error, advice)
}

/// The same, with this advice.
pub(crate) fn explained(what: &str, error: &Error, advice: Option<String>) -> Diagnostic {
    let mut detail = sentence(&error.to_string());
    if let Some(advice) = advice {
        detail.push_str("\n\n");
        detail.push_str(&advice);
    }
    Diagnostic::error(format!("Can't {what}"), detail).at(part(error))
}

/// The part of the configuration that the server complains of, as far as it says so: an attribute has the name that its
/// field has in the API.
fn part(error: &Error) -> Path {
    let problem = error.problem();
    let field = problem.and_then(|problem| problem.details.get("field")?.as_str());
    let names = field.into_iter().flat_map(|field| field.split('.'));
    names.fold(Path::root(), |path, name| path.then(name))
}

/// How to take over what exists.
fn import(id: &str) -> String {
    format!(
        "import it under the address that is shown with this message:\n\n  terraform import ADDRESS '{id}'\n\nor with a \
         block:\n\n  import {{\n    to = ADDRESS\n    id = \"{id}\"\n  }}"
    )
}

/// A text with a capital letter at its beginning.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

fn advice(error: &Error) -> Option<String> {
    let problem = error.problem()?;
    Some(match problem.code {
        Code::Unauthorized => {
            "Check the API key: the setting api_key of the provider, or the environment variable IPAM_API_KEY."
                .to_owned()
        }
        Code::Claimed => {
            let id = quotable(problem.details.get("import_id")?.as_str()?)?;
            format!(
                "If this configuration is to own it from now on, and no other state does, {}\n\nOtherwise give this \
                 one another name.",
                import(id)
            )
        }
        Code::DeletionProtected => {
            "Set deletion_protection = false and apply that first.".to_owned()
        }
        _ => return None,
    })
}

/// Only ids that are safe between quotes are shown.
fn quotable(id: &str) -> Option<&str> {
    (!id.contains(['\'', '"', '\\', '$', '%'])).then_some(id)
}

/// Says that the server does not know an id that the state has.
pub(crate) fn unknown_id(word: &str, id: &str, endpoint: &str) -> Diagnostic {
    Diagnostic::error(
        format!("The server doesn't know this {word}"),
        format!(
            "There is no {word} {id} at {endpoint}, and none with that id was ever deleted there. It may be \
             another server than the one that created it, or its database may be empty or restored from an old backup. \
             Nothing was changed: the {word} stays in the state. Check the endpoint and the database; if the \
             {word} is really lost, remove it from the state with \"terraform state rm\"."
        ),
    )
}

/// Reports that something in the state was deleted elsewhere, and accepts that.
pub(crate) fn gone(word: &str, title: &str, error: &Error) -> Diagnostic {
    Diagnostic::warning(
        format!("The {word} {title} was deleted"),
        format!("The server says: {error}. It is removed from the state."),
    )
}

/// Why something was not created: possibly because something of its name has an owner.
pub(crate) fn not_made(what: &str, error: &Error) -> Diagnostic {
    let mut message = failure(what, error);
    if error.code() == Some(Code::Claimed) {
        message.detail.push_str(
            " A resource that is replaced with create_before_destroy needs a name that changes with it, because for a \
             while both exist.",
        );
    }
    message
}

/// Why something was not changed: possibly because its new name is taken.
pub(crate) fn not_changed(what: &str, error: &Error) -> Diagnostic {
    if error.code() != Some(Code::NameTaken) {
        return failure(what, error);
    }
    let advice = "Choose another name; or, if another resource of this configuration is about to give up that name, apply \
        again: the two were not changed at the same time, perhaps because of -parallelism=1. Where they never are and two \
        swap their names, one of them needs a third name in between.";
    explained(what, error, Some(advice.to_owned()))
}

/// Refuses a second resource with the same name.
pub(crate) fn wanted_twice(word: &str, title: &str, attribute: &str) -> Diagnostic {
    Diagnostic::error(
        format!("Two resources want the {word} {title}"),
        format!(
            "This one and another one of this configuration would have the same name, and so be one {word} that both own: \
             the first of the two to be changed or destroyed would take it away from the other. Give each of them a name \
             of its own. In a resource with for_each or count the name has to contain each.key, each.value or count.index."
        ),
    )
    .at(attribute)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ipam_client::Refusal;
    use ipam_shared::error::Problem;
    use serde_json::Value as Json;

    use super::*;

    fn refused(code: Code, details: Json) -> Error {
        let mut problem = Problem::new(code, "it is so.");
        problem.details = details;
        Error::Refused(Box::new(Refusal {
            problem,
            attempts: 1,
            elapsed: Duration::ZERO,
            repeated: false,
        }))
    }

    #[test]
    fn a_message_says_what_why_and_what_to_do() {
        let error = refused(Code::Claimed, serde_json::json!({"import_id": "prod/a"}));
        let message = failure("create the allocation prod/a", &error);
        assert_eq!(message.summary, "Can't create the allocation prod/a");
        assert!(message.detail.starts_with("It is so. (claimed)"));
        assert!(message.detail.contains("terraform import ADDRESS 'prod/a'"));
        let hostile = refused(
            Code::Claimed,
            serde_json::json!({"import_id": "a'; rm -rf /"}),
        );
        assert!(!failure("x", &hostile).detail.contains("rm -rf"));
        assert_eq!(message.path, Path::root());
        let error = refused(
            Code::InvalidRequest,
            serde_json::json!({"field": "limits.vrfs"}),
        );
        let limits = Path::attribute("limits");
        assert_eq!(failure("x", &error).path, limits.then("vrfs"));
        let error = refused(Code::NameTaken, Json::Null);
        let message = name_taken("create the pool dev/a", &error, "dev/a");
        assert!(
            message.detail.contains("id = \"dev/a\""),
            "{}",
            message.detail
        );
        assert!(
            !name_taken("x", &error, "$(rm -rf /)")
                .detail
                .contains("rm -rf")
        );
    }
}
