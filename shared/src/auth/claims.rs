//! Checks the claims of an ID token.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::domain::{Unauthenticated, UserId};

/// The tolerated clock skew for every time claim, in seconds.
pub const MAX_SKEW: i64 = 60;
/// The longest uid, in characters, the same as [`UserId::MAX_CHARS`].
pub const MAX_SUBJECT: usize = 128;

/// The user that the claims identify, if they are for `project` and valid at `now`.
pub(super) fn verified_user(
    claims: &Map<String, Value>,
    project: &str,
    now: Timestamp,
) -> Result<UserId, Unauthenticated> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let issuer = format!("https://securetoken.google.com/{project}");
    if text("aud") != Some(project) || text("iss") != Some(issuer.as_str()) {
        return Err(Unauthenticated::WrongProject);
    }
    check_times(claims, &["iat", "auth_time"], now.as_second())?;
    text("sub").and_then(|sub| sub.parse().ok()).ok_or(Unauthenticated::Subject)
}

/// Checks `exp`, and that the times `past` are. Accepts integers only: Firebase does not write `1e9` or `1.0`.
pub(super) fn check_times(
    claims: &Map<String, Value>,
    past: &[&str],
    now: i64,
) -> Result<(), Unauthenticated> {
    let time = |name: &str| claims.get(name).and_then(Value::as_i64).ok_or(Unauthenticated::Malformed);
    let expires = time("exp")?;
    let past = past.iter().map(|name| time(name)).collect::<Result<Vec<_>, _>>()?;
    if expires <= now.saturating_sub(MAX_SKEW) {
        return Err(Unauthenticated::Expired);
    }
    let latest = now.saturating_add(MAX_SKEW);
    if past.iter().any(|time| *time > latest) {
        return Err(Unauthenticated::NotYetValid);
    }
    Ok(())
}
