//! What a test stands on: a database, a server, and a directory in which terraform runs with our provider.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use ipam_testing::{TestDatabase, TestServer};
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::terraform::Terraform;

/// How long one terraform run may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) const PROVIDER: &str = env!("CARGO_BIN_EXE_terraform-provider-ipam");

/// A server on a database of its own.
pub(crate) struct Stack {
    pub(crate) server: TestServer,
    pub(crate) database: TestDatabase,
}

impl Stack {
    pub(crate) async fn start() -> Self {
        let database = TestDatabase::new().await;
        let server = TestServer::start(&database).await;
        Self { server, database }
    }

    /// A directory for terraform whose provider talks to this server.
    pub(crate) fn workspace(&self) -> Workspace {
        Workspace::new(&self.server.url())
    }

    /// The answer of a query with one number, past the server and the provider.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        let mut connection = self.database.connect().await;
        sqlx::query_scalar(sql)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }

    pub(crate) async fn allocations(&self) -> i64 {
        self.count("select count(*) from allocation").await
    }

    /// Calls the API as a script would.
    pub(crate) async fn api(&self, method: reqwest::Method, path: &str, body: Json) -> Json {
        _ = rustls::crypto::ring::default_provider().install_default();
        let request = reqwest::Client::new()
            .request(method, format!("{}/api/v1/{path}", self.server.url()))
            .bearer_auth(TestServer::API_KEY)
            .json(&body);
        let response = request.send().await.unwrap();
        assert!(
            response.status().is_success(),
            "{:?}",
            response.text().await
        );
        let text = response.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or(Json::Null)
    }
}

/// A directory with a configuration and a state.
pub(crate) struct Workspace {
    terraform: Terraform,
    dir: TempDir,
    endpoint: String,
    api_key: String,
    settings: String,
    variables: Vec<(String, String)>,
}

/// What a terraform run said.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    /// Both outputs, without the line breaks that terraform makes to fit a terminal.
    pub(crate) text: String,
}

impl Run {
    fn new(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let run = Self {
            code: output.status.code(),
            text,
        };
        run.is_well_put();
        run
    }

    /// What no message may contain, whatever it is about: two full stops, a time that is not as in RFC 3339 or finer than
    /// the database's clock, the limits of a type.
    fn is_well_put(&self) {
        let text = self.flat().replace("...", "");
        // Terraform's own words about a provider that was killed before it said anything.
        if text.contains("Unrecognized remote plugin message") {
            return;
        }
        for unwanted in ["..", "+00:00", "18446744073709551615"] {
            assert!(
                !text.contains(unwanted),
                "{unwanted:?} is said in:\n{}",
                self.text
            );
        }
        let times = text.split_whitespace().filter(|word| {
            let bytes = word.as_bytes();
            bytes.len() > 20 && bytes.get(4) == Some(&b'-') && bytes.get(10) == Some(&b'T')
        });
        for time in times {
            let fraction = time.split_once('.').map_or("", |(_, fraction)| fraction);
            let digits = fraction.chars().take_while(char::is_ascii_digit).count();
            assert!(
                digits <= 6,
                "{time} is finer than the database's clock:\n{}",
                self.text
            );
        }
    }

    /// Panics unless the run succeeded.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.text);
        self
    }

    /// Panics unless the run failed.
    #[track_caller]
    pub(crate) fn failed(self) -> Self {
        assert_eq!(self.code, Some(1), "{}", self.text);
        self
    }

    /// Panics unless the text is there, wherever terraform broke the lines.
    #[track_caller]
    pub(crate) fn says(self, wanted: &str) -> Self {
        assert!(
            self.flat().contains(wanted),
            "{wanted:?} is not said in:\n{}",
            self.text
        );
        self
    }

    /// Panics if the text is there.
    #[track_caller]
    pub(crate) fn does_not_say(self, unwanted: &str) -> Self {
        assert!(
            !self.flat().contains(unwanted),
            "{unwanted:?} is said in:\n{}",
            self.text
        );
        self
    }

    /// How often the text is there.
    pub(crate) fn times(&self, text: &str) -> usize {
        self.flat().matches(text).count()
    }

    fn flat(&self) -> String {
        let words = self
            .text
            .split(|c: char| c.is_whitespace() || "│╷╵".contains(c));
        words
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

impl Workspace {
    pub(crate) fn new(endpoint: &str) -> Self {
        let terraform = Terraform::of_these_tests();
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        // Writes down its process number, which it keeps when it becomes the provider.
        let wrapper = bin.join("terraform-provider-ipam");
        let script = format!(
            "#!/bin/sh\necho $$ >>'{}'\nexec '{PROVIDER}' \"$@\"\n",
            dir.path().join("pids").display()
        );
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        let config = format!(
            "provider_installation {{\n  dev_overrides {{\n    \"ipam/ipam\" = \"{}\"\n  }}\n  direct {{}}\n}}\n",
            bin.display()
        );
        fs::write(dir.path().join("terraform.rc"), config).unwrap();
        Self {
            terraform,
            dir,
            endpoint: endpoint.to_owned(),
            api_key: TestServer::API_KEY.to_owned(),
            settings: String::new(),
            variables: Vec::new(),
        }
    }

    /// With these lines in the provider block.
    #[must_use]
    pub(crate) fn settings(mut self, settings: &str) -> Self {
        settings.clone_into(&mut self.settings);
        self
    }

    /// With this environment variable.
    #[must_use]
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same state, as if it had been copied to somebody else's machine.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new(&self.endpoint).settings(&self.settings);
        for file in ["main.tf", "terraform.tfstate"] {
            if self.path(file).exists() {
                fs::copy(self.path(file), copy.path(file)).unwrap();
            }
        }
        copy
    }

    pub(crate) fn use_endpoint(&mut self, endpoint: &str) {
        endpoint.clone_into(&mut self.endpoint);
    }

    pub(crate) fn use_key(&mut self, key: &str) {
        key.clone_into(&mut self.api_key);
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Replaces the configuration.
    pub(crate) fn write(&self, body: &str) -> &Self {
        let head = "terraform {\n  required_providers {\n    ipam = {\n      source = \"ipam/ipam\"\n    }\n  }\n}\n";
        let provider = format!("provider \"ipam\" {{\n{}\n}}\n", self.settings);
        fs::write(self.path("main.tf"), format!("{head}{provider}{body}")).unwrap();
        self
    }

    /// A terraform command, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::from(self.terraform.command());
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH"))
            .env("HOME", self.dir.path())
            .env("TF_CLI_CONFIG_FILE", self.path("terraform.rc"))
            .env("TF_IN_AUTOMATION", "1")
            .env("CHECKPOINT_DISABLE", "1")
            .env("IPAM_ENDPOINT", &self.endpoint)
            .env("IPAM_API_KEY", &self.api_key)
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a script of the directory, with the environment that terraform has.
    pub(crate) async fn script(&self, file: &str, arguments: &[&str]) -> Run {
        let terraform = self.command(&[]);
        let environment = terraform.as_std().get_envs();
        let mut script = Command::new(self.path(file));
        script
            .args(arguments)
            .current_dir(self.dir.path())
            .env_clear()
            .envs(environment.filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        finish(script.spawn().unwrap()).await
    }

    /// Starts terraform and does not wait for it.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap_or_else(|error| {
            panic!("terraform must be on the path to run these tests: {error}")
        })
    }

    pub(crate) async fn terraform(&self, arguments: &[&str]) -> Run {
        let child = self.start(arguments);
        finish(child).await
    }

    pub(crate) async fn plan(&self) -> Run {
        self.terraform(&["plan", "-no-color", "-input=false", "-detailed-exitcode"])
            .await
    }

    /// Panics unless there is nothing to do.
    pub(crate) async fn plan_is_empty(&self) {
        self.plan().await.succeeded().says("No changes.");
    }

    /// A plan with changes.
    pub(crate) async fn plan_changes(&self) -> Run {
        let run = self.plan().await;
        assert_eq!(run.code, Some(2), "{}", run.text);
        run
    }

    pub(crate) async fn apply(&self) -> Run {
        self.terraform(&["apply", "-no-color", "-input=false", "-auto-approve"])
            .await
    }

    pub(crate) async fn destroy(&self) -> Run {
        self.terraform(&["destroy", "-no-color", "-input=false", "-auto-approve"])
            .await
    }

    /// Attributes of the resource or data source at that address.
    pub(crate) async fn show(&self, address: &str) -> Json {
        let state = self.state().await;
        let resources = state["values"]["root_module"]["resources"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = resources
            .into_iter()
            .find(|resource| resource["address"] == address);
        found.unwrap_or_else(|| panic!("{address} is not in the state"))["values"].clone()
    }

    pub(crate) async fn output(&self, name: &str) -> Json {
        self.state().await["values"]["outputs"][name]["value"].clone()
    }

    /// Ids of all allocations in the state.
    pub(crate) async fn ids(&self) -> Vec<String> {
        let state = self.state().await;
        let resources = state["values"]["root_module"]["resources"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let managed = resources
            .iter()
            .filter(|resource| resource["mode"] == "managed");
        managed
            .map(|resource| resource["values"]["id"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn state(&self) -> Json {
        let output = self.command(&["show", "-json"]).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Process number of the provider that was started last.
    pub(crate) fn provider_pid(&self) -> i32 {
        let pids = fs::read_to_string(self.path("pids")).unwrap();
        pids.lines().last().unwrap().parse().unwrap()
    }

    /// All providers that this workspace has started.
    pub(crate) fn provider_pids(&self) -> Vec<i32> {
        let pids = fs::read_to_string(self.path("pids")).unwrap_or_default();
        pids.lines().map(|pid| pid.parse().unwrap()).collect()
    }
}

/// Waits for a terraform run.
pub(crate) async fn finish(child: Child) -> Run {
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .expect("terraform should have ended by now");
    Run::new(&output.unwrap())
}

/// An `ipam_allocation` with a label, called like its name.
pub(crate) fn allocation(name: &str, attributes: &str) -> String {
    format!(
        "resource \"ipam_allocation\" \"{name}\" {{\n  vpc  = \"prod\"\n  name = \"{name}\"\n{attributes}\n}}\n"
    )
}

/// Waits for a condition, which must become true.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "still not so: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a process is there.
pub(crate) fn is_running(pid: i32) -> bool {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_ok()
}

/// Path of the provider, for tests that install it the way users do.
pub(crate) fn provider() -> &'static Path {
    Path::new(PROVIDER)
}
