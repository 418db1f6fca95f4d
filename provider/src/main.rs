//! The Terraform provider of ipam: the plugin that Terraform starts, and a few subcommands for people.
//!
//! Standard output belongs to Terraform's handshake; only the subcommands write to it, before that begins.

mod command;
mod connection;
mod data_sources;
mod docs;
mod ephemeral;
mod framework;
mod functions;
mod lists;
mod nouns;
mod provider;
mod run;
mod settings;

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, bail};

use crate::provider::Ipam;

const USAGE: &str = "\
Usage: terraform-provider-ipam [COMMAND]

Terraform starts this program itself. Commands for people:
  --version                     the version
  schema                        everything that it offers, as JSON
  docs [--check] [DIR]          write the registry pages below DIR/docs, from DIR/examples and DIR/templates (default: .),
                                and check their layout; with --check only say whether they are up to date
";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let text = match arguments.as_slice() {
        [] => return tfplugin::serve(Ipam).await,
        ["--version" | "-V"] => Ok(format!(
            "terraform-provider-ipam {}\n",
            env!("CARGO_PKG_VERSION")
        )),
        ["--help" | "-h" | "help"] => Ok(USAGE.to_owned()),
        ["schema"] => schema(),
        ["docs", rest @ ..] => write_docs(rest),
        _ => Err(anyhow::anyhow!("{USAGE}")),
    };
    let (text, code) = match text {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(error) => {
            // Nothing can be done if standard error is closed.
            _ = writeln!(std::io::stderr(), "{error:#}");
            (String::new(), ExitCode::FAILURE)
        }
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn schema() -> anyhow::Result<String> {
    let description = tfplugin::describe(&Ipam);
    Ok(serde_json::to_string_pretty(&description)? + "\n")
}

fn write_docs(arguments: &[&str]) -> anyhow::Result<String> {
    let (check, directory) = match arguments {
        [] => (false, "."),
        ["--check"] => (true, "."),
        ["--check", directory] => (true, *directory),
        [directory] if !directory.starts_with('-') => (false, *directory),
        _ => bail!("{USAGE}"),
    };
    let root = PathBuf::from(directory);
    let description = tfplugin::describe(&Ipam);
    let pages = docs::pages(&description, &root)?;
    let mut differing = Vec::new();
    for (path, text) in pages {
        let path = root.join("docs").join(path);
        if std::fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        if !check {
            let folder = path.parent().context("a page has a folder")?;
            std::fs::create_dir_all(folder)
                .with_context(|| format!("making {}", folder.display()))?;
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        differing.push(path.display().to_string());
    }
    if check && !differing.is_empty() {
        bail!(
            "Not up to date; run \"terraform-provider-ipam docs\" in the project's root:\n  {}",
            differing.join("\n  ")
        );
    }
    let problems = docs::layout::problems(&root.join("docs"), &description)?;
    if !problems.is_empty() {
        bail!(
            "The registry would not take these pages:\n  {}",
            problems.join("\n  ")
        );
    }
    Ok(differing.iter().map(|path| format!("{path}\n")).collect())
}
