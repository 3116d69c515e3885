//! Names of tensors that were saved from a module inside of a wrapper: `torch.compile`, FSDP, activation checkpointing, and
//! data parallelism, whose `module` is outermost.

/// The names that wrappers give the wrapped module.
const WRAPPED: [&str; 3] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// The name of the wrapped module of `DistributedDataParallel` and `DataParallel`.
const DATA_PARALLEL: &str = "module.";

/// Whether a name has a wrapped module in its path.
pub(crate) fn has_wrappers(name: &str) -> bool {
    name.starts_with(DATA_PARALLEL) || name.split('.').any(|part| WRAPPED.contains(&part))
}

/// The name without wrappers.
pub(crate) fn without_wrappers(name: &str) -> String {
    let parts = name.split('.').filter(|part| !WRAPPED.contains(part));
    let name = parts.collect::<Vec<_>>().join(".");
    name.strip_prefix(DATA_PARALLEL).map(str::to_owned).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_modules_are_left_out_of_the_path() {
        for (name, expected) in [
            ("base_model.model._orig_mod.model.layers.0.mlp", "base_model.model.model.layers.0.mlp"),
            ("_orig_mod.a._orig_mod.b", "a.b"),
            ("module.model.layers.0.mlp", "model.layers.0.mlp"),
            ("_orig_mod.module.a", "a"),
            ("module._fsdp_wrapped_module.a._checkpoint_wrapped_module.b", "a.b"),
        ] {
            assert_eq!(without_wrappers(name), expected);
            assert!(has_wrappers(name), "{name}");
        }
        for name in ["a_orig_mod.b", "a.module.b", "modules.a"] {
            assert!(!has_wrappers(name) && without_wrappers(name) == name, "{name}");
        }
    }
}
