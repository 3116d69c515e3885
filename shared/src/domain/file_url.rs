//! Files in buckets that a request names: an importance matrix, or the text that it is computed from; prompts.

use super::{ArtifactKind, GgufKind, InvalidRequest};

/// The longest URL of a file, in bytes.
pub const MAX_FILE_URL: usize = 1_024;

/// The URL of a file in a bucket; `file://` in local stacks. Blank counts as omitted.
pub(super) fn parse(field: &'static str, url: Option<&str>) -> Result<Option<String>, InvalidRequest> {
    let Some(url) = url.map(str::trim).filter(|url| !url.is_empty()) else { return Ok(None) };
    let path = match url.strip_prefix("gs://").and_then(|rest| rest.split_once('/')) {
        Some((bucket, path)) if !bucket.is_empty() => Some(path),
        _ => url.strip_prefix("file:///"),
    };
    let is_file = path.is_some_and(|path| !path.is_empty() && !path.ends_with('/'));
    if !is_file || url.len() > MAX_FILE_URL || url.chars().any(char::is_control) {
        let rule = "must be the URL of a file in a bucket: gs://bucket/path, or file:///path where the service runs locally";
        return Err(InvalidRequest::new(field, rule));
    }
    if path.is_some_and(|path| path.split('/').any(|segment| matches!(segment, "" | "." | ".."))) {
        let rule =
            "must not have . or .. or nothing between slashes in its path: write the path without them";
        return Err(InvalidRequest::new(field, rule));
    }
    Ok(Some(url.to_owned()))
}

/// Refuses an importance matrix, given or computed, that no type of a GGUF uses.
pub(super) fn check_imatrix(
    field: &'static str,
    (kind, gguf_kind): (ArtifactKind, GgufKind),
    is_used: bool,
) -> Result<(), InvalidRequest> {
    let problem = if kind != ArtifactKind::Gguf {
        "is only valid with export_type gguf: omit it"
    } else if gguf_kind != GgufKind::Model {
        "is only valid with gguf_kind model: omit it"
    } else if !is_used {
        "is not used for f32, f16, bf16 and q8_0: ask for another quantization type, or omit it"
    } else {
        return Ok(());
    };
    Err(InvalidRequest::new(field, problem))
}

/// Refuses prompts for what has no predictions of its own.
pub(super) fn check_prompts(kind: ArtifactKind, gguf_kind: GgufKind) -> Result<(), InvalidRequest> {
    let problem = match kind {
        ArtifactKind::Adapter => "is only valid with export_type merged or gguf: omit it",
        ArtifactKind::Gguf if gguf_kind == GgufKind::Lora => "is only valid with gguf_kind model: omit it",
        ArtifactKind::Merged | ArtifactKind::Gguf => return Ok(()),
    };
    Err(InvalidRequest::new("prompts_uri", problem))
}
