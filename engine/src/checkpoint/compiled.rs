//! Names of tensors that were saved after `torch.compile`, which wraps a module in one named `_orig_mod`.

/// The name that `torch.compile` gives the wrapped module.
const WRAPPED: &str = "_orig_mod";

/// Whether a name has the wrapped module in its path.
pub(crate) fn is_compiled(name: &str) -> bool {
    name.split('.').any(|part| part == WRAPPED)
}

/// The name without `_orig_mod`.
pub(crate) fn uncompiled(name: &str) -> String {
    name.split('.').filter(|part| *part != WRAPPED).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_modules_are_left_out_of_the_path() {
        assert_eq!(
            uncompiled("base_model.model._orig_mod.model.layers.0.mlp"),
            "base_model.model.model.layers.0.mlp"
        );
        assert_eq!(uncompiled("_orig_mod.a._orig_mod.b"), "a.b");
        assert!(is_compiled("_orig_mod.a") && !is_compiled("a_orig_mod.b"));
    }
}
