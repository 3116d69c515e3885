//! The HTTP client that the adapters use.

use std::{sync::Arc, time::Duration};

/// An HTTP client with the timeout `deadline` that does not follow redirects. It ignores `HTTP_PROXY`, as the gRPC
/// clients do, so that requests to loopback are not proxied. Root certificates are built in, so containers need no
/// certificate files.
pub(super) fn client(deadline: Duration) -> Result<reqwest::Client, reqwest::Error> {
    let anchors = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(deadline)
        .connect_timeout(deadline)
        .redirect(reqwest::redirect::Policy::none());
    match rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions() {
        Ok(tls) => {
            let tls = tls.with_root_certificates(anchors).with_no_client_auth();
            client.tls_backend_preconfigured(tls).build()
        }
        // Cannot happen: the built-in provider supports TLS 1.2 and 1.3. If it did, the default client would report why.
        Err(_) => client.build(),
    }
}
