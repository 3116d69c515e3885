//! What every function does with every request, whatever its route.

pub mod body;
mod caller;
mod envelope;
mod health;
mod linger;
mod to_the_end;

pub use caller::Caller;
pub use envelope::envelope;
pub(crate) use linger::linger;
pub use to_the_end::to_the_end;
