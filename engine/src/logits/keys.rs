//! A family's own keys, read from a file or made from a configuration.

use crate::gguf::Value;

pub(super) struct Keys<'a>(pub(super) &'a dyn Fn(&str) -> Option<&'a Value>);

impl Keys<'_> {
    pub(super) fn count(&self, key: &str) -> Option<usize> {
        (self.0)(key)?.as_u32().map(|count| count as usize)
    }

    /// A count that the model cannot do without.
    pub(super) fn need(&self, key: &str) -> Result<usize, String> {
        self.count(key).ok_or_else(|| format!("lacks the parameter {key}"))
    }

    pub(super) fn number(&self, key: &str) -> Option<f32> {
        match (self.0)(key) {
            Some(Value::F32(number)) => Some(*number),
            Some(_) | None => None,
        }
    }
}
