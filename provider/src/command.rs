//! What Terraform was asked to do, as far as its command line tells.
//!
//! A destroy begins with a plan of the whole configuration, in which nothing says that everything is about to go; an
//! error in it is the end of the destroy. So what can't be is an error in a plan, but only a warning on the way to a
//! destroy, which makes it go away. The protocol does not tell the two apart, and the process that started this one does.
//! Where it can't be read, or somebody else runs Terraform as a library, a plan is taken for a plan: then
//! `terraform destroy -refresh=false` leaves out the plan of the configuration.

use std::{env, os::unix::process::parent_id, process::Command, sync::LazyLock};

use tfplugin::{Context, Diagnostic, Severity};

/// Whether everything is about to be destroyed.
pub(crate) fn is_destroy() -> bool {
    static IS_DESTROY: LazyLock<bool> = LazyLock::new(|| asks_to_destroy(words()));
    *IS_DESTROY
}

/// Whether nothing but a plan is made, so that no call belongs to an apply.
pub(crate) fn is_only_plan() -> bool {
    static IS_ONLY_PLAN: LazyLock<bool> = LazyLock::new(|| asks_to_plan(words()));
    *IS_ONLY_PLAN
}

/// Whether Terraform asks for one thing after another, so that waiting teaches nothing of what is still to come.
pub(crate) fn is_one_by_one() -> bool {
    static IS_ONE_BY_ONE: LazyLock<bool> = LazyLock::new(|| asks_one_by_one(words()));
    *IS_ONE_BY_ONE
}

/// Whether only some of what the state holds is looked at.
pub(crate) fn is_partial() -> bool {
    words().any(|word| {
        let word = word.trim_start_matches('-');
        word == "refresh=false" || word.starts_with("target") || word.starts_with("exclude")
    })
}

/// All that Terraform was told: its command line, and what the environment adds to it.
fn words() -> impl Iterator<Item = String> {
    let more = env::vars()
        .filter(|(name, _)| name.starts_with("TF_CLI_ARGS"))
        .flat_map(|(_, value)| {
            value
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
    command_line().into_iter().chain(more)
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

/// The words with which the process was started that started this one.
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
