//! Which tensor of the base an adapter's module means: the one with the same canonical name.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::gemma::canonical_name;

/// Base tensors by their canonical names.
pub(crate) struct TargetNames<'a>(HashMap<Cow<'a, str>, Vec<usize>>);

/// How a look-up ended.
pub(crate) enum TargetMatch {
    None,
    One(usize),
    Several(Vec<usize>),
}

impl<'a> TargetNames<'a> {
    pub(crate) fn new(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut map: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, name) in names.into_iter().enumerate() {
            map.entry(canonical_name(name)).or_default().push(index);
        }
        Self(map)
    }

    /// The tensor that `name` means.
    pub(crate) fn find(&self, name: &str) -> TargetMatch {
        match self.0.get(&canonical_name(name)).map(Vec::as_slice) {
            None | Some([]) => TargetMatch::None,
            Some(&[index]) => TargetMatch::One(index),
            Some(several) => TargetMatch::Several(several.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vision_layer_is_not_taken_for_a_language_layer() {
        let names = TargetNames::new([
            "language_model.model.layers.0.x",
            "vision_tower.vision_model.encoder.layers.0.x",
        ]);
        assert!(matches!(names.find("model.layers.0.x"), TargetMatch::One(0)));
        assert!(matches!(
            names.find("model.vision_tower.vision_model.encoder.layers.0.x"),
            TargetMatch::One(1)
        ));
    }

    #[test]
    fn two_homes_are_no_home() {
        let names = TargetNames::new(["model.layers.0.x", "layers.0.x"]);
        assert!(matches!(names.find("model.layers.0.x"), TargetMatch::Several(_)));
    }
}
