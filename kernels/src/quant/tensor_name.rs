//! GGUF tensor names, such as `blk.3.attn_q.weight`.

/// The layer of a tensor; `None` for tensors outside of layers.
pub fn layer_number(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}
