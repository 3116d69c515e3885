//! Protection against requests that pages of other sites make: the host of a request must be a loopback address, because
//! a foreign name can resolve to 127.0.0.1 (DNS rebinding), and its origin must be that host and port.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Refuses requests to other hosts and from other origins.
pub(crate) async fn require(request: Request, next: Next) -> Response {
    if !names_loopback(request.uri(), request.headers()) {
        return (StatusCode::MISDIRECTED_REQUEST, "The local stack serves 127.0.0.1 and localhost only.\n")
            .into_response();
    }
    if has_foreign_origin(request.headers()) {
        return (StatusCode::FORBIDDEN, "The local stack refuses requests from pages of other origins.\n")
            .into_response();
    }
    next.run(request).await
}

fn names_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let named = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    named.is_some_and(|authority| is_loopback(authority.host())) && uri.host().is_none_or(is_loopback)
}

fn has_foreign_origin(headers: &HeaderMap) -> bool {
    let own =
        headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(|host| format!("http://{host}"));
    let is_own = |origin: &str| own.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(origin));
    headers.get(header::ORIGIN).is_some_and(|origin| !origin.to_str().is_ok_and(is_own))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, middleware::from_fn, routing::get};
    use tower::ServiceExt as _;

    use super::*;

    async fn status(headers: &[(&str, &str)]) -> StatusCode {
        let app = Router::new().route("/", get(|| async {})).layer(from_fn(require));
        let request = headers.iter().fold(Request::get("/"), |request, (k, v)| request.header(*k, *v));
        app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    }

    #[tokio::test]
    async fn only_loopback_hosts_are_served() {
        for host in ["127.0.0.1", "127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "127.1.2.3"]
        {
            assert_eq!(status(&[("host", host)]).await, StatusCode::OK, "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:8080",
            "localhost.evil.example",
            "192.168.1.2",
            "0.0.0.0",
            "",
            "a b",
        ] {
            assert_eq!(status(&[("host", host)]).await, StatusCode::MISDIRECTED_REQUEST, "{host}");
        }
        assert_eq!(status(&[]).await, StatusCode::MISDIRECTED_REQUEST);
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(status(&two).await, StatusCode::MISDIRECTED_REQUEST);
    }

    #[tokio::test]
    async fn pages_of_other_sites_are_refused() {
        let host = ("host", "127.0.0.1:8080");
        assert_eq!(status(&[host, ("origin", "http://127.0.0.1:8080")]).await, StatusCode::OK);
        for origin in [
            "https://evil.example",
            "null",
            "",
            "http://127.0.0.1:9777",
            "https://127.0.0.1:8080",
            "http://localhost:8080",
        ] {
            assert_eq!(status(&[host, ("origin", origin)]).await, StatusCode::FORBIDDEN, "{origin}");
        }
    }
}
