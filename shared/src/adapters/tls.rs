//! The provider of cryptography of TLS.

/// Makes ring the provider of this process, unless it has one. Clients that are created without one of their own use it,
/// and so do service account keys.
pub fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
