//! `/ui/live`: tells an open page that something has happened, so that it can show itself anew. A stream of server-sent events
//! that ends with the session, and does not keep it alive; it says how many events there were and nothing of what is in them.

use std::time::{Duration, Instant};

use axum::{extract::State, response::Response};
use futures::stream;
use ipam_shared::api::event::FeedParams;

use super::{
    error::Failure,
    session::{Open, SignedIn},
};
use crate::{
    app::App,
    domain::feed::Follower,
    error::Result,
    http::stream::{LineByLine, lines},
};

/// How often it is checked whether the session and the server go on.
const CHECK: Duration = Duration::from_millis(500);
/// How often something is sent in any case, so that nobody on the way takes the stream for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that are read at a time.
const EVENTS: u16 = 100;

struct Live {
    app: App,
    open: Open,
    follower: Follower,
    last: Instant,
    begun: bool,
}

/// `GET /ui/live`
pub(super) async fn follow(
    State(app): State<App>,
    open: Open,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let follower = app.ipam(&signed_in.caller).watch().await?;
    let live = Live {
        app,
        open,
        follower,
        last: Instant::now(),
        begun: false,
    };
    let pieces = stream::unfold(Some(live), async |live| {
        let mut live = live?;
        match live.piece().await {
            Ok(Some(piece)) => Some((Ok(piece.into_bytes()), Some(live))),
            Ok(None) => None,
            Err(error) => {
                crate::http::error::log(&error);
                Some((Err(std::io::Error::other("the stream failed")), None))
            }
        }
    });
    let mut response = lines("text/event-stream", pieces);
    response.extensions_mut().insert(LineByLine);
    Ok(response)
}

impl Live {
    /// The next message; none at the end.
    async fn piece(&mut self) -> Result<Option<String>> {
        if !std::mem::replace(&mut self.begun, true) {
            return Ok(Some(": begun\n\n".to_owned()));
        }
        loop {
            if self.app.is_draining() || !self.open.goes_on(&self.app).await {
                return Ok(None);
            }
            let feed = self.follower.more(&FeedParams::default(), EVENTS).await?;
            if !feed.items.is_empty() {
                self.last = Instant::now();
                return Ok(Some(format!("data: {}\n\n", feed.items.len())));
            }
            if self.last.elapsed() >= HEARTBEAT {
                self.last = Instant::now();
                return Ok(Some(": nothing has happened\n\n".to_owned()));
            }
            self.follower.wait(CHECK).await;
        }
    }
}
