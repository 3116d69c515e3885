//! The name of a model, derived from its folder's name as llama.cpp's converter does (`Metadata` in gguf-py).

use std::sync::LazyLock;

use regex::Regex;

use crate::gguf::GgufMetadata;

/// The parts of a model's name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ModelName {
    pub(crate) title: String,
    pub(crate) organization: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) finetune: Option<String>,
    pub(crate) basename: Option<String>,
    pub(crate) size_label: Option<String>,
}

/// The title that llama.cpp's converter would give a model in a folder of this name:
/// `gemma-3-1b-it` becomes `Gemma 3 1b It`.
pub fn title_of(folder: &str) -> String {
    let word = |word: &str| if is_plain(word) { capitalize(word) } else { word.to_owned() };
    folder.replace('-', " ").split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// Whether a word is all lower case, and neither a version nor a number.
fn is_plain(word: &str) -> bool {
    let lower = word.chars().any(char::is_lowercase) && !word.chars().any(char::is_uppercase);
    let numeric = word.starts_with(|c: char| c.is_ascii_digit());
    lower && !numeric && !VERSION_WORD.is_match(word)
}

/// A capital after every character that is not a letter, as Python's `title`.
fn capitalize(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut inside = false;
    for c in word.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

static VERSION_WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"^v\d+(?:\.\d+)*$"));
static VERSION: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)^(v|iter)?\d+([.]\d+)*$"));
static TYPE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)^(i?q\d(_\w)*|b?fp?(16|32))$"));
static SIZE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)^(([A]|\d+[x])?\d+([._]\d+)?[KMBT][\d]?|small|mini|medium|large|x?xl)$"));
static TUNE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)^(chat|instruct|vision|lora)$"));

#[expect(clippy::expect_used, reason = "the patterns are constants, and every one of them is used in a test")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

/// The kinds of a part of a name; a part can be of several.
#[derive(Clone, Copy, Default)]
struct PartKinds {
    base: bool,
    size: bool,
    tune: bool,
    version: bool,
    other: bool,
}

impl PartKinds {
    fn any(self) -> bool {
        self.count() > 0
    }

    fn count(self) -> usize {
        [self.base, self.size, self.tune, self.version, self.other].into_iter().filter(|is| *is).count()
    }
}

/// The number of parameters that a size in a name is compared with.
#[derive(Clone, Copy)]
enum ParameterCount {
    /// Of a whole model.
    All(u64),
    /// Of the matrices that an adapter changes.
    Some(u64),
}

impl ModelName {
    /// Parses a folder's name, of a model with this many parameters.
    pub(crate) fn of(folder: &str, parameters: u64) -> Self {
        Self::read(folder, ParameterCount::All(parameters))
    }

    /// Parses a folder's name, of an adapter to matrices with this many parameters.
    pub(crate) fn of_adapter(folder: &str, parameters: u64) -> Self {
        Self::read(folder, ParameterCount::Some(parameters))
    }

    /// Sets the keys of the parts that are known.
    pub(super) fn write(self, out: &mut GgufMetadata) {
        out.set("general.name", self.title);
        let others = [
            ("version", self.version),
            ("organization", self.organization),
            ("finetune", self.finetune),
            ("basename", self.basename),
            ("size_label", self.size_label),
        ];
        for (key, value) in others {
            if let Some(value) = value {
                out.set(&format!("general.{key}"), value);
            }
        }
    }

    fn read(folder: &str, parameters: ParameterCount) -> Self {
        if folder.contains(' ') {
            return Self { title: title_of(folder), ..Self::default() };
        }
        let (organization, full) = match folder.split_once('/') {
            Some((organization, full)) => (Some(organization).filter(|o| !o.starts_with('.')), full),
            None => (None, folder),
        };
        let mut parts: Vec<(String, PartKinds)> =
            full.split('-').filter(|p| !p.is_empty()).map(|p| (p.to_owned(), PartKinds::default())).collect();
        for (i, (part, kinds)) in parts.iter_mut().enumerate() {
            annotate(i, part, kinds, parameters);
        }
        drop_word_sizes(&mut parts);
        mark_base(&mut parts);
        let join = |is: fn(&PartKinds) -> bool| {
            let chosen: Vec<&str> = parts.iter().filter(|(_, k)| is(k)).map(|(p, _)| p.as_str()).collect();
            (!chosen.is_empty()).then(|| chosen.join("-"))
        };
        let (finetune, version) = (join(|k| k.tune), join(|k| k.version && !k.base));
        let size_label = sizes(&parts);
        let ambiguous = size_label.is_none() && finetune.is_none() && version.is_none();
        let basename = join(|k| k.base).filter(|_| !ambiguous);
        let organization = organization.map(title_of);
        Self { title: title_of(full), organization, version, finetune, basename, size_label }
    }
}

fn annotate(i: usize, part: &mut String, kinds: &mut PartKinds, parameters: ParameterCount) {
    if VERSION.is_match(part) {
        kinds.version = true;
    } else if TYPE.is_match(part) {
        kinds.other = true;
        *part = part.to_uppercase();
    } else if i > 0 && SIZE.is_match(part) {
        let (text, fits) = size(part, parameters);
        *part = text;
        kinds.size = fits;
        kinds.tune = !fits;
    } else if i > 0 && TUNE.is_match(part) {
        // in the name of an adapter, `lora` is not part of the fine-tune's name
        kinds.other = matches!(parameters, ParameterCount::Some(_)) && part.eq_ignore_ascii_case("lora");
        kinds.tune = !kinds.other;
    }
}

/// The normal form of a size, and whether it fits the model: otherwise it is likely a context length.
fn size(part: &str, parameters: ParameterCount) -> (String, bool) {
    let mut text: Vec<char> = part.replace('_', ".").chars().collect();
    if let [.., unit, digit] = text[..]
        && digit.is_ascii_digit()
    {
        text.truncate(text.len() - 2);
        text.extend(['.', digit, unit]);
    }
    let numeric = text.len() > 1 && text[text.len() - 2].is_ascii_digit();
    if let (true, Some(unit)) = (numeric, text.last_mut()) {
        unit.make_ascii_uppercase();
    }
    let number: String = text[..text.len() - 1].iter().collect();
    let unit = text.last().and_then(|u| " KMBT".find(*u)).unwrap_or(0) as i32;
    let fits = number.parse::<f64>().map_or(true, |number| {
        let label = number * 1000_f64.powi(unit);
        match parameters {
            ParameterCount::All(0) => true,
            ParameterCount::All(count) => (label - count as f64).abs() <= (7 * count / 8) as f64,
            ParameterCount::Some(count) => label >= (count / 8) as f64,
        }
    });
    if let (false, Some(unit)) = (fits, text.last_mut()) {
        unit.make_ascii_lowercase();
    }
    (text.into_iter().collect(), fits)
}

/// Ignores a word such as `small` when there is a number.
fn drop_word_sizes(parts: &mut [(String, PartKinds)]) {
    let has_digit = |part: &str| part.chars().any(|c| c.is_ascii_digit());
    if parts.iter().any(|(part, kinds)| kinds.size && has_digit(part)) {
        for (part, kinds) in parts.iter_mut() {
            kinds.size &= !part.chars().all(char::is_alphabetic);
        }
    }
}

/// Marks the base name: words and versions up to the first other part.
fn mark_base(parts: &mut [(String, PartKinds)]) {
    let mut at_start = true;
    for (part, kinds) in parts.iter_mut() {
        let word = !kinds.any() && part.starts_with(char::is_alphabetic);
        if at_start && (word || kinds.version) {
            kinds.base = true;
        } else {
            at_start = false;
            kinds.tune |= !kinds.any();
        }
    }
    for (_, kinds) in parts.iter_mut().rev() {
        if !(kinds.base && kinds.count() > 1) {
            break;
        }
        kinds.base = false;
    }
}

fn sizes(parts: &[(String, PartKinds)]) -> Option<String> {
    let mut chosen: Vec<&str> = Vec::new();
    for (part, kinds) in parts {
        if kinds.size && !chosen.contains(&part.as_str()) {
            chosen.push(part);
        }
    }
    (!chosen.is_empty()).then(|| chosen.join("-"))
}

/// A number of parameters with at least two digits: `2.7M`, `1000M`.
pub(crate) fn size_label(parameters: u64) -> String {
    let count = parameters as f64;
    let (scaled, unit) = if count > 1e12 {
        (count * 1e-12, 'T')
    } else if count > 1e9 {
        (count * 1e-9, 'B')
    } else if count > 1e6 {
        (count * 1e-6, 'M')
    } else {
        (count * 1e-3, 'K')
    };
    let digits = format!("{}", scaled.round_ties_even()).trim_start_matches('0').len();
    let places = 2_usize.saturating_sub(digits);
    format!("{scaled:.places$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_title_and_nothing_else() {
        assert_eq!(
            ModelName::of("merged", 700_000),
            ModelName { title: "Merged".to_owned(), ..ModelName::default() }
        );
    }

    #[test]
    fn a_hub_style_name_is_taken_apart() {
        let name = ModelName::of("gemma-3-1b-it-mytune-merged", 2_700_000);
        assert_eq!(name.title, "Gemma 3 1b It Mytune Merged");
        assert_eq!(name.finetune.as_deref(), Some("1b-it-mytune-merged"));
        assert_eq!(name.basename.as_deref(), Some("gemma-3"));
        assert_eq!(name.size_label, None);
        let name = ModelName::of("gemma-3-1b-it", 999_885_952);
        assert_eq!((name.size_label.as_deref(), name.finetune.as_deref()), (Some("1B"), Some("it")));
    }

    #[test]
    fn an_adapter_may_have_fewer_parameters_than_its_name_says() {
        let name = ModelName::of_adapter("gemma-3-27b-mytune-lora", 2_700_000);
        assert_eq!((name.size_label.as_deref(), name.finetune.as_deref()), (Some("27B"), Some("mytune")));
    }

    #[test]
    fn versions_and_types_are_recognized() {
        let name = ModelName::of("org/Model-v0.1-7b-Q8_0-chat", 7_000_000_000);
        assert_eq!(name.organization.as_deref(), Some("Org"));
        assert_eq!(name.basename.as_deref(), Some("Model-v0.1"));
        assert_eq!(name.finetune.as_deref(), Some("chat"));
        assert_eq!(title_of("my-model-v2"), "My Model v2");
    }

    #[test]
    fn sizes_have_at_least_two_digits() {
        for (count, label) in
            [(789_000, "789K"), (2_700_000, "2.7M"), (999_885_952, "1000M"), (4_300_079_472, "4.3B")]
        {
            assert_eq!(size_label(count), label);
        }
    }
}
