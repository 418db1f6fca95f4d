//! Waiting for a database that does not answer yet, such as one that is started together with the server.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};

use crate::db;

/// Timeout of one attempt: a host that does not even refuse is tried again.
const ATTEMPT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Maximum pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Connects to the primary among these hosts, and retries for up to `patience`, logging what it waits for and why. What
/// waiting can't fix, such as a wrong password, is an error at once. A standby is waited for: it may be promoted.
///
/// # Errors
/// The last error, without the password.
pub async fn connect(
    hosts: &[PgConnectOptions],
    patience: Duration,
) -> anyhow::Result<PgConnection> {
    let begin = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let mut last = None;
        for host in hosts {
            match attempt(host).await {
                Ok(connection) => {
                    if pause > FIRST_PAUSE {
                        tracing::info!("the database at {} answers", place(host));
                    }
                    return Ok(connection);
                }
                Err(error) if is_hopeless(&error) => {
                    return Err(error).with_context(|| {
                        format!("the database at {} can't be used; {ADVICE}", place(host))
                    });
                }
                Err(error) => last = Some((place(host), error)),
            }
        }
        let (place, error) = last.context("there is no database to connect to")?;
        let waited = begin.elapsed();
        if waited >= patience {
            return Err(error).with_context(|| {
                format!(
                    "the database at {place} did not answer within {} s (--database-wait); {ADVICE}",
                    patience.as_secs()
                )
            });
        }
        tracing::warn!(
            "waiting for the database at {place}, for {:.1} s of at most {} s so far: {error}",
            waited.as_secs_f64(),
            patience.as_secs()
        );
        tokio::time::sleep(spread(pause).min(patience - waited)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Connects to a primary.
async fn attempt(host: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let connected = async {
        let mut connection = host.connect().await?;
        if !db::is_writable(&mut connection).await? {
            return Err(sqlx::Error::Io(std::io::Error::other(
                "it is a standby, which takes no writes",
            )));
        }
        Ok(connection)
    };
    tokio::time::timeout(ATTEMPT, connected)
        .await
        .unwrap_or_else(|_| {
            Err(sqlx::Error::Io(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("no answer within {} s", ATTEMPT.as_secs()),
            )))
        })
}

const ADVICE: &str = "check that it runs, and DATABASE_URL or the POSTGRES_ variables";

/// Where the database is, for people: no user and no password.
fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or("(the user's name)");
    match options.get_socket() {
        Some(socket) => format!("{} ({database})", socket.display()),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

/// Wrong credentials, and a database that does not exist.
fn is_hopeless(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error)
        if error.code().is_some_and(|code| code.starts_with("28") || code == "3D000"))
}

/// A random value between half of it and all of it, so that servers that lost their database together do not reconnect at
/// the same moment.
fn spread(pause: Duration) -> Duration {
    let mut chance = [0_u8; 1];
    // Without randomness they reconnect together, which is no reason to fail.
    _ = getrandom::fill(&mut chance);
    pause.mul_f64(0.5 + f64::from(chance[0]) / 510.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread() {
        let pauses: std::collections::BTreeSet<_> =
            (0..100).map(|_| spread(LONGEST_PAUSE)).collect();
        assert!(pauses.len() > 10, "{pauses:?}");
        assert!(*pauses.first().unwrap() >= LONGEST_PAUSE / 2);
        assert!(*pauses.last().unwrap() <= LONGEST_PAUSE);
    }

    #[tokio::test]
    async fn it_gives_up_and_says_on_whom() {
        // Bound but not listening: nobody else gets the port, and connections are refused.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(port)
            .database("net")
            .username("ipam")
            .password("hunter2");
        let begin = Instant::now();
        let error = connect(&[options], Duration::from_secs(1))
            .await
            .unwrap_err();
        let (took, text) = (begin.elapsed(), format!("{error:#}"));
        assert!(took >= Duration::from_secs(1) && took < ATTEMPT, "{took:?}");
        let named = format!("the database at 127.0.0.1:{port}/net did not answer within 1 s");
        assert!(text.starts_with(&named), "{text}");
        assert!(
            text.contains("refused") && !text.contains("hunter2"),
            "{text}"
        );
    }
}
