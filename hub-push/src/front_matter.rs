//! The YAML front matter of a model card, which the Hub reads.

use std::fmt;

/// The line before and after it.
const FENCE: &str = "---";

/// Top-level fields, in their order.
#[derive(Debug, Default)]
pub(crate) struct FrontMatter(Vec<(&'static str, String)>);

impl FrontMatter {
    /// Adds a field. The value can end with further fields that belong to it, each in a line.
    pub(crate) fn add(&mut self, key: &'static str, value: &str) {
        self.0.push((key, value.to_owned()));
    }
}

impl fmt::Display for FrontMatter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FENCE}")?;
        self.0.iter().try_for_each(|(key, value)| writeln!(f, "{key}: {value}"))?;
        writeln!(f, "{FENCE}")
    }
}

/// The card with those of the `fields` that its front matter lacks, at its end. Everything else stays as it is.
pub(crate) fn add_missing(card: &str, fields: &FrontMatter) -> String {
    let Some(end) = end_of_fields(card) else { return format!("{fields}\n{card}") };
    let (own, rest) = card.split_at(end);
    let has = |key: &str| own.lines().any(|line| key_of(line) == Some(key));
    let line_end = if own.ends_with("\r\n") { "\r\n" } else { "\n" };
    let mut text = own.to_owned();
    for (key, value) in fields.0.iter().filter(|(key, _)| !has(key)) {
        text.push_str(&format!("{key}: {value}\n").replace('\n', line_end));
    }
    text + rest
}

/// Where the closing line of the front matter begins, if there is one.
fn end_of_fields(card: &str) -> Option<usize> {
    // white space and a byte order mark before it do not count
    let begin = card.find(|c: char| !c.is_whitespace() && c != '\u{feff}')?;
    let mut lines = card[begin..].split_inclusive('\n');
    let mut at = begin + lines.next().filter(|first| first.trim_end() == FENCE)?.len();
    for line in lines {
        if line.trim_end() == FENCE {
            return Some(at);
        }
        at += line.len();
    }
    None
}

/// The key of a top-level field.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once(':')?;
    let is_nested = key.starts_with([' ', '\t', '#', '-']);
    (!is_nested).then(|| key.trim_end().trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> FrontMatter {
        let mut fields = FrontMatter::default();
        fields.add("license", "gemma");
        fields.add("base_model", "google/gemma\nbase_model_relation: adapter");
        fields
    }

    #[test]
    fn only_missing_fields_are_added_and_the_rest_stays() {
        let all = "license: gemma\nbase_model: google/gemma\nbase_model_relation: adapter\n";
        let base = "base_model: google/gemma\nbase_model_relation: adapter\n";
        let crlf = "base_model: google/gemma\r\nbase_model_relation: adapter\r\n";
        for (card, expected) in [
            ("---\nlicense: mit\n---\nMine\n", format!("---\nlicense: mit\n{base}---\nMine\n")),
            ("---\n\"license\" : mit\n---\n", format!("---\n\"license\" : mit\n{base}---\n")),
            ("---\r\nlicense: mit\r\n---\r\nMine", format!("---\r\nlicense: mit\r\n{crlf}---\r\nMine")),
            ("---\ncardData:\n  license: x\n# base_model: y\n---\n", {
                format!("---\ncardData:\n  license: x\n# base_model: y\n{all}---\n")
            }),
            ("---\n---\nMine", format!("---\n{all}---\nMine")),
            ("\u{feff}---\nlicense: mit\n---\n", format!("\u{feff}---\nlicense: mit\n{base}---\n")),
            ("\n \n---\nlicense: mit\n---\n", format!("\n \n---\nlicense: mit\n{base}---\n")),
            ("# Mine\n", format!("---\n{all}---\n\n# Mine\n")),
            ("---\nno end\n", format!("---\n{all}---\n\n---\nno end\n")),
        ] {
            assert_eq!(add_missing(card, &fields()), expected, "{card:?}");
            assert_eq!(add_missing(&expected, &fields()), expected, "nothing is added twice");
        }
    }
}
