//! What a token must say of itself.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::domain::{Unauthenticated, UserId};

/// How far the issuer's clock and ours may be apart, in seconds: the one figure for every check of a time.
pub const MAX_SKEW: i64 = 60;
/// The longest uid, in characters. [`UserId`] holds to it.
pub const MAX_SUBJECT: usize = 128;

/// The user a payload names, if it is one of that project's and good at `now`.
pub(super) fn user(
    claims: &Map<String, Value>,
    project: &str,
    now: Timestamp,
) -> Result<UserId, Unauthenticated> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let issuer = format!("https://securetoken.google.com/{project}");
    if text("aud") != Some(project) || text("iss") != Some(issuer.as_str()) {
        return Err(Unauthenticated::WrongProject);
    }
    times(claims, now.as_second())?;
    text("sub").and_then(|sub| sub.parse().ok()).ok_or(Unauthenticated::Subject)
}

/// Integers only: `1e9` and `1.0` are not what Firebase writes.
fn times(claims: &Map<String, Value>, now: i64) -> Result<(), Unauthenticated> {
    let time = |name: &str| claims.get(name).and_then(Value::as_i64).ok_or(Unauthenticated::Malformed);
    let (expires, issued, signed_in) = (time("exp")?, time("iat")?, time("auth_time")?);
    if expires <= now.saturating_sub(MAX_SKEW) {
        return Err(Unauthenticated::Expired);
    }
    let latest = now.saturating_add(MAX_SKEW);
    if issued > latest || signed_in > latest {
        return Err(Unauthenticated::NotYetValid);
    }
    Ok(())
}
