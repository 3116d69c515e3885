//! Authentication: verifies Firebase ID tokens and, where they are required, App Check tokens.
//!
//! Rules: <https://firebase.google.com/docs/auth/admin/verify-id-tokens>. All rules for header and claims are
//! checked here, and not by a JWT library, because libraries accept missing claims and claims of wrong types.

mod app_check;
#[cfg(test)]
mod bad_tokens;
mod claims;
mod token;
mod verifier;

pub use app_check::{APP_CHECK_HEADER, AppCheck};
pub use claims::{MAX_SKEW, MAX_SUBJECT};
pub use token::MAX_TOKEN;
pub use verifier::Verifier;
