//! The headers `RateLimit-Policy` and `RateLimit`: the limits of a caller, and what is left of them.
//!
//! <https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/>

use axum::http::{HeaderName, HeaderValue};

use crate::domain::{CallerLimits, CallerQuotas, DAILY_WINDOW, Quota};

/// The header of the limits.
pub const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// The header of what is left.
pub const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// The value of [`POLICY`]; `None` without limits.
#[must_use]
pub fn policy(limits: CallerLimits) -> Option<HeaderValue> {
    let CallerLimits { running, daily } = limits;
    let running = (running > 0).then(|| format!(r#""running";q={running}"#));
    let daily = (daily > 0).then(|| format!(r#""daily";q={daily};w={}"#, DAILY_WINDOW.as_secs()));
    list([running, daily])
}

/// The value of [`STATE`]; `None` without limits.
#[must_use]
pub fn state(quotas: &CallerQuotas) -> Option<HeaderValue> {
    let item = |name, quota: Quota| {
        let reset = quota.reset.map(|seconds| format!(";t={seconds}")).unwrap_or_default();
        format!(r#""{name}";r={}{reset}"#, quota.remaining())
    };
    list([quotas.running.map(|quota| item("running", quota)), quotas.daily.map(|quota| item("daily", quota))])
}

fn list(items: [Option<String>; 2]) -> Option<HeaderValue> {
    let items: Vec<_> = items.into_iter().flatten().collect();
    if items.is_empty() { None } else { HeaderValue::try_from(items.join(", ")).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_name_each_limit() {
        let text = |value: Option<HeaderValue>| value.map(|value| value.to_str().unwrap().to_owned());
        let limits = CallerLimits { running: 3, daily: 50 };
        assert_eq!(text(policy(limits)).unwrap(), r#""running";q=3, "daily";q=50;w=86400"#);
        assert_eq!(text(policy(CallerLimits { running: 0, ..limits })).unwrap(), r#""daily";q=50;w=86400"#);
        let quotas = CallerQuotas {
            running: Some(Quota { limit: 3, used: 1, reset: None }),
            daily: Some(Quota { limit: 50, used: 50, reset: Some(99) }),
        };
        assert_eq!(text(state(&quotas)).unwrap(), r#""running";r=2, "daily";r=0;t=99"#);
        assert_eq!((policy(CallerLimits::NONE), state(&CallerQuotas::default())), (None, None));
    }
}
