//! Keys and values of tokens: of the last layers of a pass, or of all layers for the tokens of later passes.

use std::collections::HashMap;

use ndarray::{Array2, Axis, concatenate, s};

use super::ops::TokenSpan;

/// Keys and values: a row for each token, sequence after sequence.
pub(super) type KeysAndValues = (Array2<f32>, Array2<f32>);

pub(super) struct KvCache {
    layers: HashMap<usize, KeysAndValues>,
    /// Whether layers are kept for the next pass. Otherwise only those that later layers may share are.
    keeps_all: bool,
    /// The last layer with a sliding window that computed its own keys and values.
    last_sliding: Option<usize>,
    /// The last such layer with global attention.
    last_global: Option<usize>,
}

impl KvCache {
    /// For one pass over whole sequences.
    pub(super) fn of_one_pass() -> Self {
        Self { layers: HashMap::new(), keeps_all: false, last_sliding: None, last_global: None }
    }

    /// For several passes, each over the next tokens.
    pub(super) fn of_all_passes() -> Self {
        Self { keeps_all: true, ..Self::of_one_pass() }
    }

    /// Adds those of a layer's new tokens.
    pub(super) fn append(&mut self, layer: usize, is_sliding: bool, spans: &[TokenSpan], new: KeysAndValues) {
        let all = match self.layers.remove(&layer) {
            Some((keys, values)) => (joined(spans, &keys, &new.0), joined(spans, &values, &new.1)),
            None => new,
        };
        let last = if is_sliding { &mut self.last_sliding } else { &mut self.last_global };
        if let Some(before) = last.replace(layer).filter(|_| !self.keeps_all) {
            self.layers.remove(&before);
        }
        self.layers.insert(layer, all);
    }

    /// Those of the last layer of a kind.
    pub(super) fn last(&self, is_sliding: bool) -> Option<&KeysAndValues> {
        self.layers.get(&if is_sliding { self.last_sliding } else { self.last_global }?)
    }
}

/// The rows of each sequence's past tokens, followed by those of its new ones.
fn joined(spans: &[TokenSpan], past: &Array2<f32>, new: &Array2<f32>) -> Array2<f32> {
    let (mut parts, mut first_past, mut first_new) = (Vec::new(), 0, 0);
    for span in spans {
        parts.push(past.slice(s![first_past..first_past + span.past, ..]));
        parts.push(new.slice(s![first_new..first_new + span.new, ..]));
        first_past += span.past;
        first_new += span.new;
    }
    // the parts have equally many columns
    concatenate(Axis(0), &parts).unwrap_or_default()
}
