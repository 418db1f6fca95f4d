//! Sits between the servers and PostgreSQL and makes a correct server behave as a broken one would, by changing what
//! they say to each other in PostgreSQL's protocol. The checker is only trustworthy if it finds these.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::mpsc,
    task::JoinHandle,
};

/// What is done to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tamper {
    /// The server is told that its commit is done, and PostgreSQL gets it that much later: as if it had answered before
    /// the commit.
    AnswerBeforeCommit(Duration),
    /// Pools are read, and not locked: as if it had forgotten to.
    ForgetLocks,
}

/// The lock of pools, in the server's statements. When it is worded differently one day, [`Counts::tampered`] stays at
/// zero, which fails the tests that rely on it.
const POOLS: &[u8] = b" order by pool_id";
const LOCK: &[u8] = b" for no key update";
/// SQLSTATE of a broken exclusion constraint, as a field of an error.
const EXCLUSION_VIOLATION: &[u8] = b"C23P01\0";

/// What went by.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages that were tampered with.
    pub tampered: AtomicU64,
    /// Errors of an exclusion constraint.
    pub violations: AtomicU64,
}

/// The man in the middle. Gone when dropped.
#[derive(Debug)]
pub struct Saboteur {
    address: SocketAddr,
    counts: Arc<Counts>,
    listener: JoinHandle<()>,
}

impl Saboteur {
    /// Listens, and passes everything on to the PostgreSQL of this socket, changed.
    ///
    /// # Errors
    /// When it can't listen.
    pub async fn start(socket: &Path, tamper: Tamper) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let (socket, shared) = (PathBuf::from(socket), Arc::clone(&counts));
        let listener = tokio::spawn(async move {
            while let Ok((server, _)) = listener.accept().await {
                let (socket, counts) = (socket.clone(), Arc::clone(&shared));
                // Whatever breaks ends the connection of both.
                tokio::spawn(async move { pass(server, &socket, tamper, &counts).await });
            }
        });
        Ok(Self {
            address,
            counts,
            listener,
        })
    }

    /// Where servers find the database `ipam`.
    #[must_use]
    pub fn database_url(&self) -> String {
        format!("postgres://postgres@{}/ipam?sslmode=disable", self.address)
    }

    /// What went by so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl Drop for Saboteur {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// One message, with its head: a letter, and a length that counts itself.
type Message = Vec<u8>;

async fn read_message(from: &mut (impl AsyncRead + Unpin), lettered: bool) -> io::Result<Message> {
    let head = if lettered { 5 } else { 4 };
    let mut message = vec![0; head];
    from.read_exact(&mut message).await?;
    let length = [0, 1, 2, 3].map(|place| message[head - 4 + place]);
    let rest = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    message.resize(head + rest.saturating_sub(4), 0);
    from.read_exact(&mut message[head..]).await?;
    Ok(message)
}

/// Reads messages into a queue, so that waiting for both sides at once never tears one apart.
fn messages(mut from: impl AsyncRead + Unpin + Send + 'static) -> mpsc::Receiver<Message> {
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok(message) = read_message(&mut from, true).await {
            if sender.send(message).await.is_err() {
                return;
            }
        }
    });
    receiver
}

async fn pass(
    mut server: TcpStream,
    socket: &Path,
    tamper: Tamper,
    counts: &Counts,
) -> io::Result<()> {
    let mut postgres = UnixStream::connect(socket).await?;
    server.set_nodelay(true)?;
    // The first message has no letter.
    postgres
        .write_all(&read_message(&mut server, false).await?)
        .await?;
    let (from_server, mut server) = server.into_split();
    let (from_postgres, mut postgres) = postgres.into_split();
    let (mut from_server, mut from_postgres) = (messages(from_server), messages(from_postgres));
    loop {
        tokio::select! {
            message = from_server.recv() => {
                let Some(mut message) = message else { return Ok(()) };
                match tamper {
                    Tamper::AnswerBeforeCommit(delay) if message == COMMIT => {
                        counts.tampered.fetch_add(1, Ordering::Relaxed);
                        server.write_all(COMMITTED).await?;
                        tokio::time::sleep(delay).await;
                        commit(&mut postgres, &mut from_postgres, &message).await?;
                    }
                    Tamper::ForgetLocks => {
                        let forgotten = u64::from(forget_locks(&mut message));
                        counts.tampered.fetch_add(forgotten, Ordering::Relaxed);
                        postgres.write_all(&message).await?;
                    }
                    Tamper::AnswerBeforeCommit(_) => postgres.write_all(&message).await?,
                }
            }
            message = from_postgres.recv() => {
                let Some(message) = message else { return Ok(()) };
                if message[0] == b'E' && find(&message, EXCLUSION_VIOLATION).is_some() {
                    counts.violations.fetch_add(1, Ordering::Relaxed);
                }
                server.write_all(&message).await?;
            }
        }
    }
}

/// The simple query `COMMIT`.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
/// Command complete, and ready for the next one outside of a transaction.
const COMMITTED: &[u8] = b"C\0\0\0\x0bCOMMIT\0Z\0\0\0\x05I";

/// Commits for real, and keeps the answer to itself: the server has one already.
async fn commit(
    postgres: &mut (impl AsyncWrite + Unpin),
    from_postgres: &mut mpsc::Receiver<Message>,
    message: &[u8],
) -> io::Result<()> {
    postgres.write_all(message).await?;
    while let Some(answer) = from_postgres.recv().await {
        if answer[0] == b'Z' {
            return Ok(());
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// Blanks the lock of pools out of a statement; whether there was one.
fn forget_locks(message: &mut [u8]) -> bool {
    let is_statement = matches!(message[0], b'P' | b'Q');
    let Some(place) = find(message, POOLS).filter(|_| is_statement) else {
        return false;
    };
    let rest = &mut message[place + POOLS.len()..];
    let locks = rest.starts_with(LOCK);
    if locks {
        rest[..LOCK.len()].fill(b' ');
    }
    locks
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(sql: &str) -> Message {
        let mut message = b"P\0\0\0\0s1\0".to_vec();
        message.extend(sql.as_bytes());
        message.extend(b"\0\0\0");
        message
    }

    #[test]
    fn only_locks_of_pools_are_blanked_out() {
        let blanked = |sql| {
            let mut message = parse(sql);
            let length = message.len();
            let done = forget_locks(&mut message);
            assert_eq!(message.len(), length);
            done.then(|| {
                let text = String::from_utf8(message).unwrap();
                text["P\0\0\0\0s1\0".len()..]
                    .trim_end_matches('\0')
                    .trim_end()
                    .to_owned()
            })
        };
        assert_eq!(blanked("select 1"), None);
        assert_eq!(
            blanked("select 1 from allocation where allocation_id = $1 for no key update"),
            None
        );
        assert_eq!(
            blanked(
                "select a from pool where pool_id = any($1) order by pool_id for no key update"
            )
            .unwrap(),
            "select a from pool where pool_id = any($1) order by pool_id"
        );
        assert_eq!(
            blanked(
                "begin; select from pool where pool_id in ('a') order by pool_id for no key update"
            )
            .unwrap(),
            "begin; select from pool where pool_id in ('a') order by pool_id"
        );
    }

    #[tokio::test]
    async fn messages_are_read_whole() {
        let mut bytes: &[u8] = &[0, 0, 0, 8, 0, 3, 0, 0];
        assert_eq!(
            read_message(&mut bytes, false).await.unwrap(),
            [0, 0, 0, 8, 0, 3, 0, 0]
        );
        let mut both = [COMMIT, COMMITTED].concat();
        let mut receiver = messages(io::Cursor::new(std::mem::take(&mut both)));
        assert_eq!(receiver.recv().await.unwrap(), COMMIT);
        assert_eq!(receiver.recv().await.unwrap(), &COMMITTED[..12]);
        assert_eq!(receiver.recv().await.unwrap(), &COMMITTED[12..]);
        assert_eq!(receiver.recv().await, None);
        let mut cut: &[u8] = &COMMIT[..7];
        assert!(read_message(&mut cut, true).await.is_err());
    }
}
