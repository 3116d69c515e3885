//! The function `health`: its router, and its binary.

mod binary;
mod router;
