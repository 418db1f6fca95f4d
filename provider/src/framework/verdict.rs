//! What to make of a refusal while planning.
//!
//! A refusal is not yet a verdict: what conflicts may be about to be deleted in the same run, and Terraform plans in any
//! order. So a refused plan waits until no more calls of the run arrive, and only then reports it. Few wait at a time,
//! because what they wait for needs the same slots; the others report nothing, and the plan fails anyway.

use std::time::{Duration, Instant};

use tfplugin::Context;

use crate::{command::is_one_by_one, connection::Connection};

/// After this long without further calls, the whole run is known.
const QUIET: Duration = Duration::from_millis(700);

/// How long a refusal waits at most.
const PATIENCE: Duration = Duration::from_secs(20);

/// Interval between two checks.
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

/// What to make of a refusal, once everything is known of this run that will be. `excuse` says why it may not be final, as
/// far as known so far.
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
    // With -parallelism=1 nothing arrived because nothing could.
    if is_one_by_one() || !run.is_planning() {
        return Verdict::Possible;
    }
    Verdict::Certain
}
