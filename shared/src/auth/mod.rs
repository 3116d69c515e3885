//! From a request's bearer token to the user it names.
//!
//! Firebase ID tokens: <https://firebase.google.com/docs/auth/admin/verify-id-tokens>. The library checks the
//! signature and nothing else; every rule about header and claims is checked here, because libraries take a missing
//! or odd-typed claim for a good one.

mod claims;
#[cfg(test)]
mod table;
mod token;
mod verifier;

pub use claims::{MAX_SKEW, MAX_SUBJECT};
pub use token::MAX_TOKEN;
pub use verifier::Verifier;
