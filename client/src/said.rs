//! What a client says about where its changes come from, for the audit log: nobody checks it, and it helps to find the run
//! that made a change.

use ipam_shared::api::event::{COMMIT_HEADER, MAX_SOURCE, RUN_HEADER, WORKSPACE_HEADER};
use reqwest::header::{HeaderMap, HeaderValue};

/// Workspace, run and commit of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The workspace of Terraform, or another part of a pipeline.
    pub workspace: Option<String>,
    /// The run, best as an address that a browser opens.
    pub run: Option<String>,
    /// The commit that the run is of.
    pub commit: Option<String>,
}

/// Variables that say which workspace it is, the first one counts.
const WORKSPACE: [&str; 3] = ["IPAM_WORKSPACE", "TFC_WORKSPACE_SLUG", "TF_WORKSPACE"];
/// The same for the run: HCP Terraform, GitLab, Jenkins, Buildkite, CircleCI, Azure.
const RUN: [&str; 7] = [
    "IPAM_RUN",
    "TFC_RUN_ID",
    "CI_JOB_URL",
    "BUILD_URL",
    "BUILDKITE_BUILD_URL",
    "CIRCLE_BUILD_URL",
    "BUILD_BUILDURI",
];
/// The same for the commit, GitHub among them.
const COMMIT: [&str; 8] = [
    "IPAM_COMMIT",
    "TFC_CONFIGURATION_VERSION_GIT_COMMIT_SHA",
    "CI_COMMIT_SHA",
    "GITHUB_SHA",
    "GIT_COMMIT",
    "BUILDKITE_COMMIT",
    "CIRCLE_SHA1",
    "BUILD_SOURCEVERSION",
];

impl Said {
    /// What the variables say that pipelines set.
    pub fn by(variable: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name: &str| {
            let value = variable(name).map(|value| value.trim().to_owned());
            value.filter(|value| !value.is_empty())
        };
        let first = |names: &[&str]| names.iter().copied().find_map(given);
        // GitHub names the run by its parts.
        let github = || {
            let [server, repository, run] =
                ["GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"].map(given);
            Some(format!("{}/{}/actions/runs/{}", server?, repository?, run?))
        };
        Self {
            workspace: first(&WORKSPACE),
            run: given(RUN[0]).or_else(github).or_else(|| first(&RUN)),
            commit: first(&COMMIT),
        }
    }

    /// As headers, as far as the server takes it.
    pub(crate) fn headers(&self) -> HeaderMap {
        let all = [
            (WORKSPACE_HEADER, &self.workspace),
            (RUN_HEADER, &self.run),
            (COMMIT_HEADER, &self.commit),
        ];
        let all = all.into_iter().filter_map(|(name, value)| {
            let text: String = value
                .as_deref()?
                .chars()
                .filter(|c| !c.is_control())
                .collect();
            let text: String = text.trim().chars().take(MAX_SOURCE).collect();
            let value = HeaderValue::from_bytes(text.trim().as_bytes()).ok()?;
            (!value.is_empty()).then_some((name.parse().ok()?, value))
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(variables: &[(&str, &str)]) -> Said {
        Said::by(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn pipelines_are_recognised() {
        let github = said(&[
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "acme/net"),
            ("GITHUB_RUN_ID", "42"),
            ("GITHUB_SHA", "abc"),
            ("TF_WORKSPACE", "prod"),
        ]);
        assert_eq!(
            github.run.as_deref(),
            Some("https://github.com/acme/net/actions/runs/42")
        );
        assert_eq!(
            (github.commit.as_deref(), github.workspace.as_deref()),
            (Some("abc"), Some("prod"))
        );
        let hcp = said(&[("TFC_RUN_ID", "run-1"), ("TFC_WORKSPACE_SLUG", "acme/prod")]);
        assert_eq!(
            (hcp.run.as_deref(), hcp.workspace.as_deref()),
            (Some("run-1"), Some("acme/prod"))
        );
        let own = said(&[
            ("IPAM_RUN", " by hand "),
            ("CI_JOB_URL", "https://gitlab/1"),
        ]);
        assert_eq!(own.run.as_deref(), Some("by hand"));
        assert_eq!(said(&[("GITHUB_RUN_ID", "42")]), Said::default());
    }

    #[test]
    fn what_a_server_would_refuse_is_not_sent() {
        let said = Said {
            workspace: Some(format!(" a\nb{}", "ö".repeat(300))),
            run: Some("\u{1}".to_owned()),
            commit: None,
        };
        let headers = said.headers();
        assert_eq!(headers.len(), 1);
        let workspace = std::str::from_utf8(headers[WORKSPACE_HEADER].as_bytes()).unwrap();
        assert_eq!(workspace.chars().count(), MAX_SOURCE);
        assert!(workspace.starts_with("abö"), "{workspace}");
    }
}
