//! Functions of torch with torch's `f32` results.

mod normal_icdf;
mod softplus;

pub use normal_icdf::normal_icdf;
pub use softplus::softplus;
