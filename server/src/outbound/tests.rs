use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;

fn outbound(networks: &str) -> Outbound {
    Outbound::new(networks.parse().unwrap())
}

/// One that resolves names as it is told, and counts.
fn resolving(networks: &str, answers: &[&[&str]]) -> (Outbound, Arc<AtomicUsize>) {
    let answers: Vec<Vec<IpAddr>> = answers
        .iter()
        .map(|answer| answer.iter().map(|it| it.parse().unwrap()).collect())
        .collect();
    let (answers, count) = (Mutex::new(answers), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    let lookup: Lookup = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let mut answers = answers.lock().unwrap();
        let answer = if answers.len() > 1 {
            answers.remove(0)
        } else {
            answers[0].clone()
        };
        Box::pin(async move { Ok(answer) })
    });
    let outbound = Outbound {
        lookup,
        ..outbound(networks)
    };
    (outbound, count)
}

/// Answers each connection with these bytes; counts them.
async fn receiver(answer: &'static [u8]) -> (u16, Arc<AtomicUsize>) {
    receiver_that(move |mut stream| async move {
        let mut head = [0; 4096];
        _ = stream.read(&mut head).await;
        _ = stream.write_all(answer).await;
    })
    .await
}

async fn receiver_that<F>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> (u16, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream));
        }
    });
    (port, count)
}

async fn post(outbound: &Outbound, url: &str) -> Result<Answer, String> {
    outbound.post(url, Vec::new(), b"{}".to_vec()).await
}

#[test]
fn addresses_are_refused_in_whatever_spelling() {
    let strict = outbound("");
    for url in [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.0.0.1/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://127.0.0.1./",
        "https://%31%32%37.0.0.1/",
        "https://１２７.0.0.1/",
        "https://127。0。0。1/",
        "https://[::1]/",
        "https://[::]/",
        "https://0/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[0:0:0:0:0:ffff:a00:1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fe80::1]/",
        "https://[fd00:ec2::254]/latest/meta-data/",
        "https://169.254.169.254/latest/meta-data/",
        "https://0xa9fea9fe/",
        "https://2852039166/",
        "https://10.0.0.1:8443/",
        "https://192.168.1.1/",
        "https://100.64.0.1/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "http://example.com/",
        "http://8.8.8.8/",
        "http://localhost/",
    ] {
        let error = strict.check(url).expect_err(url);
        assert!(error.contains("IPAM_WEBHOOK_NETWORKS"), "{url}: {error}");
    }
    for url in [
        "",
        "example.com",
        "/path",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "https://",
        "https://user@example.com/",
        "https://user:hunter2@example.com/",
        "https://:hunter2@example.com/",
        "https://example.com/#part",
        "https://exam ple.com/",
        "https://example.com/\r\nHost: internal",
        " https://example.com/",
        "https://example.com:99999/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://256.0.0.1/",
        "https://1.2.3.4.5/",
    ] {
        let error = strict.check(url).expect_err(url);
        assert!(!error.contains("hunter2"), "{error}");
    }
    for url in [
        "https://example.com/",
        "https://example.com:8443/a/b?c=d",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "https://xn--bcher-kva.example/",
    ] {
        assert_eq!(strict.check(url), Ok(()), "{url}");
    }
    let lax = outbound("127.0.0.0/8,10.0.0.0/8");
    for url in [
        "http://127.1/",
        "https://10.0.0.1/",
        "http://internal.example/",
    ] {
        assert_eq!(lax.check(url), Ok(()), "{url}");
    }
    assert!(lax.check("http://8.8.8.8/").is_err());
    assert!(lax.check("https://192.168.0.1/").is_err());
}

#[tokio::test]
async fn a_connection_goes_to_the_address_that_was_checked() {
    let (port, count) = receiver(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
    // The name means something else the second time it is asked for, which it is not.
    let (outbound, asked) = resolving("127.0.0.1", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let url = format!("http://receiver.example:{port}/");
    assert_eq!(post(&outbound, &url).await.unwrap().status, 204);
    assert_eq!(
        (asked.load(Ordering::SeqCst), count.load(Ordering::SeqCst)),
        (1, 1)
    );
    // The next connection checks what the name means then.
    let error = post(&outbound, &url).await.unwrap_err();
    assert!(
        error.contains("receiver.example") && error.contains("IPAM_WEBHOOK_NETWORKS"),
        "{error}"
    );
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn of_several_addresses_only_those_that_are_permitted_are_tried() {
    let (port, count) = receiver(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let url = |scheme| format!("{scheme}://receiver.example:{port}/");
    let (both, _) = resolving(
        "127.0.0.1",
        &[&["127.0.0.9", "::1", "127.0.0.1", "10.0.0.1"]],
    );
    assert_eq!(post(&both, &url("http")).await.unwrap().status, 200);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    for private in [
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
    ] {
        let (strict, asked) = resolving("", &[&[private]]);
        let error = post(&strict, &url("https")).await.unwrap_err();
        assert!(error.contains("not a public address"), "{private}: {error}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1, "nobody was connected to");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_leads_nowhere() {
    let (inner, reached) = receiver(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let listener = receiver_that(move |mut stream| async move {
        let mut head = [0; 4096];
        _ = stream.read(&mut head).await;
        let answer = format!(
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:{inner}/\r\nContent-Length: 0\r\n\r\n"
        );
        _ = stream.write_all(answer.as_bytes()).await;
    });
    let (port, _) = listener.await;
    let answer = post(&outbound("127.0.0.1"), &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(answer.unwrap().status, 307);
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn whoever_answers_slowly_is_given_up_and_an_endless_body_is_not_read() {
    let outbound = outbound("127.0.0.1");
    // A byte of the head now and then.
    let slow = receiver_that(|mut stream| async move {
        let mut head = [0; 4096];
        _ = stream.read(&mut head).await;
        for byte in b"HTTP/1.1 200 OK\r\nX-Header: "
            .iter()
            .chain(std::iter::repeat(&b'x'))
        {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    // Accepts, and does nothing more.
    let deaf = receiver_that(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    });
    let ((slow, _), (deaf, _)) = (slow.await, deaf.await);
    let began = Instant::now();
    let body = vec![b'x'; 32 << 20];
    let [slow, deaf] = [slow, deaf].map(|port| format!("http://127.0.0.1:{port}/"));
    let (slow, deaf) = tokio::join!(
        outbound.post(&slow, Vec::new(), Vec::new()),
        outbound.post(&deaf, Vec::new(), body),
    );
    for answer in [slow, deaf] {
        assert_eq!(answer.unwrap_err(), "no answer within 15 s");
    }
    assert!(began.elapsed() < PATIENCE + Duration::from_secs(5));

    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let endless = receiver_that(move |mut stream| {
        let counted = Arc::clone(&counted);
        async move {
            let mut head = [0; 4096];
            _ = stream.read(&mut head).await;
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
            _ = stream.write_all(head).await;
            while stream.write_all(&[b'x'; 1024]).await.is_ok() {
                counted.fetch_add(1024, Ordering::SeqCst);
            }
            counted.fetch_add(1 << 40, Ordering::SeqCst);
        }
    });
    let (port, _) = endless.await;
    let began = Instant::now();
    let answer = post(&outbound, &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(answer.unwrap().status, 200);
    assert!(began.elapsed() < Duration::from_secs(5));
    // It notices that nobody listens any more.
    while sent.load(Ordering::SeqCst) < 1 << 40 {
        assert!(began.elapsed() < Duration::from_secs(20), "it still sends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_receiver_says_when_to_come_again() {
    let cases: [(&[u8], Option<u64>); 5] = [
        (b"HTTP/1.1 503 X\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n", Some(120)),
        (b"HTTP/1.1 429 X\r\nRetry-After: 99999999\r\nContent-Length: 0\r\n\r\n", Some(86_400)),
        (b"HTTP/1.1 429 X\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n", None),
        (b"HTTP/1.1 429 X\r\nRetry-After: -5\r\nContent-Length: 0\r\n\r\n", None),
        (
            b"HTTP/1.1 503 X\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n",
            Some(0),
        ),
    ];
    for (text, seconds) in cases {
        let (port, _) = receiver(text).await;
        let answer = post(&outbound("127.0.0.1"), &format!("http://127.0.0.1:{port}/")).await;
        let pause = seconds.map(Duration::from_secs);
        assert_eq!(
            answer.unwrap().retry_after,
            pause,
            "{}",
            text.escape_ascii()
        );
    }
}

#[tokio::test]
async fn a_reason_is_a_sentence_without_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("http://127.0.0.1:{port}/path?token=hunter2");
    let error = post(&outbound("127.0.0.1"), &url).await.unwrap_err();
    assert!(
        error.contains("refused") && !error.contains("hunter2"),
        "{error}"
    );
    let (garbage, _) = receiver(b"SSH-2.0-OpenSSH_9.6\r\n").await;
    let error = post(
        &outbound("127.0.0.1"),
        &format!("http://127.0.0.1:{garbage}/"),
    )
    .await;
    assert!(!error.unwrap_err().is_empty());
    // Plain where TLS is expected.
    let (plain, _) = receiver(b"HTTP/1.1 200 OK\r\n\r\n").await;
    let error = post(
        &outbound("127.0.0.1"),
        &format!("https://127.0.0.1:{plain}/"),
    )
    .await;
    assert!(!error.unwrap_err().is_empty());
}
