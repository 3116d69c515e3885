//! Type names: how many are of one word, and which stand more than once in a crate.

use std::collections::BTreeMap;

use crate::declarations::{Declaration, NameKind};
use crate::glossary::DoubleName;

/// The types among the declarations.
pub(crate) fn types(declarations: &[Declaration]) -> impl Iterator<Item = &Declaration> {
    declarations.iter().filter(|declaration| declaration.kind == NameKind::Type)
}

/// The share of types whose name is one word, in percent; 0 without types.
pub(crate) fn one_word_percent(declarations: &[Declaration]) -> f64 {
    let (one_word, all) = (one_word_types(declarations).count(), types(declarations).count());
    if all == 0 { 0.0 } else { 100.0 * one_word as f64 / all as f64 }
}

/// The types whose name is one word.
pub(crate) fn one_word_types(declarations: &[Declaration]) -> impl Iterator<Item = &Declaration> {
    types(declarations).filter(|declaration| word_count(&declaration.name) == 1)
}

/// The types of a package that share their name with another one and are not in the glossary, by name.
pub(crate) fn unexplained_doubles<'a>(
    package: &str,
    declarations: &'a [Declaration],
    explained: &[DoubleName],
) -> BTreeMap<&'a str, Vec<&'a Declaration>> {
    let mut by_name: BTreeMap<&str, Vec<&Declaration>> = BTreeMap::new();
    for declaration in types(declarations) {
        by_name.entry(&declaration.name).or_default().push(declaration);
    }
    let is_explained = |name: &str| explained.iter().any(|row| row.package == package && row.name == name);
    by_name.retain(|name, places| places.len() > 1 && !is_explained(name));
    by_name
}

/// The words of a name in camel case: `Q8_0` is one, `GgufFile`, `HTTPServer` and `Q4KM` are two.
///
/// A word starts at a capital after a small letter, a digit or `_`, and at the last capital of several before a small
/// letter.
fn word_count(name: &str) -> usize {
    let letters: Vec<char> = name.chars().collect();
    let starts_word = |at: usize| {
        let before = letters[at - 1];
        let next_is_small = letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
        letters[at].is_ascii_uppercase() && (!before.is_ascii_uppercase() || next_is_small)
    };
    1 + (1..letters.len()).filter(|&at| starts_word(at)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declarations::declarations_of;
    use crate::testing::crate_of;

    #[test]
    fn words_are_counted() {
        for name in ["Error", "F16", "Q8_0", "Gemma3n", "IO"] {
            assert_eq!(word_count(name), 1, "{name}");
        }
        for name in ["GgufFile", "HTTPServer", "Q4KM", "Gemma4Unified", "TypeA"] {
            assert_eq!(word_count(name), 2, "{name}");
        }
        assert_eq!(word_count("TensorNameMap"), 3);
    }

    #[test]
    fn the_share_counts_private_types_and_no_tests() {
        let code = "pub struct Index; enum TensorMap {} type Rows = u8; trait RowSource {}
            fn index() {} #[cfg(test)] mod tests { struct Fixture; }";
        let declarations = declarations_of(&crate_of(&[("lib.rs", code)]));
        assert_eq!(one_word_percent(&declarations), 50.0);
        let names: Vec<_> = one_word_types(&declarations).map(|declared| declared.name.as_str()).collect();
        assert_eq!(names, ["Index", "Rows"]);
    }

    #[test]
    fn a_name_that_stands_twice_needs_a_row_for_its_package() {
        let modules = crate_of(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub struct Part; pub struct Whole;"),
            ("b.rs", "\nenum Part {} fn whole() {}"),
        ]);
        let declarations = declarations_of(&modules);
        let row = |package: &str| DoubleName { package: package.to_owned(), name: "Part".to_owned() };

        let doubles = unexplained_doubles("engine", &declarations, &[row("job")]);
        let lines: Vec<_> = doubles["Part"].iter().map(|place| place.line).collect();
        assert_eq!((doubles.len(), lines), (1, vec![1, 2]));
        assert!(unexplained_doubles("engine", &declarations, &[row("engine")]).is_empty());
    }
}
