//! What a deletion would do, as its page says it before it is confirmed.

use crate::{
    error::{Error, Result},
    pages::error::sentence,
};

/// What a deletion would do.
#[derive(Debug, Default)]
pub(in crate::pages) struct Outlook {
    /// Why it can't be; then the rest does not matter.
    pub(super) refusal: Option<String>,
    /// What would happen.
    pub(super) sentences: Vec<String>,
    /// What is lost with it: the address of its page, its name, its networks.
    pub(super) lost: Vec<(String, String, String)>,
    /// How much more is.
    pub(super) more: i64,
    /// What was shown, by which a change in between is noticed.
    pub(super) shown: Vec<(String, String)>,
}

impl Outlook {
    pub(super) fn of(sentences: Vec<String>) -> Self {
        Self {
            sentences,
            ..Self::default()
        }
    }

    /// It can't be deleted as things are.
    pub(super) fn refused(error: Error) -> Result<Self> {
        match error {
            Error::InUse { .. } | Error::Invalid(_) | Error::Protected(_) => Ok(Self {
                refusal: Some(sentence(&error.to_string())),
                ..Self::default()
            }),
            other => Err(other),
        }
    }
}
