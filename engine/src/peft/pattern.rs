//! `rank_pattern` and `alpha_pattern`: values for the modules that a regular expression matches.
//!
//! PEFT matches a key with `re.match(rf"(.*\.)?({key})$", module)` (`get_pattern_key`): the whole name, or what follows a
//! dot in it. Keys are written in Python's dialect and matched here in that of the crate `regex`, so a key that the two
//! dialects may read differently is refused.

use regex::{Regex, RegexBuilder};

use crate::error::{Error, Result};
use crate::io::json::OrderedMap;

/// The largest compiled pattern, in bytes; a module's name compiles to far less.
pub(super) const MAX_PATTERN_SIZE: usize = 256 << 10;

/// Values for the modules that a pattern matches. The first match counts.
#[derive(Debug, Clone)]
pub(super) struct ModulePatterns<T>(Vec<(Regex, T)>);

impl<T: Copy> ModulePatterns<T> {
    /// # Errors
    /// [`Error::Unsupported`] for a key that is not a regular expression of the part common to both dialects.
    pub(super) fn new(file: &str, field: &str, entries: OrderedMap<T>) -> Result<Self> {
        let compile = |(key, value): (String, T)| {
            let refuse = |what: &str| {
                let feature = format!("the {field} {key:?}, which has {what},");
                Err(Error::unsupported(file, feature)
                    .advise("name modules with literal characters and ( | ) [ ] . * + ?"))
            };
            if let Err(what) = check_dialect(&key, Lookahead::Reject) {
                return refuse(what);
            }
            let pattern = format!(r"^(?:.*\.)?(?:{key})$");
            // a key that is only valid inside of the group, such as `a)|(b`, would take its anchors apart
            match (build(&key), build(&pattern)) {
                (Ok(_), Ok(regex)) => Ok((regex, value)),
                _ => refuse("an invalid or too large regular expression"),
            }
        };
        Ok(Self(entries.0.into_iter().map(compile).collect::<Result<_>>()?))
    }

    /// The value of the first pattern that matches the module's name.
    pub(super) fn get(&self, module: &str) -> Option<T> {
        self.0.iter().find(|(regex, _)| regex.is_match(module)).map(|(_, value)| *value)
    }
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(MAX_PATTERN_SIZE).build()
}

/// Whether the crate that matches a pattern knows `(?=…)` and `(?!…)`: `fancy-regex` does, `regex` does not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookahead {
    Accept,
    Reject,
}

/// Refuses what Python's `re` and the crate that matches the pattern read differently, or one of them does not know.
pub(super) fn check_dialect(key: &str, lookahead: Lookahead) -> Result<(), &'static str> {
    let mut rest = key;
    let mut after_quantifier = false;
    while let Some(c) = rest.chars().next() {
        let token = match c {
            '[' => class_length(rest)?,
            '\\' => escape_length(rest)?,
            '(' if rest.starts_with("(?:") => 3,
            '(' if lookahead == Lookahead::Accept && rest.starts_with("(?=") => 3,
            '(' if lookahead == Lookahead::Accept && rest.starts_with("(?!") => 3,
            '(' if rest.starts_with("(?") => return Err("a group with flags, a name or a condition"),
            '{' => repetition_length(rest)?,
            '*' | '+' | '?' => 1,
            other => other.len_utf8(),
        };
        let is_quantifier = matches!(c, '*' | '+' | '?' | '{');
        if is_quantifier && after_quantifier {
            return Err("a quantifier after a quantifier");
        }
        rest = &rest[token..];
        // a lazy quantifier matches the same names
        if is_quantifier && rest.starts_with('?') {
            rest = &rest[1..];
        }
        after_quantifier = is_quantifier;
    }
    Ok(())
}

/// The length of the escape that `rest` starts with.
fn escape_length(rest: &str) -> Result<usize, &'static str> {
    match rest[1..].chars().next() {
        Some('b') if rest.starts_with(r"\b{") => Err("an escape of one dialect"),
        Some('d' | 'D' | 'w' | 'W' | 's' | 'S' | 'b' | 'B' | 'A') => Ok(2),
        Some(c) if c.is_ascii_punctuation() && !matches!(c, '<' | '>') => Ok(2),
        Some(_) | None => Err("an escape of one dialect"),
    }
}

/// The length of the repetition `{n}`, `{n,}` or `{n,m}` that `rest` starts with.
fn repetition_length(rest: &str) -> Result<usize, &'static str> {
    let inside = rest[1..].split_once('}').map(|(inside, _)| inside).unwrap_or_default();
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let valid = match inside.split_once(',') {
        Some((least, most)) => number(least) && (most.is_empty() || number(most)),
        None => number(inside),
    };
    if valid { Ok(inside.len() + 2) } else { Err("a brace that is not a repetition") }
}

/// The length of the class that `rest` starts with.
fn class_length(rest: &str) -> Result<usize, &'static str> {
    const DIFFERS: &str = "a class that the dialects read differently";
    let mut at = if rest.starts_with("[^") { 2 } else { 1 };
    let first = at;
    while let Some(c) = rest[at..].chars().next() {
        match c {
            ']' if at > first => return Ok(at + 1),
            '[' | ']' => return Err(DIFFERS),
            '&' | '-' | '~' if rest[at + 1..].starts_with(c) => return Err(DIFFERS),
            '\\' => at += escape_length(&rest[at..])?,
            other => at += other.len_utf8(),
        }
    }
    Err(DIFFERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(key: &str, module: &str) -> bool {
        patterns(key).unwrap().get(module).is_some()
    }

    fn patterns(key: &str) -> Result<ModulePatterns<u32>> {
        ModulePatterns::new("f", "rank_pattern", OrderedMap(vec![(key.to_owned(), 1)]))
    }

    /// Each line was compared with `re.match(rf"(.*\.)?({key})$", module)` in Python 3.11.
    #[test]
    fn a_key_matches_the_whole_name_or_its_end_after_a_dot() {
        for (key, module, matched) in [
            ("q_proj", "model.layers.0.self_attn.q_proj", true),
            ("q_proj", "q_proj", true),
            ("q_proj", "model.layers.0.self_attn.eq_proj", false),
            ("layers.1", "model.layers.1.mlp.up_proj", false),
            ("^model.layers.1", "model.layers.1.mlp.up_proj", false),
            ("^model.layers.1", "model.layers.1", true),
            ("^layers.1", "model.layers.1", false),
            ("^model.*", "model.layers.1.mlp.up_proj", true),
            (r"layers\.(0|1)\..*q_proj", "model.layers.1.self_attn.q_proj", true),
            (r"layers\.[0-9]+\.mlp\.(up|down)_proj", "model.layers.12.mlp.down_proj", true),
            (r"layers\.\d{1,2}\.mlp\.up_proj", "model.layers.123.mlp.up_proj", false),
            ("up_proj|down_proj", "model.layers.0.mlp.down_proj", true),
            ("q_proj$", "model.layers.0.self_attn.q_proj", true),
            (".*?up_proj", "model.layers.0.mlp.up_proj", true),
            ("", "model.", true),
        ] {
            assert_eq!(matches(key, module), matched, "{key} {module}");
        }
    }

    #[test]
    fn a_key_of_one_dialect_is_refused_by_name() {
        for key in [
            "(?i)q_proj",
            "(?P<a>q)_proj",
            "(?<a>q)_proj",
            "(?=q)q_proj",
            r"(q)\1",
            r"\<q_proj",
            r"q_proj\Z",
            r"\pL",
            "q*+",
            "q**",
            "q{,3}",
            "q{x}",
            "[a&&b]",
            "[a--b]",
            "[[:alpha:]]",
            "[]a]",
            "[a",
            r"\b{start}q",
            "q_proj\\",
            "(q",
            "x{999999}",
            "a)|(b",
        ] {
            let error = patterns(key).unwrap_err().to_string();
            assert!(error.contains(&format!("rank_pattern {key:?}")), "{error}");
        }
    }
}
