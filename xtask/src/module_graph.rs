//! Which modules directly below a crate's root use which.
//!
//! A use is a path that starts at `crate`, `self` or `super` and ends in another of these modules. What the root
//! re-exports belongs to the module it comes from. The root itself is above all modules: it may use each of them, and
//! none may use what is declared in the root.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use quote::ToTokens;

use crate::module_tree::SourceModule;
use crate::path_uses::{PathUse, paths_in};
use crate::root_names::RootNames;

/// The uses between the modules of a crate, with one example of each.
#[derive(Debug, Default)]
pub(crate) struct ModuleGraph {
    /// By the name of the module that uses, then by that of the module that is used.
    pub(crate) uses: BTreeMap<String, BTreeMap<String, UseSite>>,
    /// Uses of what is declared in the root itself, by the name of the module.
    pub(crate) uses_of_root: BTreeMap<String, UseSite>,
}

/// Where one module uses another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UseSite {
    file: PathBuf,
    line: usize,
    path: String,
}

impl fmt::Display for UseSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.path)
    }
}

impl ModuleGraph {
    /// The graph of a crate; the root is the first of its modules.
    pub(crate) fn of(modules: &[SourceModule]) -> Self {
        let names = RootNames { modules };
        let mut graph = Self::default();
        for module in modules.iter().filter(|module| !module.path.is_empty()) {
            for path in module.items.iter().flat_map(|item| paths_in(item.to_token_stream())) {
                graph.add(&names, module, &path);
            }
        }
        graph
    }

    fn add(&mut self, names: &RootNames<'_>, module: &SourceModule, path: &PathUse) {
        let Some(target) = from_root(&module.path, &path.segments) else { return };
        let (user, site) = (module.path[0].clone(), UseSite::new(module, path));
        match names.module_of(&target) {
            Some(used) if used == user => {}
            Some(used) => {
                self.uses.entry(user).or_default().entry(used).or_insert(site);
            }
            None => {
                self.uses_of_root.entry(user).or_insert(site);
            }
        }
    }
}

impl UseSite {
    fn new(module: &SourceModule, path: &PathUse) -> Self {
        Self { file: module.file.clone(), line: path.line, path: path.segments.join("::") }
    }
}

/// The path from the root that `segments` mean in the module `at`; nothing if they start at another crate.
fn from_root(at: &[String], segments: &[String]) -> Option<Vec<String>> {
    let mut base = match segments.first()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => at.to_vec(),
        _ => return None,
    };
    let mut rest = segments;
    while let [first, after @ ..] = rest {
        match first.as_str() {
            "crate" | "self" => {}
            "super" => drop(base.pop()),
            _ => break,
        }
        rest = after;
    }
    base.extend_from_slice(rest);
    Some(base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::crate_of;

    /// The edges of a crate as `user → used`, uses of the root as `user → root`.
    fn edges(files: &[(&str, &str)]) -> Vec<String> {
        let graph = ModuleGraph::of(&crate_of(files));
        let between = graph
            .uses
            .iter()
            .flat_map(|(user, used)| used.keys().map(move |used| format!("{user} → {used}")));
        let of_root = graph.uses_of_root.keys().map(|user| format!("{user} → root"));
        between.chain(of_root).collect()
    }

    #[test]
    fn uses_of_children_count_for_the_module_below_the_root() {
        let found = edges(&[
            ("lib.rs", "mod a; mod b;"),
            ("a/mod.rs", "mod child;"),
            ("a/child.rs", "use super::super::b::deep::X; use super::Sibling;"),
            ("b.rs", "pub mod deep { pub struct X; fn f() { self::g(); super::h(); } }"),
        ]);
        assert_eq!(found, ["a → b"]);
    }

    #[test]
    fn a_reexport_of_the_root_is_resolved_to_its_module() {
        let found = edges(&[
            (
                "lib.rs",
                "mod a; mod b; mod c; mod d; pub use b::X; pub use crate::c::{self as see, Y as Z}; pub use d::*;",
            ),
            ("a.rs", "use crate::X; fn f(z: crate::Z) { crate::W; crate::see::g() }"),
            ("b.rs", "pub struct X;"),
            ("c.rs", "pub struct Y;"),
            ("d.rs", "pub struct W;"),
        ]);
        assert_eq!(found, ["a → b", "a → c", "a → d"]);
    }

    #[test]
    fn what_the_root_declares_is_of_the_root() {
        let found = edges(&[
            ("main.rs", "mod a; mod b; use std::fmt; struct Context; fn main() {}"),
            ("a.rs", "use crate::Context;"),
            ("b.rs", "use super::*;"),
        ]);
        assert_eq!(found, ["a → root", "b → root"]);
    }

    #[test]
    fn an_exported_macro_is_of_the_module_that_defines_it() {
        let found = edges(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "fn f() { crate::twice!(1) }"),
            ("b.rs", "#[macro_export] macro_rules! twice { () => {} }"),
        ]);
        assert_eq!(found, ["a → b"]);
    }

    #[test]
    fn uses_in_tests_do_not_count() {
        let found = edges(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "#[cfg(test)] mod tests { use crate::b::X; }\n#[cfg(test)] use crate::b::Y;"),
            ("b.rs", "pub struct X;"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn a_use_says_where_it_is() {
        let graph = ModuleGraph::of(&crate_of(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "\nuse crate::b::X;"),
            ("b.rs", "pub struct X;"),
        ]));
        assert_eq!(graph.uses["a"]["b"].to_string(), "a.rs:2: crate::b::X");
    }
}
