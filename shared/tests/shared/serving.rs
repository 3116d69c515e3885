//! The HTTP server with misbehaving clients.

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

/// Sends the whole request before reading; returns the response up to the end of its JSON body.
fn send_then_read(stream: &mut TcpStream, head: &str, length: usize) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = vec![b'x'; 1 << 16];
    for sent in (0..length).step_by(chunk.len()) {
        stream.write_all(&chunk[..chunk.len().min(length - sent)]).unwrap();
    }
    let mut response = Vec::new();
    let mut byte = [0];
    while !response.ends_with(b"}") {
        stream.read_exact(&mut byte).unwrap();
        response.push(byte[0]);
    }
    String::from_utf8(response).unwrap()
}

/// For rejections by a body limit, by path and by method.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_a_rejected_body_receives_the_response_and_can_reuse_the_connection() {
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
            let response = send_then_read(&mut stream, &head(method, path, length), length);
            assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {response}");
            assert!(response.contains("application/problem+json"), "{path}: {response}");
        }
    };
    tokio::task::spawn_blocking(client).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_length_over_the_limit_is_rejected_before_the_body_is_sent() {
    let mut stream = TcpStream::connect(server().await).unwrap();
    let request = move || send_then_read(&mut stream, &head("POST", "/read", usize::MAX >> 1), 0);
    let response = tokio::task::spawn_blocking(request).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_stops_sending_is_disconnected() {
    let mut stream = TcpStream::connect(server().await).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(head("POST", "/read", usize::MAX >> 1).as_bytes()).unwrap();
    let client = move || {
        let chunk = vec![0; 1 << 16];
        let error = (0..1 << 14).map(|_| stream.write_all(&chunk)).find_map(Result::err);
        let kind = error.map(|error| error.kind());
        assert!(
            matches!(kind, Some(BrokenPipe | ConnectionReset)),
            "the server accepted a GiB, or stopped reading: {kind:?}"
        );
    };
    tokio::task::spawn_blocking(client).await.unwrap();
}

/// Sends `bytes`, one byte every `pause`. Returns the time until the server closes the connection, and its response.
async fn time_until_closed(bytes: &[u8], pause: Duration) -> (Duration, String) {
    let mut stream = tokio::net::TcpStream::connect(server().await).await.unwrap();
    let started = Instant::now();
    let (mut reading, mut writing) = stream.split();
    let mut response = Vec::new();
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
        read = reading.read_to_end(&mut response) => drop(read),
        () = send => {}
    }
    (started.elapsed(), String::from_utf8(response).unwrap())
}

/// The clock is paused: tokio advances it when all tasks are idle.
#[tokio::test(start_paused = true)]
async fn an_incomplete_header_times_out() {
    let endless = [b"GET /get HTTP/1.1\r\nhost: x\r\nx: ".as_slice(), &[b'x'; 1000]].concat();
    for (bytes, pause) in [
        (&b""[..], Duration::ZERO),
        (&b"GET /get HTTP/1.1\r\nhost: x\r\n"[..], Duration::from_millis(1)),
        (&endless[..], Duration::from_secs(1)),
    ] {
        let (time, response) = time_until_closed(bytes, pause).await;
        assert!((29..=40).contains(&time.as_secs()), "{time:?}");
        assert_eq!(response, "");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed() {
    let (time, response) =
        time_until_closed(b"GET /get HTTP/1.1\r\nhost: x\r\n\r\n", Duration::from_millis(1)).await;
    assert!((29..=40).contains(&time.as_secs()), "{time:?}");
    assert!(response.starts_with("HTTP/1.1 200 ") && response.ends_with("here"), "{response}");
}
