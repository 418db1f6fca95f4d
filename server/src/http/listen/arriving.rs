//! The body of a request. What a refusal left unread is read here after all; otherwise the connection would have to close,
//! and clients that send head and body one after the other would find it closed during their next request.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};

use super::connection::{Connection, State};

/// Maximum number of bytes that are read only to be discarded.
const REST: usize = 64 << 10;
/// How long the answer waits for them at most.
const PATIENCE: Duration = Duration::from_secs(1);

/// The body of a request, which notes when it is awaited, and hands over the part that was not read.
pub(super) struct Arriving {
    /// None once it has ended.
    body: Option<Incoming>,
    connection: Arc<Connection>,
    rest: Rest,
}

/// The unread rest of a body.
#[derive(Clone, Default)]
pub(super) struct Rest(Arc<Mutex<Option<Incoming>>>);

impl Arriving {
    /// A body, and the place for its unread rest.
    pub(super) fn new(body: Incoming, connection: Arc<Connection>) -> (Self, Rest) {
        let rest = Rest::default();
        let arriving = Self {
            body: Some(body),
            connection,
            rest: rest.clone(),
        };
        (arriving, rest)
    }
}

impl Rest {
    /// Whether there is nothing left to read, so that the next request can come on the same connection. Waits for a short
    /// rest, unless the client `waits` to be told to send its body.
    pub(super) async fn is_read(&self, waits: bool) -> bool {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut body) = body else {
            return true;
        };
        if waits || body.size_hint().lower() > REST as u64 {
            return false;
        }
        let all = async {
            let mut left = REST;
            while let Some(frame) = body.frame().await {
                let length = frame.map(|frame| frame.data_ref().map_or(0, Bytes::len));
                match length.ok().and_then(|length| left.checked_sub(length)) {
                    Some(less) => left = less,
                    None => return false,
                }
            }
            true
        };
        tokio::time::timeout(PATIENCE, all).await.unwrap_or(false)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.rest.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

impl hyper::body::Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(cx);
        match &frame {
            Poll::Pending => {
                this.connection.turn(&[State::Working], State::Receiving);
            }
            Poll::Ready(frame) => {
                this.connection.turn(&[State::Receiving], State::Working);
                // After an error there is nothing to wait for.
                if !matches!(frame, Some(Ok(_))) {
                    this.body = None;
                }
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}
