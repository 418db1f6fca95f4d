//! A server that does what a script says, one step a request: answers, falls silent, or drops the connection.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What happens to one request after it has been read.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A whole answer: status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// The connection is reset without an answer.
    Reset,
    /// The answer breaks off within its body.
    Truncated(String),
    /// Nothing is said for a long time.
    Silence,
}

/// A request as it arrived: its first line and headers in lower case, and its body.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Heard {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

pub(crate) struct Scripted {
    pub(crate) endpoint: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Scripted {
    /// Follows the script; its last step is repeated for ever.
    pub(crate) async fn start(script: Vec<Step>) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = heard.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                while let Some(request) = read_request(&mut stream).await {
                    let step = {
                        let mut log = log.lock().unwrap();
                        log.push(request);
                        script[(log.len() - 1).min(script.len() - 1)].clone()
                    };
                    if !act(&mut stream, step).await {
                        break;
                    }
                }
            }
        });
        Self { endpoint, heard }
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Heard> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let heard = Heard {
                head,
                body: body.to_owned(),
            };
            let length = heard
                .header("content-length")
                .map_or(0, |length| length.parse().unwrap());
            if heard.body.len() >= length {
                return Some(heard);
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

/// Returns whether the connection stays open.
async fn act(stream: &mut TcpStream, step: Step) -> bool {
    let head = |status: u16, headers: Vec<(&str, String)>, length: usize| {
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n")
    };
    match step {
        Step::Answer(status, headers, body) => {
            let text = head(status, headers, body.len()) + &body;
            stream.write_all(text.as_bytes()).await.is_ok()
        }
        Step::Truncated(body) => {
            let text = head(200, vec![("x-request-id", "r".into())], body.len());
            _ = stream
                .write_all((text + &body[..body.len() / 2]).as_bytes())
                .await;
            false
        }
        Step::Reset => {
            // Dropping a socket with this set sends RST.
            stream.set_zero_linger().unwrap();
            false
        }
        Step::Silence => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            false
        }
    }
}
