//! Completion of names with what a server has. A shell waits for it, so it ends within a second, whatever the server does,
//! and says nothing when it can't.

use std::{ffi::OsStr, time::Duration};

use clap_complete::engine::CompletionCandidate;
use ipam_client::Client;

use super::{
    connection::Connection,
    output::{Failure, printable},
};

/// How many things are asked for, and shown.
pub(super) const MOST: usize = 1000;
/// A shell does not wait longer for an answer.
const PATIENCE: Duration = Duration::from_millis(900);
/// The options that say which server is asked, and how.
const CONNECTION: [&str; 6] = [
    "--endpoint",
    "--url",
    "--api-key",
    "--ca-file",
    "--context",
    "--data-dir",
];

/// The server that the words on the command line name, and how they say to reach it; none if what they say is not clear yet:
/// the key of one server is not for another.
fn connection(words: impl IntoIterator<Item = String>) -> Option<Connection> {
    let mut said = Connection::quick();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        if !CONNECTION.contains(&option) {
            continue;
        }
        // A word that is still missing, or that the shell would replace, is not what the command will get.
        let value = value
            .or_else(|| words.next())
            .filter(|it| !it.is_empty() && !it.contains(['$', '`', '"', '\'', '\\']))?;
        match option {
            "--api-key" => said.api_key = Some(value),
            "--ca-file" => said.ca_file = Some(value.into()),
            "--context" => said.context = Some(value),
            "--data-dir" => said.data_dir = Some(value.into()),
            _ => said.endpoint = Some(value),
        }
    }
    Some(said)
}

/// Candidates with their descriptions from a server; none if it does not answer in time.
pub(super) fn from_server(
    begun: &OsStr,
    ask: impl AsyncFnOnce(Client) -> Result<Vec<(String, String)>, Failure>,
) -> Vec<CompletionCandidate> {
    let begun = begun.to_string_lossy();
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let Some(connection) = connection(words) else {
        return Vec::new();
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return Vec::new();
    };
    let found = runtime.block_on(async {
        let asked = async { ask(connection.client().await?).await };
        tokio::time::timeout(PATIENCE, asked).await
    });
    // Not waiting for the name of a host that is still being looked up.
    runtime.shutdown_background();
    let mut found = found.ok().and_then(Result::ok).unwrap_or_default();
    found.sort();
    found
        .into_iter()
        .filter(|(name, _)| is_harmless(name) && name.starts_with(&*begun))
        .take(MOST)
        .map(|(name, title)| CompletionCandidate::new(name).help(Some(printable(&title).into())))
        .collect()
}

/// Whether a name is one word in any shell that means only itself: shells insert what they are given as it is, and the name
/// of a pool must not become a command.
fn is_harmless(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "-_./:@%+,".contains(c);
    !name.is_empty() && !name.starts_with('-') && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_the_one_that_the_words_name() {
        let of = |line: &str| {
            let said = connection(line.split(' ').map(str::to_owned))?;
            let file = said.ca_file.map(|file| file.display().to_string());
            Some([said.endpoint, said.context, said.api_key, file])
        };
        let text = |text: &str| Some(text.to_owned());
        let none = || [None, None, None, None];
        assert_eq!(of("ipam pool show"), Some(none()));
        assert_eq!(
            of("ipam --url http://h pool --api-key=k --ca-file f"),
            Some([text("http://h"), None, text("k"), text("f")])
        );
        assert_eq!(
            of("pool --context=a --data-dir /d"),
            Some([None, text("a"), None, None])
        );
        for unclear in [
            "pool --context=a --endpoint",
            "pool --endpoint $HOST",
            "pool --endpoint http://h --api-key $KEY",
            "pool --endpoint http://h --api-key=",
        ] {
            assert_eq!(of(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn names_never_become_commands() {
        for name in ["prod", "default/primary", "10.0.0.0/8", "größe", "a@b"] {
            assert!(is_harmless(name), "{name}");
        }
        for name in [
            "$(reboot)",
            "a b",
            "a;b",
            "`x`",
            "a'b",
            "~",
            "*",
            "-rf",
            "",
            "a\\b",
            "#a",
        ] {
            assert!(!is_harmless(name), "{name}");
        }
    }
}
