//! What to make of a refusal while planning.
//!
//! A refusal is not yet a verdict: what stands in the way may be about to go in the same run, and Terraform plans in any
//! order. So the refused plan waits until nothing more is heard of the run, and only then says so. Few wait at a time, because
//! what they wait for comes through the same door; the others say nothing, and the plan fails anyway.

use std::time::{Duration, Instant};

use tfplugin::Context;

use crate::{command::is_one_by_one, connection::Connection};

/// After this long without news of the run, all of it is known.
const QUIET: Duration = Duration::from_millis(700);

/// How long a refusal waits at most.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What to make of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The apply would be refused too.
    Certain,
    /// The apply may be refused; it depends on what else is done before.
    Possible,
    /// Nothing can be said.
    None,
}

/// What to make of a refusal, once as much is known of this run as will be. `excuse` says why it says less than it seems
/// to, as far as is known so far.
pub(crate) async fn verdict(
    ctx: &Context<Connection>,
    connection: &Connection,
    excuse: impl Fn() -> Option<Verdict> + Send + Sync,
) -> Verdict {
    let run = &connection.run;
    let Some(_waiting) = connection.previews.waiting() else {
        return excuse().unwrap_or(Verdict::None);
    };
    let begun = Instant::now();
    loop {
        if let Some(excuse) = excuse() {
            return excuse;
        }
        if run.is_quiet(QUIET) || begun.elapsed() > PATIENCE || ctx.stop().is_cancelled() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    // In single file nothing was heard because nothing could be.
    if is_one_by_one() || !run.is_planning() {
        return Verdict::Possible;
    }
    Verdict::Certain
}
