//! What a name in the root of a crate means: a module, or what the root re-exports from one.

use syn::{Item, UseTree};

use crate::declarations::declared_in;
use crate::module_tree::SourceModule;

/// The names in the root of a crate.
pub(crate) struct RootNames<'a> {
    /// The modules of the crate, the root first.
    pub(crate) modules: &'a [SourceModule],
}

impl RootNames<'_> {
    /// The module directly below the root that a path from the root leads to; nothing for a name of the root itself.
    pub(crate) fn module_of(&self, path: &[String]) -> Option<String> {
        let name = path.first()?;
        if self.is_module(name) {
            return Some(name.clone());
        }
        self.reexported_from(name).or_else(|| self.exported_macro(name))
    }

    fn is_module(&self, name: &str) -> bool {
        self.modules.iter().any(|module| matches!(module.path.as_slice(), [only] if only == name))
    }

    /// Where a `use` of the root has the name from.
    fn reexported_from(&self, name: &str) -> Option<String> {
        let imports = imports_of(self.modules.first()?);
        let named = imports.iter().find(|import| import.name == name && name != "*");
        let glob = || imports.iter().find(|import| import.name == "*" && self.declares(&import.path, name));
        let module = named.or_else(glob)?.path.first()?;
        self.is_module(module).then(|| module.clone())
    }

    /// Whether the module of a glob import declares or re-exports the name.
    fn declares(&self, glob: &[String], name: &str) -> bool {
        let [path @ .., _] = glob else { return false };
        let Some(module) = self.modules.iter().find(|module| module.path == path) else { return false };
        imports_of(module).iter().any(|import| import.name == name)
            || declared_in(module).iter().any(|declared| declared.name == name)
    }

    /// The module with the `#[macro_export]` macro of this name: such a macro is a name of the root.
    fn exported_macro(&self, name: &str) -> Option<String> {
        let exports = |item: &Item| {
            let Item::Macro(item) = item else { return false };
            let exported = item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"));
            exported && item.ident.as_ref().is_some_and(|ident| ident == name)
        };
        self.modules.iter().find(|module| module.items.iter().any(exports))?.path.first().cloned()
    }
}

/// A name that a `use` brings into a module.
struct Import {
    /// The name after `as`, if there is one; `*` for a glob.
    name: String,
    /// As it is written, without `crate` and `self`.
    path: Vec<String>,
}

fn imports_of(module: &SourceModule) -> Vec<Import> {
    let mut imports = Vec::new();
    for item in &module.items {
        if let Item::Use(item) = item {
            flatten(&item.tree, &mut Vec::new(), &mut imports);
        }
    }
    imports
}

fn flatten(tree: &UseTree, prefix: &mut Vec<String>, imports: &mut Vec<Import>) {
    let mut import = |name: String, last: String| {
        let mut path = prefix.clone();
        path.push(last);
        path.retain(|segment| segment != "self" && segment != "crate");
        imports.push(Import { name, path });
    };
    match tree {
        UseTree::Name(name) if name.ident == "self" => {
            import(prefix.last().cloned().unwrap_or_default(), "self".to_owned());
        }
        UseTree::Name(name) => import(name.ident.to_string(), name.ident.to_string()),
        UseTree::Rename(rename) => import(rename.rename.to_string(), rename.ident.to_string()),
        UseTree::Glob(_) => import("*".to_owned(), "*".to_owned()),
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, imports);
            prefix.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, prefix, imports)),
    }
}
