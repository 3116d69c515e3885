//! The HTTP client of the adapters.

use std::{sync::Arc, time::Duration};

/// A client that gives up after `deadline` and follows nobody elsewhere. It goes past `HTTP_PROXY`, as gRPC to the same
/// platform does: what runs on loopback is no proxy's business. Its trust anchors are built in, so a container needs no
/// certificate files.
pub(super) fn client(deadline: Duration) -> Result<reqwest::Client, reqwest::Error> {
    let anchors = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
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
        // The provider that is built in speaks TLS 1.2 and 1.3; the client's own default says why not otherwise.
        Err(_) => client.build(),
    }
}
