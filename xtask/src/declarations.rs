//! The names that modules declare.
//!
//! Not those in the arguments of macros, nor those of variables, parameters and associated types.

use std::path::PathBuf;

use proc_macro2::Ident;
use syn::visit::{self, Visit};

use crate::module_tree::SourceModule;

/// A declared name and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declaration {
    /// As it is written, without `r#`.
    pub(crate) name: String,
    /// What it is the name of.
    pub(crate) kind: NameKind,
    /// The file it is declared in.
    pub(crate) file: PathBuf,
    /// The line in the file, from 1.
    pub(crate) line: usize,
}

/// What a name is declared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameKind {
    /// A struct, an enum, a union, a trait or a type alias.
    Type,
    /// A function or a method.
    Function,
    /// A module.
    Module,
    /// A field of a struct, a variant or a union.
    Field,
    /// A variant of an enum.
    Variant,
    /// A constant or a static.
    Constant,
    /// A macro.
    Macro,
}

/// What the modules declare, in their order.
pub(crate) fn declarations_of(modules: &[SourceModule]) -> Vec<Declaration> {
    modules.iter().flat_map(declared_in).collect()
}

/// What one module declares.
pub(crate) fn declared_in(module: &SourceModule) -> Vec<Declaration> {
    let mut collector = Collector { module, found: Vec::new() };
    module.items.iter().for_each(|item| collector.visit_item(item));
    collector.found
}

struct Collector<'a> {
    module: &'a SourceModule,
    found: Vec<Declaration>,
}

impl Collector<'_> {
    fn add(&mut self, kind: NameKind, ident: &Ident) {
        let name = ident.to_string();
        let name = name.strip_prefix("r#").unwrap_or(&name).to_owned();
        self.found.push(Declaration {
            name,
            kind,
            file: self.module.file.clone(),
            line: ident.span().start().line,
        });
    }
}

/// Each method adds the name of its node and visits what is inside.
macro_rules! add_names {
    ($($method:ident($node:ident: $type:ident) => $kind:ident,)*) => {
        $(fn $method(&mut self, $node: &'ast syn::$type) {
            self.add(NameKind::$kind, &$node.ident);
            visit::$method(self, $node);
        })*
    };
}

impl<'ast> Visit<'ast> for Collector<'_> {
    add_names! {
        visit_item_struct(node: ItemStruct) => Type,
        visit_item_enum(node: ItemEnum) => Type,
        visit_item_union(node: ItemUnion) => Type,
        visit_item_trait(node: ItemTrait) => Type,
        visit_item_type(node: ItemType) => Type,
        visit_item_const(node: ItemConst) => Constant,
        visit_item_static(node: ItemStatic) => Constant,
        visit_impl_item_const(node: ImplItemConst) => Constant,
        visit_trait_item_const(node: TraitItemConst) => Constant,
        visit_item_mod(node: ItemMod) => Module,
        visit_variant(node: Variant) => Variant,
    }

    fn visit_signature(&mut self, node: &'ast syn::Signature) {
        self.add(NameKind::Function, &node.ident);
        visit::visit_signature(self, node);
    }

    fn visit_field(&mut self, node: &'ast syn::Field) {
        if let Some(ident) = &node.ident {
            self.add(NameKind::Field, ident);
        }
        visit::visit_field(self, node);
    }

    fn visit_item_macro(&mut self, node: &'ast syn::ItemMacro) {
        if let Some(ident) = &node.ident {
            self.add(NameKind::Macro, ident);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::crate_of;

    #[test]
    fn each_kind_of_name_is_found_with_its_line() {
        let code = "
            mod inline { fn inside() {} }
            struct Point { x: u8 }
            enum Shape { Round { radius: u8 } }
            trait Area { const UNIT: u8; fn area(&self); }
            type Size = u8;
            const LIMIT: u8 = { struct Local; 1 };
            macro_rules! twice { () => {} }";
        let found = declarations_of(&crate_of(&[("lib.rs", code)]));
        let found: Vec<_> = found.iter().map(|d| (d.line, d.kind, d.name.as_str())).collect();
        let expected = [
            (2, NameKind::Module, "inline"),
            (3, NameKind::Type, "Point"),
            (3, NameKind::Field, "x"),
            (4, NameKind::Type, "Shape"),
            (4, NameKind::Variant, "Round"),
            (4, NameKind::Field, "radius"),
            (5, NameKind::Type, "Area"),
            (5, NameKind::Constant, "UNIT"),
            (5, NameKind::Function, "area"),
            (6, NameKind::Type, "Size"),
            (7, NameKind::Constant, "LIMIT"),
            (7, NameKind::Type, "Local"),
            (8, NameKind::Macro, "twice"),
            (2, NameKind::Function, "inside"),
        ];
        assert_eq!(found, expected);
    }
}
