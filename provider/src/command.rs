//! What Terraform was asked to do, according to its command line.
//!
//! A destroy begins with a plan of the whole configuration, in which nothing shows that everything is about to be
//! destroyed; an error in it aborts the destroy. So an impossible configuration is an error in a plan, but only a warning
//! before a destroy, which removes it anyway. The protocol does not distinguish the two, but the command line of the parent
//! process does. Where that can't be read, or another program runs Terraform as a library, a plan is treated as a plan:
//! then `terraform destroy -refresh=false` avoids the plan of the configuration.

use std::{env, os::unix::process::parent_id, process::Command, sync::LazyLock};

use tfplugin::{Context, Diagnostic, Severity};

/// Whether everything is about to be destroyed.
pub(crate) fn is_destroy() -> bool {
    static IS_DESTROY: LazyLock<bool> = LazyLock::new(|| asks_to_destroy(words()));
    *IS_DESTROY
}

/// Whether this is only a plan, so that no call belongs to an apply.
pub(crate) fn is_only_plan() -> bool {
    static IS_ONLY_PLAN: LazyLock<bool> = LazyLock::new(|| asks_to_plan(words()));
    *IS_ONLY_PLAN
}

/// Whether Terraform asks for one thing after another, so that waiting reveals nothing of what is still to come.
pub(crate) fn is_one_by_one() -> bool {
    static IS_ONE_BY_ONE: LazyLock<bool> = LazyLock::new(|| asks_one_by_one(words()));
    *IS_ONE_BY_ONE
}

/// Whether only a part of the state is processed.
pub(crate) fn is_partial() -> bool {
    words().any(|word| {
        let word = word.trim_start_matches('-');
        word == "refresh=false" || word.starts_with("target") || word.starts_with("exclude")
    })
}

/// All of Terraform's arguments: its command line, and what the environment adds to it.
fn words() -> impl Iterator<Item = String> {
    with_more(command_line(), |name| env::var(name).ok()).into_iter()
}

/// With what the environment adds to every command, and to this one.
fn with_more(mut words: Vec<String>, variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    const OF_ALL: &str = "TF_CLI_ARGS";
    let command = words.iter().skip(1).find(|word| !word.starts_with('-'));
    let of_command = command.and_then(|command| variable(&format!("{OF_ALL}_{command}")));
    for more in [variable(OF_ALL), of_command].into_iter().flatten() {
        words.extend(more.split_whitespace().map(str::to_owned));
    }
    words
}

fn asks_to_plan(words: impl Iterator<Item = String>) -> bool {
    let mut words = words.skip(1).filter(|word| !word.starts_with('-'));
    words.next().is_some_and(|word| word == "plan")
}

fn asks_one_by_one(mut words: impl Iterator<Item = String>) -> bool {
    words.any(|word| {
        let number = word.trim_start_matches('-').strip_prefix("parallelism=");
        number.is_some_and(|number| matches!(number, "1" | "2" | "3"))
    })
}

/// Reports what keeps the plan from being carried out: an error, unless everything is about to be destroyed.
pub(crate) fn report_obstacle<C>(ctx: &Context<C>, mut obstacle: Diagnostic) {
    if is_destroy() {
        obstacle.severity = Severity::Warning;
    }
    ctx.report(obstacle);
}

/// The command line of the parent process.
fn command_line() -> Vec<String> {
    let parent = parent_id();
    if let Ok(words) = std::fs::read(format!("/proc/{parent}/cmdline")) {
        let words = words.split(|byte| *byte == 0);
        return words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
    }
    let listed = Command::new("ps")
        .args(["-o", "args=", "-p", &parent.to_string()])
        .output();
    listed.map_or_else(
        |_| Vec::new(),
        |listed| {
            let text = String::from_utf8_lossy(&listed.stdout).into_owned();
            text.split_whitespace().map(str::to_owned).collect()
        },
    )
}

fn asks_to_destroy(words: impl Iterator<Item = String>) -> bool {
    let mut words = words.skip(1);
    words.any(|word| {
        matches!(
            word.as_str(),
            "destroy" | "-destroy" | "--destroy" | "-destroy=true" | "--destroy=true"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_adds_to_every_command_or_to_one() {
        let variable = |name: &str| match name {
            "TF_CLI_ARGS" => Some("-no-color".to_owned()),
            "TF_CLI_ARGS_apply" => Some("-destroy  -parallelism=1".to_owned()),
            _ => None,
        };
        for (line, all) in [
            (
                "terraform -chdir=a plan",
                "terraform -chdir=a plan -no-color",
            ),
            ("tofu apply", "tofu apply -no-color -destroy -parallelism=1"),
            ("", "-no-color"),
        ] {
            let words = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(with_more(words, variable).join(" "), all);
        }
    }

    #[test]
    fn a_walk_in_single_file_is_told_from_others() {
        for (line, expected) in [
            ("terraform plan -parallelism=1", true),
            ("terraform plan --parallelism=2", true),
            ("terraform plan -parallelism=10", false),
            ("terraform plan", false),
        ] {
            let words = line.split_whitespace().map(str::to_owned);
            assert_eq!(asks_one_by_one(words), expected, "{line}");
        }
    }

    #[test]
    fn a_plan_alone_is_told_from_an_apply() {
        for (line, expected) in [
            ("terraform plan -out=plan", true),
            ("terraform -chdir=stack plan", true),
            ("terraform apply -auto-approve", false),
            ("terraform apply plan", false),
            ("", false),
        ] {
            let words = line.split_whitespace().map(str::to_owned);
            assert_eq!(asks_to_plan(words), expected, "{line}");
        }
    }

    #[test]
    fn a_destroy_is_told_from_a_plan() {
        for (line, destroys) in [
            ("terraform plan -out=plan", false),
            ("terraform apply -auto-approve", false),
            ("terraform destroy -auto-approve", true),
            ("terraform -chdir=stack destroy", true),
            ("tofu plan -destroy -out=plan", true),
            ("terraform apply --destroy=true", true),
            ("destroy plan", false),
            ("", false),
        ] {
            let words = line.split_whitespace().map(str::to_owned);
            assert_eq!(asks_to_destroy(words), destroys, "{line}");
        }
    }
}
