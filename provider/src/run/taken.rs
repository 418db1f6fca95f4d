//! Names that are taken on the server: the first few are looked up one by one, then a list is read.

use std::{collections::HashMap, sync::Arc};

use ipam_client::Error;
use ipam_shared::{
    api::ownership::{Noun, Owned},
    error::{Code, Problem},
};
use serde_json::json;
use tokio::sync::Mutex;

use super::{key::Key, previews::foreseen};

/// How many are looked up one by one before a list is read.
const ALONE: usize = 4;

/// What the server has, of each noun.
#[derive(Debug, Default)]
pub(crate) struct Taken(Mutex<HashMap<Noun, Known>>);

impl Taken {
    /// The names of a list, each with who has it, if there were enough questions about a noun for `list` to be read: it
    /// answers them, and whether there are more.
    pub(crate) async fn listed<E>(
        &self,
        noun: Noun,
        list: impl Future<Output = Result<(HashMap<Key, Holder>, bool), E>>,
    ) -> Result<Option<Listed>, E> {
        // Held while a list is read: concurrent callers find what they want in it.
        let mut all = self.0.lock().await;
        let known = all.entry(noun).or_default();
        known.alone += 1;
        if known.alone > ALONE && known.listed.is_none() {
            let (names, is_partial) = list.await?;
            known.listed = Some(Listed {
                names: Arc::new(names),
                is_partial,
            });
        }
        Ok(known.listed.clone())
    }
}

/// What a list says of names.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// Each with who has it.
    pub(crate) names: Arc<HashMap<Key, Holder>>,
    /// Whether the server has more than was read.
    pub(crate) is_partial: bool,
}

#[derive(Debug, Default)]
struct Known {
    /// Look-ups so far.
    alone: usize,
    listed: Option<Listed>,
}

/// A holder of a name that can't be adopted.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    title: String,
    import_id: String,
    owner: Option<String>,
}

impl Holder {
    /// Whoever has what was found.
    pub(crate) fn of(found: &impl Owned) -> Option<Self> {
        // What nobody has confirmed may be adopted by this configuration; the server decides.
        found.is_confirmed().then(|| Self {
            title: found.title(),
            import_id: found.import_id(),
            owner: found.owner().map(ToString::to_string),
        })
    }

    /// The refusal of the creation, in the server's words.
    pub(crate) fn refusal(self) -> Error {
        let owner = self
            .owner
            .map_or_else(String::new, |owner| format!(" (\"{owner}\")"));
        let mut problem = Problem::new(
            Code::Claimed,
            format!(
                "the {} exists, and its owner{owner} has confirmed it",
                self.title
            ),
        );
        problem.details = json!({ "import_id": self.import_id });
        foreseen(problem)
    }
}
