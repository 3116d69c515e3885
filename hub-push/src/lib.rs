//! Pushes exports to the Hugging Face Hub: every file and a model card in one commit, which removes what contradicts them and is
//! verified afterwards. Large files go through Xet.
//!
//! ```text
//!  push · destination
//!  transfer · contents
//!  client
//!  card · file_stream
//!  error · stall · front_matter
//!  wording
//!  request
//! ```
//!
//! Modules use only modules further down. Calls block, and must not be made on a thread of the runtime.

mod card;
mod client;
mod contents;
mod destination;
mod error;
mod file_stream;
mod front_matter;
mod push;
mod request;
mod stall;
mod transfer;
mod wording;

pub use card::CARD_FILE;
pub use client::PushClient;
pub use destination::RepositoryState;
pub use error::{Published, PushError};
pub use push::PushedCommit;
pub use request::{ModelCard, PushKind, PushMonitor, PushRequest, PushTarget, Refusal};
pub use wording::PushWording;
