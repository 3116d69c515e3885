//! Requests to the Hugging Face Hub, with one policy of retries and typed causes of failures. The files of a repository are
//! read by ranges, at one commit.
//!
//! Whoever uses it words the errors: [`HubError`] says what failed, and [`Explain`] makes the error that a reader sees.

mod cause;
mod connection;
mod error;
mod file;
mod repository;
mod requests;
mod response;
mod settings;

pub use cause::HubCause;
pub use connection::{innermost, is_unknown_host};
pub use error::{Explain, HubError};
pub use file::HubFile;
pub use repository::{HubFolder, RepositoryFile, RepositoryInfo, next_page};
pub use requests::{HubClient, RetryMonitor};
pub use response::HubResponse;
pub use settings::HubSettings;
