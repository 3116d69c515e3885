//! What every function does with every request, whatever its route.

pub mod body;
mod caller;
mod envelope;
mod to_the_end;

pub use caller::Caller;
pub use envelope::envelope;
pub use to_the_end::to_the_end;
