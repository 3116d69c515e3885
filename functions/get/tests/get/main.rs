//! The function `get`: its router, and its binary.

mod binary;
mod router;
