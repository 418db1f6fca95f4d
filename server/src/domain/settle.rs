//! Answers that rest on what others have committed.

use super::{Ipam, commit};
use crate::{
    db::{self, Transaction},
    error::Result,
};

impl Ipam {
    /// Returns once all that was committed before is as safe as what is committed now, which with a synchronous standby is
    /// when that has it: a fail-over loses none of it any more.
    ///
    /// What a change that is repeated finds done already may be from a commit of which nobody knows whether the standby has
    /// it. Whoever is told that it is done, or that something exists, relies on it.
    pub async fn settle(&self) -> Result<()> {
        settle_with(self.begin().await?).await
    }
}

pub(super) async fn settle_with(mut transaction: Transaction) -> Result<()> {
    db::commit::settle(&mut transaction).await?;
    commit(transaction).await
}
