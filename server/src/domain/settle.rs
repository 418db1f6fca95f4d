//! Answers that rest on what others have committed.

use super::{Ipam, commit};
use crate::error::Result;

impl Ipam {
    /// Returns once all that was committed before is as safe as what is committed now, which with a synchronous standby is
    /// when that has it: a fail-over loses none of it any more.
    ///
    /// What a change that is repeated finds done already may be from a commit of which nobody knows whether the standby has
    /// it. Whoever is told that it is done, or that something exists, relies on it.
    pub async fn settle(&self) -> Result<()> {
        self.changes_are_taken().await?;
        self.settle_whatever_is_in_doubt().await
    }

    /// The same for who looks whether changes are taken.
    pub(super) async fn settle_whatever_is_in_doubt(&self) -> Result<()> {
        let mut transaction = self.db.begin_change().await?;
        crate::db::commit::settle(&mut transaction).await?;
        commit(transaction).await
    }
}
