//! The size for which types by tensor are chosen.

use super::{ArtifactKind, GgufKind, InvalidRequest};

const FIELD: &str = "max_bytes";

/// The largest size of a request: a pebibyte, more than any model has.
pub const MAX_BYTES_LIMIT: u64 = 1 << 50;

/// A whole number of bytes of a GGUF of a model. JSON writes whole numbers as integers or not.
pub(super) fn parse(
    (kind, gguf_kind): (ArtifactKind, GgufKind),
    bytes: Option<f64>,
) -> Result<Option<u64>, InvalidRequest> {
    let Some(bytes) = bytes else { return Ok(None) };
    let refuse = |problem: &str| Err(InvalidRequest::new(FIELD, problem));
    if kind != ArtifactKind::Gguf {
        return refuse("is only valid with export_type gguf: omit it");
    }
    if gguf_kind != GgufKind::Model {
        return refuse("is only valid with gguf_kind model: omit it");
    }
    // exact: integers up to 2^53 are
    if bytes.fract() != 0.0 || !(1.0..=MAX_BYTES_LIMIT as f64).contains(&bytes) {
        return refuse(&format!("must be a whole number of bytes from 1 to {MAX_BYTES_LIMIT}"));
    }
    Ok(Some(bytes as u64))
}

/// Refuses quantization types beside the size: types are chosen for each tensor.
pub(super) fn check_types(one: Option<&str>, several: Option<&Vec<String>>) -> Result<(), InvalidRequest> {
    if one.is_none_or(|name| name.trim().is_empty()) && several.is_none() {
        return Ok(());
    }
    Err(InvalidRequest::new(FIELD, "chooses the types by itself: omit it, or quantization and quantizations"))
}
