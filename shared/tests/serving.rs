//! The server, as a client sees it that does not keep to the rules.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{
        ErrorKind::{BrokenPipe, ConnectionReset},
        Read, Write,
    },
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::HeaderMap,
    routing::{get, post},
};
use shared::{
    api::Problem,
    http::{body, envelope},
    testing::process::serve_on_loopback,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep},
};

async fn server() -> SocketAddr {
    let read = async |headers: HeaderMap, body: Body| {
        Ok::<_, Problem>(body::read(&headers, body).await?.len().to_string())
    };
    let routes = Router::new().route("/read", post(read)).route("/get", get(async || "here"));
    let url = serve_on_loopback(envelope(routes)).await;
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

fn head(method: &str, path: &str, length: usize) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n")
}

/// Sends all of it before it reads a byte; the answer up to the end of its body, which is JSON.
fn send_then_read(stream: &mut TcpStream, head: &str, length: usize) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = vec![b'x'; 1 << 16];
    for sent in (0..length).step_by(chunk.len()) {
        stream.write_all(&chunk[..chunk.len().min(length - sent)]).unwrap();
    }
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"}") {
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap()
}

/// Whatever refuses it: a route by its length, a path, a method.
#[tokio::test(flavor = "multi_thread")]
async fn who_sends_a_refused_body_to_its_end_sees_the_refusal_and_may_go_on() {
    let server = server().await;
    let client = move || {
        let length = 20 << 20;
        let mut stream = TcpStream::connect(server).unwrap();
        for (method, path, status) in [
            ("POST", "/read", "413"),
            ("POST", "/nowhere", "404"),
            ("POST", "/get", "405"),
            ("POST", "/read", "413"),
        ] {
            let answer = send_then_read(&mut stream, &head(method, path, length), length);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
            assert!(answer.contains("application/problem+json"), "{path}: {answer}");
        }
    };
    tokio::task::spawn_blocking(client).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_announces_too_much_is_refused_before_sending_it() {
    let mut stream = TcpStream::connect(server().await).unwrap();
    let refusal = move || send_then_read(&mut stream, &head("POST", "/read", usize::MAX >> 1), 0);
    let answer = tokio::task::spawn_blocking(refusal).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_stops_sending_is_cut_off() {
    let mut stream = TcpStream::connect(server().await).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(head("POST", "/read", usize::MAX >> 1).as_bytes()).unwrap();
    let client = move || {
        let chunk = vec![0; 1 << 16];
        let broke = (0..1 << 14).map(|_| stream.write_all(&chunk)).find_map(Result::err);
        let kind = broke.map(|error| error.kind());
        assert!(
            matches!(kind, Some(BrokenPipe | ConnectionReset)),
            "a GiB was taken, or it stopped reading: {kind:?}"
        );
    };
    tokio::task::spawn_blocking(client).await.unwrap();
}

/// How long the server waits for that client, which sends `bytes` a byte every `pause`, and what it says at last.
async fn waited(bytes: &[u8], pause: Duration) -> (Duration, String) {
    let mut stream = tokio::net::TcpStream::connect(server().await).await.unwrap();
    let started = Instant::now();
    let (mut reading, mut writing) = stream.split();
    let mut said = Vec::new();
    let send = async {
        for byte in bytes {
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(pause).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        read = reading.read_to_end(&mut said) => drop(read),
        () = send => {}
    }
    (started.elapsed(), String::from_utf8(said).unwrap())
}

/// The clock of these is tokio's, which jumps when there is nothing to do.
#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let endless = [b"GET /get HTTP/1.1\r\nhost: x\r\nx: ".as_slice(), &[b'x'; 1000]].concat();
    for (bytes, pause) in [
        (&b""[..], Duration::ZERO),
        (&b"GET /get HTTP/1.1\r\nhost: x\r\n"[..], Duration::from_millis(1)),
        (&endless[..], Duration::from_secs(1)),
    ] {
        let (time, said) = waited(bytes, pause).await;
        assert!((29..=40).contains(&time.as_secs()), "{time:?}");
        assert_eq!(said, "");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_idles_after_an_answer_is_closed() {
    let (time, said) = waited(b"GET /get HTTP/1.1\r\nhost: x\r\n\r\n", Duration::from_millis(1)).await;
    assert!((29..=40).contains(&time.as_secs()), "{time:?}");
    assert!(said.starts_with("HTTP/1.1 200 ") && said.ends_with("here"), "{said}");
}
