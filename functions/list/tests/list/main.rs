//! The function `list`: its router, and its binary.

mod auth_emulator;
mod binary;
mod router;
