//! The causes of connections that fail.

use std::{error::Error, iter};

/// What resolvers say of a name that does not exist: those of glibc, musl, macOS and Windows. They say something else where no
/// server of names was reached, which may pass.
const UNKNOWN_NAME: [&str; 4] =
    ["Name or service not known", "Name does not resolve", "nodename nor servname", "No such host is known"];

/// Whether a connection failed because its host does not exist: the same request fails again.
#[must_use]
pub fn is_unknown_host(error: &(dyn Error + 'static)) -> bool {
    let cause = innermost(error);
    UNKNOWN_NAME.iter().any(|text| cause.contains(text))
}

/// The innermost error, without the accounts of those around it.
#[must_use]
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let cause = iter::successors(Some(error), |error| (*error).source()).last();
    cause.map(ToString::to_string).unwrap_or_default()
}
