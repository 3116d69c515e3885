//! The modules of a crate, parsed, without its test code.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use syn::{Attribute, ImplItem, Item, ItemMod, Meta, Token, punctuated::Punctuated};

/// A module of a crate, with its items; those of its inline modules are in modules of their own.
pub(crate) struct SourceModule {
    /// The names of the modules from the root to this one: empty for the root.
    pub(crate) path: Vec<String>,
    /// The file it is written in.
    pub(crate) file: PathBuf,
    /// What is declared in it, except for what is compiled for tests only.
    pub(crate) items: Vec<Item>,
}

/// The modules of the crate whose root file (`lib.rs`, `main.rs`) this is, the root first.
pub(crate) fn parse_crate(root_file: &Path) -> anyhow::Result<Vec<SourceModule>> {
    let folder = root_file.parent().unwrap_or(Path::new("."));
    let mut modules = Vec::new();
    let root = OpenModule { path: Vec::new(), file: root_file.to_owned(), child_folder: folder.to_owned() };
    root.add_to(&mut modules, parse_file(root_file)?)?;
    Ok(modules)
}

/// A module whose items are being read.
struct OpenModule {
    path: Vec<String>,
    file: PathBuf,
    /// Where the files of the modules declared in it are.
    child_folder: PathBuf,
}

impl OpenModule {
    /// Adds this module and the modules below it.
    fn add_to(self, modules: &mut Vec<SourceModule>, mut items: Vec<Item>) -> anyhow::Result<()> {
        items.retain(|item| !is_test_only(attributes(item)));
        let mut children = Vec::new();
        for item in &mut items {
            if let Item::Mod(child) = item {
                children.push(self.open_child(child)?);
            } else if let Item::Impl(block) = item {
                block.items.retain(|item| !is_test_only(impl_item_attributes(item)));
            }
        }
        modules.push(SourceModule { path: self.path, file: self.file, items });
        children.into_iter().try_for_each(|(child, items)| child.add_to(modules, items))
    }

    /// Takes the items of `mod child { … }` out of it, or reads those of `mod child;` from its file.
    fn open_child(&self, child: &mut ItemMod) -> anyhow::Result<(Self, Vec<Item>)> {
        let name = child.ident.to_string();
        let folder = self.child_folder.join(&name);
        let path = [self.path.as_slice(), std::slice::from_ref(&name)].concat();
        if let Some((_, items)) = child.content.take() {
            return Ok((Self { path, file: self.file.clone(), child_folder: folder }, items));
        }
        let candidates = [folder.with_extension("rs"), folder.join("mod.rs")];
        let Some(file) = candidates.iter().find(|file| file.is_file()) else {
            bail!("{}: no file of the module `{name}`", self.file.display());
        };
        let items = parse_file(file)?;
        Ok((Self { path, file: file.clone(), child_folder: folder }, items))
    }
}

fn parse_file(file: &Path) -> anyhow::Result<Vec<Item>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(syn::parse_file(&text).with_context(|| file.display().to_string())?.items)
}

/// Whether one of the attributes is a `cfg` that only holds in tests.
fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("cfg"))
        .filter_map(|attribute| attribute.parse_args().ok())
        .any(|condition| needs_test(&condition))
}

/// Whether a condition of `cfg` cannot hold without `test`.
fn needs_test(condition: &Meta) -> bool {
    let Meta::List(list) = condition else { return condition.path().is_ident("test") };
    let Ok(operands) = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) else {
        return false;
    };
    if list.path.is_ident("all") {
        operands.iter().any(needs_test)
    } else {
        list.path.is_ident("any") && operands.iter().all(needs_test)
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum may grow: all but these have no attributes")]
fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum may grow: all but these have no attributes")]
fn impl_item_attributes(item: &ImplItem) -> &[Attribute] {
    match item {
        ImplItem::Const(item) => &item.attrs,
        ImplItem::Fn(item) => &item.attrs,
        ImplItem::Macro(item) => &item.attrs,
        ImplItem::Type(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::crate_of;

    fn paths(modules: &[SourceModule]) -> Vec<String> {
        modules.iter().map(|module| module.path.join("::")).collect()
    }

    #[test]
    fn modules_are_found_in_files_folders_and_inline() {
        let modules = crate_of(&[
            ("lib.rs", "mod file; mod folder; mod inline { mod below; }"),
            ("file.rs", "mod child;"),
            ("file/child.rs", ""),
            ("folder/mod.rs", "mod child;"),
            ("folder/child.rs", ""),
            ("inline/below.rs", "struct Deep;"),
        ]);
        let expected = ["", "file", "file::child", "folder", "folder::child", "inline", "inline::below"];
        assert_eq!(paths(&modules), expected);
        assert_eq!(modules[6].items.len(), 1);
    }

    #[test]
    fn what_only_tests_compile_is_left_out() {
        let modules = crate_of(&[(
            "lib.rs",
            r#"
            #[cfg(test)] mod tests;
            #[cfg(all(test, unix))] mod unix_tests { }
            #[cfg(any(test, feature = "testing"))] mod testing { }
            #[cfg(not(test))] mod shipped { }
            #[cfg(test)] use tests::Fixture;
            impl Kept { #[cfg(test)] fn gone() {} fn stays() {} }
            "#,
        )]);
        assert_eq!(paths(&modules), ["", "testing", "shipped"]);
        let Item::Impl(block) = &modules[0].items[2] else { panic!("not the impl block") };
        assert_eq!(block.items.len(), 1);
    }

    #[test]
    fn a_module_without_a_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("lib.rs");
        fs::write(&root, "mod missing;").unwrap();
        let error = parse_crate(&root).err().unwrap();
        assert!(error.to_string().ends_with("no file of the module `missing`"), "{error}");
    }
}
