//! What one connection is doing, and the limits on how long it may take: a head within ten seconds of its first byte, some
//! progress of a reply within ten seconds, the next request before the connection has idled for too long.
//!
//! They are kept below HTTP, where bytes are read and written, because the framework's limit on heads counts the idle time
//! before them too, and it has none for replies that nobody reads.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
    time::Sleep,
};

/// Time for the head of a request, from its first byte, or from the connection for the first one.
pub(super) const HEAD: Duration = Duration::from_secs(10);
/// Timeout for a reply that makes no progress because the client does not read it.
pub(super) const STALL: Duration = Duration::from_secs(10);
/// A client that has waited for less than this may just be slow.
const YOUNG: Duration = Duration::from_secs(1);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// It has sent no request yet.
    Fresh,
    /// The head of its second or a later request is arriving.
    Head,
    /// It was answered, and may send another request.
    Idle,
    /// The server waits for the body of a request.
    Receiving,
    /// A request is being processed, or its reply is being sent.
    Working,
    /// The answer to a wrong key is held back.
    Delayed,
    /// It has to make room. No further request begins on it.
    Evicted,
}

const STATES: [State; 7] = [
    State::Fresh,
    State::Head,
    State::Idle,
    State::Receiving,
    State::Working,
    State::Delayed,
    State::Evicted,
];

/// The order in which connections make room: smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    /// Whether it showed the right key.
    pub(super) known: bool,
    /// Whether it has only begun to wait.
    pub(super) young: bool,
    /// Since when it waits.
    pub(super) since: u64,
}

/// One connection, as the accept loop, its own task, and its requests see it.
#[derive(Debug)]
pub(super) struct Connection {
    /// Who is at the other end of the socket: a client, or a proxy.
    pub(super) peer: IpAddr,
    /// The client, if a proxy of TCP has named it.
    client: OnceLock<IpAddr>,
    state: AtomicU8,
    /// Since when it is in that state.
    since: AtomicU64,
    /// Since when the client has not read its reply; 0 if it does.
    stalled: AtomicU64,
    /// Whether it is known that nothing has arrived from the other end since then. Until that was checked, it is the server
    /// that is late.
    waits: AtomicBool,
    /// Whether a request on it had the right key.
    known: AtomicBool,
    evicted: Notify,
}

/// Milliseconds of a monotonic clock, never 0.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    1 + u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
}

impl Connection {
    pub(super) fn new(peer: IpAddr) -> Self {
        Self {
            peer,
            client: OnceLock::new(),
            state: AtomicU8::new(State::Fresh as u8),
            since: AtomicU64::new(now()),
            stalled: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            known: AtomicBool::new(false),
            evicted: Notify::new(),
        }
    }

    /// Whose connection it is, as far as that is known without a request.
    pub(super) fn client(&self) -> IpAddr {
        self.client.get().copied().unwrap_or(self.peer)
    }

    /// The client was named.
    pub(super) fn is_for(&self, client: IpAddr) {
        // There is one header for each connection.
        let _ = self.client.set(client);
    }

    fn state(&self) -> State {
        STATES
            .get(usize::from(self.state.load(Ordering::Acquire)))
            .copied()
            .unwrap_or(State::Evicted)
    }

    /// Changes to another state, if it is in one of `from`; otherwise returns false.
    pub(super) fn turn(&self, from: &[State], to: State) -> bool {
        let turned = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                from.iter()
                    .any(|from| *from as u8 == state)
                    .then_some(to as u8)
            })
            .is_ok();
        if turned {
            self.waits.store(false, Ordering::Relaxed);
            self.since.store(now(), Ordering::Relaxed);
        }
        turned
    }

    /// A request begins, unless the connection was told to make room meanwhile.
    pub(super) fn begin(&self) -> bool {
        let from = [State::Fresh, State::Head, State::Idle, State::Working];
        self.turn(&from, State::Working)
    }

    /// The answer to a wrong key is held back, and somebody else may have the slot.
    pub(super) fn delay(&self) {
        self.turn(&[State::Working, State::Receiving], State::Delayed);
    }

    /// The held back answer is given now.
    pub(super) fn go_on(&self) {
        self.turn(&[State::Delayed], State::Working);
    }

    /// A request was answered.
    pub(super) fn answer(&self) {
        let from = [
            State::Fresh,
            State::Working,
            State::Receiving,
            State::Delayed,
        ];
        self.turn(&from, State::Idle);
    }

    /// Nothing has come from the other end.
    pub(super) fn wait(&self) {
        self.waits.store(true, Ordering::Relaxed);
    }

    /// The client showed the right key.
    pub(super) fn trust(&self) {
        self.known.store(true, Ordering::Relaxed);
    }

    /// Whether the connection can make room for another, and its turn to do so. Connections without a key come first, of
    /// these those that have waited for a while, and then the oldest. Those whose request may still be on its way are
    /// spared.
    pub(super) fn spare(&self) -> Option<Turn> {
        let known = self.known.load(Ordering::Relaxed);
        let stalled = self.stalled.load(Ordering::Relaxed);
        let since = match stalled {
            0 => self.since.load(Ordering::Relaxed),
            stalled => stalled,
        };
        let young = now().saturating_sub(since) < YOUNG.as_millis() as u64;
        let is_spare = match self.state() {
            State::Evicted => false,
            _ if stalled > 0 => true,
            State::Fresh | State::Head => !young && self.waits.load(Ordering::Relaxed),
            State::Receiving => !known,
            // Until the next request is awaited, the last reply may not have been written.
            State::Idle => self.waits.load(Ordering::Relaxed),
            State::Delayed => true,
            State::Working => false,
        };
        is_spare.then_some(Turn {
            known,
            young,
            since,
        })
    }

    /// Whether its request may still be on its way.
    pub(super) fn is_arriving(&self) -> bool {
        matches!(self.state(), State::Fresh | State::Head)
    }

    /// Makes room, unless a request has begun since it was found to be closable.
    pub(super) fn evict(&self) -> bool {
        if self.spare().is_none() {
            return false;
        }
        let state = self.state();
        let evicted = state != State::Evicted && self.turn(&[state], State::Evicted);
        if evicted {
            self.evicted.notify_one();
        }
        evicted
    }

    /// Resolves when it has to make room.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    /// When it will have waited too long for the other end.
    fn end_of_patience(&self, keep_alive: Duration) -> Option<u64> {
        let patience = match self.state() {
            // A first request that is on its way has no more time than the connection.
            State::Fresh | State::Head => HEAD,
            // A client that still reads is not idle.
            State::Idle if self.stalled.load(Ordering::Relaxed) == 0 => keep_alive,
            _ => return None,
        };
        let since = self.since.load(Ordering::Relaxed);
        Some(since.saturating_add(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// A timer that is only touched if it has to fire earlier than it is set to.
#[derive(Debug, Default)]
struct Timer(Option<(u64, Pin<Box<Sleep>>)>);

impl Timer {
    /// Ready once it is `at`.
    fn poll(&mut self, at: u64, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let left = at.saturating_sub(now());
            if left == 0 {
                return Poll::Ready(());
            }
            match &mut self.0 {
                Some((set, sleep)) if *set <= at => {
                    ready!(sleep.as_mut().poll(cx));
                    // It fired for an earlier time that no longer applies, or a millisecond early.
                    self.0 = None;
                }
                timer => {
                    let sleep = tokio::time::sleep(Duration::from_millis(left));
                    *timer = Some((at, Box::pin(sleep)));
                }
            }
        }
    }
}

/// The byte stream of a connection, read and written within its limits.
#[derive(Debug)]
pub(super) struct Watched {
    stream: TcpStream,
    connection: Arc<Connection>,
    keep_alive: Duration,
    reading: Timer,
    writing: Timer,
}

impl Watched {
    pub(super) fn new(
        stream: TcpStream,
        connection: Arc<Connection>,
        keep_alive: Duration,
    ) -> Self {
        Self {
            stream,
            connection,
            keep_alive,
            reading: Timer::default(),
            writing: Timer::default(),
        }
    }

    fn wrote(
        &mut self,
        result: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let stalled = &self.connection.stalled;
        if result.is_ready() {
            if stalled.swap(0, Ordering::Relaxed) > 0 {
                self.writing = Timer::default();
                // The time for the next request starts when this reply was written.
                self.connection.turn(&[State::Idle], State::Idle);
            }
            return result;
        }
        let since = match stalled.compare_exchange(0, now(), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => now(),
            Err(since) => since,
        };
        let end = since.saturating_add(STALL.as_millis() as u64);
        ready!(self.writing.poll(end, cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the reply was not read",
        )))
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if read.is_ready() {
            if buffer.filled().len() > before {
                this.connection.turn(&[State::Idle], State::Head);
            }
            return read;
        }
        this.connection.wait();
        let Some(end) = this.connection.end_of_patience(this.keep_alive) else {
            return Poll::Pending;
        };
        ready!(this.reading.poll(end, cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "no request arrived in time",
        )))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(result, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        this.wrote(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
