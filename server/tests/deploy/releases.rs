//! Stands in for the servers that releases of other programs are fetched from.

use std::{
    io::{BufRead as _, BufReader, Result, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// How a server sends what it has.
#[derive(Clone, Copy)]
pub(crate) enum Sending {
    /// As it should be.
    Whole,
    /// It says how much is to come, sends half, and closes.
    Half,
    /// It sends half, and then nothing for as long as anybody waits.
    Stalls,
}

/// Has one file, whatever it is asked for.
pub(crate) struct Releases {
    pub(crate) url: String,
    asked: Arc<AtomicUsize>,
}

impl Releases {
    pub(crate) fn new(file: Vec<u8>, sending: Sending) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                // Who asked may have gone.
                _ = answer(stream, &file, sending);
            }
        });
        Self { url, asked }
    }

    /// How often it was asked for its file.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, file: &[u8], sending: Sending) -> Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let length = file.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    match sending {
        Sending::Whole => stream.write_all(file),
        Sending::Half => stream.write_all(&file[..length / 2]),
        Sending::Stalls => {
            stream.write_all(&file[..length / 2])?;
            // Until the other end closes.
            lines.next().transpose().map(drop)
        }
    }
}
