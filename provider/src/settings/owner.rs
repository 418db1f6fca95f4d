//! For whom this configuration creates things, so that a copy of it with the same key is distinguished from a run that is
//! repeated after a crash.
//!
//! Terraform does not tell the provider which state a run is for, but pipelines set variables that name the project, and a
//! run of another project, environment, workspace or folder is for another state.

use std::{env, fs, path::Path};

use ipam_client::Said;
use ipam_shared::api::ownership::MAX_OWNER;

/// The environment variable that says it.
const OWNER: &str = "IPAM_OWNER";

/// The setting, else the environment variable, else what follows from where Terraform runs; nothing if the setting is
/// empty, and outside of pipelines.
pub(crate) fn of(setting: Option<String>) -> Option<String> {
    let said = setting.or_else(|| env::var(OWNER).ok());
    match said {
        Some(owner) => Some(owner.trim().to_owned()).filter(|owner| !owner.is_empty()),
        None => derived(),
    }
}

fn derived() -> Option<String> {
    let here = env::current_dir().ok();
    let folder = |root: &str| {
        let below = here.as_deref()?.strip_prefix(root).ok()?;
        below.to_str().map(str::to_owned)
    };
    from(|name| env::var(name).ok(), chosen, folder)
}

/// The workspace that was chosen by hand.
fn chosen() -> Option<String> {
    let data = env::var("TF_DATA_DIR").unwrap_or_else(|_| ".terraform".to_owned());
    fs::read_to_string(Path::new(&data).join("environment")).ok()
}

/// What the audit log is told about the run.
pub(crate) fn said() -> Said {
    let mut said = Said::by(|name| env::var(name).ok());
    // The same name as in Terraform, where nothing else was chosen.
    said.workspace =
        (said.workspace).or_else(|| Some(chosen().unwrap_or_else(|| "default".to_owned())));
    said
}

/// The same from these variables, the workspace that was chosen by hand, and the folder below the root of a checkout.
fn from(
    variable: impl Fn(&str) -> Option<String>,
    workspace: impl FnOnce() -> Option<String>,
    folder: impl FnOnce(&str) -> Option<String>,
) -> Option<String> {
    let given = |name: &str| {
        let value = variable(name).map(|value| value.trim().to_owned());
        value.filter(|value| !value.is_empty())
    };
    // A run of HCP Terraform or Terraform Enterprise: organization/workspace.
    if let Some(slug) = given("TFC_WORKSPACE_SLUG") {
        return Some(shortened(format!("hcp {slug}")));
    }
    let (kind, host, project, environment, root) = if let Some(id) = given("CI_PROJECT_ID") {
        let environment = [given("CI_ENVIRONMENT_NAME"), given("TF_STATE_NAME")];
        let host = given("CI_SERVER_HOST");
        ("gitlab", host, id, environment, given("CI_PROJECT_DIR"))
    } else {
        // GitHub sets no variable with the name of a job's environment.
        let id = given("GITHUB_REPOSITORY_ID")?;
        let host = given("GITHUB_SERVER_URL");
        let host = host.map(|url| url.trim_start_matches("https://").to_owned());
        ("github", host, id, [None, None], given("GITHUB_WORKSPACE"))
    };
    let workspace = given("TF_WORKSPACE").or_else(|| {
        let chosen = workspace()?.trim().to_owned();
        (!chosen.is_empty() && chosen != "default").then_some(chosen)
    });
    let folder = root.and_then(|root| folder(&root));
    let rest = environment.into_iter().chain([workspace, folder]);
    let parts = rest.flatten().filter(|part| !part.is_empty());
    let all = [format!("{kind} {}/{project}", host.unwrap_or_default())]
        .into_iter()
        .chain(parts);
    Some(shortened(all.collect::<Vec<_>>().join(" ")))
}

/// What every server takes.
fn shortened(owner: String) -> String {
    let owner: String = owner.chars().filter(|c| !c.is_control()).collect();
    let owner: String = owner.chars().take(MAX_OWNER).collect();
    owner.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn owner(variables: &[(&str, &str)], workspace: Option<&str>) -> Option<String> {
        let all: HashMap<_, _> = variables.iter().copied().collect();
        from(
            |name| all.get(name).map(|value| (*value).to_owned()),
            || workspace.map(str::to_owned),
            |root| Some(format!("stacks/{}", root.len())),
        )
    }

    #[test]
    fn a_pipeline_says_for_whom_it_runs() {
        assert_eq!(owner(&[("CI", "true")], Some("prod")), None);
        let hcp = [
            ("TFC_WORKSPACE_SLUG", "acme/network-prod"),
            ("TFC_RUN_ID", "run-1"),
        ];
        assert_eq!(owner(&hcp, None).as_deref(), Some("hcp acme/network-prod"));
        let gitlab = [
            ("CI_PROJECT_ID", "42"),
            ("CI_SERVER_HOST", "gitlab.example.com"),
            ("CI_ENVIRONMENT_NAME", "prod"),
            ("CI_PROJECT_DIR", "/builds/a"),
            ("TF_WORKSPACE", "eu"),
            ("CI_JOB_ID", "7"),
        ];
        let all = "gitlab gitlab.example.com/42 prod eu stacks/9";
        assert_eq!(owner(&gitlab, Some("us")).as_deref(), Some(all));
        let github = [
            ("GITHUB_REPOSITORY_ID", "42"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_RUN_ID", "7"),
        ];
        assert_eq!(
            owner(&github, Some("us\n")).as_deref(),
            Some("github github.com/42 us")
        );
        assert_eq!(
            owner(&github, Some("default")).as_deref(),
            Some("github github.com/42")
        );
    }

    #[test]
    fn a_long_name_is_shortened() {
        let slug = format!("acme/{}", "x".repeat(300));
        let owner = owner(&[("TFC_WORKSPACE_SLUG", &slug)], None).unwrap();
        assert_eq!(owner.chars().count(), MAX_OWNER);
    }
}
