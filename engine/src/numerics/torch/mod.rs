//! Functions of torch, computed as torch computes them in `f32`.

mod normal_icdf;
mod softplus;

pub(crate) use normal_icdf::normal_icdf;
pub(crate) use softplus::softplus;
