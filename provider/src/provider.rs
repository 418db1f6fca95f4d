//! The provider: its settings, resources, ephemeral resources, data sources, lists and functions.

use std::{collections::BTreeMap, env, time::Duration};

use ipam_client::{Client, Error, Settings, SettingsError};
use ipam_shared::api::ownership::Owner;
use tfplugin::{
    Attribute, Configure, Context, DataSource, Diagnostic, Diagnostics, EphemeralResource, Field,
    Function, ListResource, Number, Provider, Resource, Result, Schema, Text, Type, Value,
    async_trait, object,
};

use crate::{
    connection::Connection,
    data_sources, ephemeral,
    framework::{call::until_stopped, failure::failure, labels, resource::NounResource},
    functions, lists,
    nouns::{
        allocation::resource::Allocation, pool::Pool, profile::Profile, reservation::Reservation,
        token::Token, vpc::Vpc, vrf::Vrf,
    },
    settings::{Adopt, Rename, owner},
};

/// The registry address; the local name is `ipam`.
pub(crate) const ADDRESS: &str = "ipam/ipam";

const ENDPOINT: &str = "IPAM_ENDPOINT";
const API_KEY: &str = "IPAM_API_KEY";

/// The provider `ipam/ipam`.
pub(crate) struct Ipam;

object! {
    #[derive(Debug)]
    struct Config {
        endpoint: Option<String>,
        api_key: Option<String>,
        ca_file: Option<String>,
        default_labels: Option<BTreeMap<String, String>>,
        owner: Option<String>,
        adopt: Option<Adopt>,
        rename: Option<Rename>,
        request_timeout: Option<u32>,
        retry_timeout: Option<u32>,
    }
}

#[async_trait]
impl Provider for Ipam {
    type Client = Connection;

    fn name(&self) -> &str {
        "ipam"
    }

    fn log_targets(&self) -> Vec<&str> {
        vec!["ipam_client"]
    }

    fn schema(&self) -> Schema {
        Schema::new(
            "Hands out network ranges that never overlap. One resource takes a node range and a pod range for a \
             Kubernetes cluster, sized in proportion, all or nothing, from an [ipam](https://github.com/ipam/ipam) \
             server.",
        )
        .attribute(
            "endpoint",
            Attribute::string().optional().describe(
                "Address of the ipam server, such as `https://ipam.example.com`. \
                 Default: the environment variable `IPAM_ENDPOINT`.",
            ),
        )
        .attribute(
            "api_key",
            Attribute::string().optional().sensitive().describe(
                "The API key. Default: the environment variable `IPAM_API_KEY`, which keeps the key out \
                 of the configuration.",
            ),
        )
        .attribute(
            "ca_file",
            Attribute::string().optional().describe(
                "Path of a PEM file with certificate authorities to trust, in addition to those of the system.",
            ),
        )
        .attribute(
            "default_labels",
            Attribute::map(Type::String).optional().describe(
                "Labels for everything that this provider creates and that has labels: allocations, pools, \
                 reservations, VPCs and VRFs. A label of the same key at a resource takes precedence. Default: none.",
            ),
        )
        .attribute(
            "owner",
            Attribute::string().optional().describe(
                "For whom this configuration creates things: a text of 1 to 255 characters that no other state uses, such \
                 as the name of its workspace. A creation that is repeated after an interrupted apply gets what the first \
                 one created, but another owner does not, so a copy of the configuration never takes over what the \
                 original has just created. Default: the environment variable `IPAM_OWNER`; else what the pipeline is for: \
                 the workspace of HCP Terraform (`TFC_WORKSPACE_SLUG`), or the project of GitLab (`CI_PROJECT_ID`, with \
                 `CI_ENVIRONMENT_NAME` and `TF_STATE_NAME`) or GitHub (`GITHUB_REPOSITORY_ID`), each with the selected \
                 workspace and the folder in the repository; else none, as with an empty text. Without an owner two copies \
                 that use the same key are distinguished only by the first refresh after the apply.",
            ),
        )
        .attribute(
            "adopt",
            Attribute::string().optional().describe(
                "What a creation does if the same owner created the same thing before and nobody has confirmed it: \
                 `unconfirmed` takes it over, which is how an interrupted apply is repeated; `never` fails with the \
                 command that imports it. Default: `unconfirmed`.",
            ),
        )
        .attribute(
            "rename",
            Attribute::string().optional().describe(
                "What happens to an allocation that is renamed, or to a pool that is renamed and whose ranges were cut by \
                 size: `in_place` lets it keep its ranges, with a warning in the plan that names them; `replace` releases \
                 it and creates a new one with the new name; `refuse` makes the plan fail. A list used with `count` that \
                 loses an element in the middle renames all that come after it, which is better noticed than applied. \
                 Default: `in_place`.",
            ),
        )
        .attribute(
            "request_timeout",
            Attribute::number().optional().describe(
                "Timeout in seconds of one request, 1 to 600. Default: 30.",
            ),
        )
        .attribute(
            "retry_timeout",
            Attribute::number().optional().describe(
                "For how many seconds a request is retried while the server can't be reached or is overloaded, 0 to 3600, \
                 counted from when it was last healthy. Retrying is always safe. Plans wait at most 25 seconds, since \
                 nothing is lost by planning again. 0 disables retries. Default: 60.",
            ),
        )
    }

    async fn validate(&self, ctx: &Context<Connection>, config: &Value) -> Result<()> {
        let within = |name: &str, least: u64, most: u64| -> Result<()> {
            let seconds: Field<Number> = config.attribute(name)?;
            if let Field::Known(seconds) = seconds
                && !seconds
                    .as_u64()
                    .is_some_and(|seconds| (least..=most).contains(&seconds))
            {
                ctx.report(
                    Diagnostic::error(
                        "Unsuitable number of seconds",
                        format!(
                            "{name} must be from {least} to {most}, in whole seconds, but it is {seconds}."
                        ),
                    )
                    .at(name),
                );
            }
            Ok(())
        };
        config.attribute::<Field<Rename>>("rename")?;
        config.attribute::<Field<Adopt>>("adopt")?;
        if config.get("owner").as_str() != Some("") {
            config.attribute::<Field<Text<Owner>>>("owner")?;
        }
        within("request_timeout", 1, 600)?;
        within("retry_timeout", 0, 3600)?;
        labels::check(config, "default_labels")
    }

    async fn configure(
        &self,
        ctx: &Context<Connection>,
        request: Configure,
    ) -> Result<Option<Connection>> {
        if !request.config.is_wholly_known() {
            return Ok(None);
        }
        let config: Config = request.config.parse()?;
        let mut missing = Diagnostics::new();
        let mut setting = |value: Option<String>, name: &str, variable: &str, what: &str| {
            let value = value
                .or_else(|| env::var(variable).ok())
                .filter(|value| !value.trim().is_empty());
            if value.is_none() {
                missing.push(
                    Diagnostic::error(
                        format!("The provider needs {name}"),
                        format!("Set {name} in the block provider \"ipam\", or the environment variable {variable}, to {what}."),
                    )
                    .at(name),
                );
            }
            value.unwrap_or_default()
        };
        let endpoint = setting(
            config.endpoint,
            "endpoint",
            ENDPOINT,
            "the address of the ipam server, such as http://127.0.0.1:8000",
        );
        let api_key = setting(
            config.api_key,
            "api_key",
            API_KEY,
            "an API key of that server",
        );
        missing.into_result()?;

        let mut settings = Settings::new(endpoint, api_key);
        settings.ca_file = config.ca_file.map(Into::into);
        settings.owner = owner::of(config.owner);
        settings.said = owner::said();
        settings.adopts = config.adopt.unwrap_or_default() == Adopt::Unconfirmed;
        settings.user_agent = format!(
            "terraform-provider-ipam/{} (Terraform {})",
            env!("CARGO_PKG_VERSION"),
            printable(&request.terraform_version)
        );
        if let Some(seconds) = config.request_timeout {
            settings.request_timeout = Duration::from_secs(seconds.into());
        }
        if let Some(seconds) = config.retry_timeout {
            settings = settings.with_retry_timeout(Duration::from_secs(seconds.into()));
        }
        let client = Client::new(&settings).map_err(|error| unusable(&error))?;
        // One clear message here, instead of one for each of a thousand resources.
        let what = format!("work with the ipam server at {}", client.endpoint());
        until_stopped(ctx, &what, client.check())
            .await?
            .map_err(|error| unavailable(&what, &error))?;
        Ok(Some(Connection::new(
            client,
            config.default_labels.unwrap_or_default(),
            settings.owner,
            config.rename.unwrap_or_default(),
        )))
    }

    async fn finish(&self, connection: &Connection) {
        connection.finish().await;
    }

    fn resources(&self) -> Vec<Box<dyn Resource<Connection>>> {
        vec![
            Box::new(Allocation),
            Box::new(NounResource::<Pool>::new()),
            Box::new(NounResource::<Profile>::new()),
            Box::new(NounResource::<Reservation>::new()),
            Box::new(NounResource::<Token>::new()),
            Box::new(NounResource::<Vpc>::new()),
            Box::new(NounResource::<Vrf>::new()),
        ]
    }

    fn data_sources(&self) -> Vec<Box<dyn DataSource<Connection>>> {
        data_sources::all()
    }

    fn ephemeral_resources(&self) -> Vec<Box<dyn EphemeralResource<Connection>>> {
        ephemeral::all()
    }

    fn list_resources(&self) -> Vec<Box<dyn ListResource<Connection>>> {
        lists::all()
    }

    fn functions(&self) -> Vec<Box<dyn Function>> {
        functions::all()
    }
}

fn unusable(error: &SettingsError) -> Diagnostic {
    let diagnostic =
        |detail: String| Diagnostic::error("The provider's settings can't be used", detail);
    match error {
        SettingsError::Endpoint { endpoint, reason } => diagnostic(format!(
            "\"{endpoint}\" is not the address of a server: {reason}."
        ))
        .at("endpoint"),
        SettingsError::ApiKey => diagnostic(
            "The API key contains characters that are not allowed in a key, such as a line break."
                .to_owned(),
        )
        .at("api_key"),
        SettingsError::CaFile { path, reason } => diagnostic(format!(
            "{} can't be used as a CA file: {reason}.",
            path.display()
        ))
        .at("ca_file"),
        SettingsError::Owner { .. } => diagnostic(format!("{error}.")).at("owner"),
        SettingsError::Client(_) => diagnostic(format!("{error}.")),
    }
}

fn unavailable(what: &str, error: &Error) -> Diagnostic {
    let mut message = failure(what, error);
    message
        .detail
        .push_str("\n\nNothing was planned or changed.");
    message
}

fn printable(version: &str) -> String {
    version
        .chars()
        .filter(char::is_ascii_graphic)
        .take(40)
        .collect()
}
