//! Why a request to the Hub fails.

use std::{error::Error, sync::Arc, time::Duration};

use crate::{
    cause::HubCause,
    connection::{innermost, is_unknown_host},
    response::HubResponse,
};

/// Makes the error that a reader of a file sees.
pub type Explain = Arc<dyn Fn(HubError) -> Box<dyn Error + Send + Sync> + Send + Sync>;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The Hub refused or failed it.
    #[error("{0}")]
    Response(Box<HubResponse>),
    /// The storage behind the Hub refused a link that the Hub had signed.
    #[error("{0} was returned for a link of the Hub")]
    DeadLink(u16),
    /// The Hub redirects a request again and again.
    #[error("the Hub redirected the request too often")]
    TooManyRedirects,
    /// The Hub redirects a request to another server, to which the token is not sent.
    #[error("the Hub redirects to {0}: set HF_ENDPOINT to the address that it has now")]
    Redirected(String),
    /// There was no response in time.
    #[error("the Hub did not respond in time")]
    Timeout,
    /// There is no such host.
    #[error("the host {0} does not exist")]
    UnknownHost(String),
    /// The connection failed.
    #[error("the connection to {host} failed: {cause}")]
    Connection {
        /// The host.
        host: String,
        /// The innermost error.
        cause: String,
        /// All that is known.
        #[source]
        source: reqwest::Error,
    },
    /// The response has another length than was asked for.
    #[error("the Hub returned {returned} bytes of {requested}")]
    Length {
        /// Bytes that were asked for.
        requested: usize,
        /// Bytes that came.
        returned: usize,
    },
    /// An upload made no progress.
    #[error("the upload made no progress in time")]
    Stalled,
    /// A request could not be made, or its response not be read.
    #[error("{source}")]
    Request {
        /// Whether the request itself is not valid.
        is_invalid: bool,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The caller asked to stop.
    #[error("the requests were stopped")]
    Stopped,
}

impl HubError {
    /// A request that is not valid.
    pub fn invalid_request(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Request { is_invalid: true, source: source.into() }
    }

    /// Its cause, which decides what can be done about it.
    #[must_use]
    pub fn cause(&self) -> HubCause {
        match self {
            Self::Response(response) => response.cause(),
            Self::Timeout | Self::Stalled => HubCause::Timeout,
            Self::Request { is_invalid: true, .. } => HubCause::Rejected,
            Self::DeadLink(_)
            | Self::TooManyRedirects
            | Self::Redirected(_)
            | Self::UnknownHost(_)
            | Self::Connection { .. }
            | Self::Length { .. }
            | Self::Request { .. }
            | Self::Stopped => HubCause::Unavailable,
        }
    }

    /// The Hub's response, if it is one.
    #[must_use]
    pub fn response(&self) -> Option<&HubResponse> {
        if let Self::Response(response) = self { Some(response) } else { None }
    }

    /// What the Hub said, in brackets behind a space, for the end of a message; empty if it said nothing.
    #[must_use]
    pub fn quote(&self) -> String {
        let said = self.response().and_then(|response| response.message.as_deref());
        said.filter(|said| !said.is_empty()).map(|said| format!(" (the Hub: \"{said}\")")).unwrap_or_default()
    }

    /// The state of the Hub in which a request failed that may succeed later, as a clause for a message.
    #[must_use]
    pub fn hub_state(&self) -> String {
        match self {
            Self::Response(response) if response.status >= 500 => {
                format!("the Hugging Face Hub answers with errors ({})", response.status)
            }
            Self::Connection { source, .. } if source.is_connect() => {
                "the Hugging Face Hub cannot be reached".to_owned()
            }
            Self::UnknownHost(host) => format!("the host {host} of the Hugging Face Hub does not exist"),
            Self::Stalled => self.to_string(),
            Self::Response(_)
            | Self::DeadLink(_)
            | Self::TooManyRedirects
            | Self::Redirected(_)
            | Self::Timeout
            | Self::Connection { .. }
            | Self::Length { .. }
            | Self::Request { .. }
            | Self::Stopped => self.cause().hub_state().to_owned(),
        }
    }

    /// How long the Hub asks to wait before the next request.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.response()?.wait
    }

    /// Whether the same request may succeed later. An upload that stalls has waited long enough.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let is_final =
            matches!(self, Self::Stopped | Self::Stalled | Self::Redirected(_) | Self::UnknownHost(_));
        !is_final && self.cause().is_transient()
    }

    /// Whether the Hub may have done what was asked for.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Stalled) || self.cause() == HubCause::Conflict || self.is_transient()
    }
}

impl From<reqwest::Error> for HubError {
    /// Without the URL: that of a file can be signed.
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::Timeout
        } else if error.is_redirect() {
            Self::TooManyRedirects
        } else {
            let host = error.url().and_then(|url| url.host_str()).unwrap_or_default().to_owned();
            match is_unknown_host(&error) {
                true => Self::UnknownHost(host),
                false => Self::Connection { host, cause: innermost(&error), source: error.without_url() },
            }
        }
    }
}
