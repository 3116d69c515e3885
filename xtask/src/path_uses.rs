//! The paths in a module's code that start at `crate`, `self` or `super`.
//!
//! They are read off the tokens, not off the syntax tree: so those in the arguments of macros and attributes count too.

use proc_macro2::{Ident, TokenStream, TokenTree};

/// A path as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathUse {
    /// `crate`, `self` or `super` first; `*` last for a glob.
    pub(crate) segments: Vec<String>,
    /// Where it is in the file, from 1.
    pub(crate) line: usize,
}

/// All paths in these tokens; a group such as `crate::{a, b::C}` is several.
pub(crate) fn paths_in(tokens: TokenStream) -> Vec<PathUse> {
    let mut found = Vec::new();
    scan(tokens, &mut found);
    found
}

fn scan(tokens: TokenStream, found: &mut Vec<PathUse>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = tokens.as_slice();
    while let Some(token) = rest.first() {
        match token {
            TokenTree::Ident(ident) if starts_path(ident) && after_colons(&rest[1..]).is_some() => {
                rest = read_path(&[], rest, found);
                continue;
            }
            TokenTree::Group(group) => scan(group.stream(), found),
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
        rest = &rest[1..];
    }
}

fn starts_path(ident: &Ident) -> bool {
    ident == "crate" || ident == "self" || ident == "super"
}

/// Reads the path that the tokens start with, below `prefix`, and returns the tokens after it.
fn read_path<'a>(prefix: &[String], tokens: &'a [TokenTree], found: &mut Vec<PathUse>) -> &'a [TokenTree] {
    let mut segments = prefix.to_vec();
    let mut rest = tokens;
    let mut line = 0;
    while let [token, after @ ..] = rest {
        match token {
            TokenTree::Ident(ident) => segments.push(ident.to_string()),
            TokenTree::Punct(punct) if punct.as_char() == '*' => segments.push("*".to_owned()),
            TokenTree::Group(group) => {
                read_group(&segments, group.stream(), found);
                return after;
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => break,
        }
        line = token.span().start().line;
        rest = after;
        match after_colons(rest) {
            Some(after) => rest = after,
            None => break,
        }
    }
    found.push(PathUse { segments, line });
    rest
}

/// Reads the paths in the braces of `prefix::{…}`.
fn read_group(prefix: &[String], tokens: TokenStream, found: &mut Vec<PathUse>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
    for path in tokens.split(is_comma).filter(|path| !path.is_empty()) {
        read_path(prefix, path, found);
    }
}

/// The tokens after `::`, if they start with it.
fn after_colons(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    match tokens {
        [TokenTree::Punct(first), TokenTree::Punct(second), rest @ ..]
            if first.as_char() == ':' && second.as_char() == ':' =>
        {
            Some(rest)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(code: &str) -> Vec<String> {
        paths_in(code.parse().unwrap()).iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn use_groups_are_several_paths() {
        let found = paths("use crate::{a::{self, X}, b::*, c::Y as Z}; use super::d; use std::fmt;");
        assert_eq!(found, ["crate::a::self", "crate::a::X", "crate::b::*", "crate::c::Y", "super::d"]);
    }

    #[test]
    fn types_expressions_macros_and_attributes_count() {
        let code = "
            #[serde(with(crate::a::text))]
            pub(crate) fn f(x: &crate::b::X) -> Vec<super::super::c::Y> {
                println!(\"{}\", crate::d::g::<u8>(x));
                self.h(crate::e::Kind::First { at: crate::f::HERE })
            }
            macro_rules! m { () => { $crate::g::run() } }";
        let expected = [
            "crate::a::text",
            "crate::b::X",
            "super::super::c::Y",
            "crate::d::g",
            "crate::e::Kind::First",
            "crate::f::HERE",
            "crate::g::run",
        ];
        assert_eq!(paths(code), expected);
    }

    #[test]
    fn a_path_has_the_line_it_is_on() {
        let found = paths_in("\nuse crate::{\n    a,\n    b,\n};".parse().unwrap());
        assert_eq!(found.iter().map(|path| path.line).collect::<Vec<_>>(), [3, 4]);
    }
}
