//! Types that the caller selects, in place of those of the rules: `--tensor-type`, `--output-tensor-type`,
//! `--token-embedding-type` and `--pure` of `llama-quantize`.

use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::TensorType;
use super::tensor_types::is_embedding;

/// The largest compiled pattern, in bytes.
const MAX_PATTERN_SIZE: usize = 256 << 10;

/// Types that replace those of the rules.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TypeOverrides {
    /// Types of the tensors whose name contains a match; the first match counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<NamedType>,
    /// The type of `output.weight`; of the embeddings of a model without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<TensorType>,
    /// The type of the embeddings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_embedding: Option<TensorType>,
    /// All other matrices have the default type of the file.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pure: bool,
}

/// A type, and the names of the tensors that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedType {
    name: NamePattern,
    #[serde(rename = "type")]
    tensor_type: TensorType,
}

/// A regular expression that is searched in a tensor's name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct NamePattern(Regex);

impl TypeOverrides {
    /// Whether all types are those of the rules.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These types for tensors by their full names.
    pub fn of_tensors<'a>(types: impl Iterator<Item = (&'a str, TensorType)>) -> Self {
        let mut overrides = Self::default();
        for (name, tensor_type) in types {
            match name {
                "output.weight" => overrides.output = Some(tensor_type),
                "token_embd.weight" => overrides.token_embedding = Some(tensor_type),
                _ => {
                    let pattern = NamePattern::try_from(name.replace('.', r"\."));
                    overrides.tensors.extend(pattern.map(|name| NamedType { name, tensor_type }));
                }
            }
        }
        overrides
    }

    /// The type of a tensor, whatever the length of its rows.
    pub(super) fn fixed(&self, name: &str) -> Option<TensorType> {
        // a pattern may give the second embedding another type
        let named = || name == "per_layer_token_embd.weight" && self.named(name).is_some();
        match name {
            "output.weight" => self.output,
            name if is_embedding(name) && !named() => self.token_embedding,
            _ => None,
        }
    }

    /// The type of the first pattern that matches the name.
    pub(super) fn named(&self, name: &str) -> Option<TensorType> {
        self.tensors.iter().find(|named| named.name.0.is_match(name)).map(|named| named.tensor_type)
    }

    /// The patterns that match none of these names.
    pub fn unmatched<'a>(&'a self, names: &[&str]) -> impl Iterator<Item = &'a str> {
        let is_unmatched = move |named: &&NamedType| !names.iter().any(|name| named.name.0.is_match(name));
        let unmatched: Vec<_> = self.tensors.iter().filter(is_unmatched).collect();
        unmatched.into_iter().map(|named| named.name.0.as_str())
    }
}

/// `NAME=TYPE`; the name is made lower-case, as in `llama-quantize`.
impl FromStr for NamedType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, tensor_type) =
            text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=TYPE, such as attn_v=q8_0"))?;
        Ok(Self { name: name.to_ascii_lowercase().try_into()?, tensor_type: tensor_type.parse()? })
    }
}

impl TryFrom<String> for NamePattern {
    type Error = String;

    fn try_from(pattern: String) -> Result<Self, String> {
        let error = |what| {
            let advice = "name tensors with literal characters, \\. \\d and ( | ) [ ] . * + ?";
            Err(format!("the tensor name {pattern:?} {what}: {advice}"))
        };
        if pattern.is_empty() {
            return error("is empty");
        }
        if !is_common_syntax(&pattern) {
            return error("has syntax that C++ and Rust read differently");
        }
        match RegexBuilder::new(&pattern).size_limit(MAX_PATTERN_SIZE).build() {
            Ok(regex) => Ok(Self(regex)),
            Err(_) => error("is an invalid or too large regular expression"),
        }
    }
}

/// Whether `std::regex`, which `llama-quantize` matches with, and the crate `regex` read it alike: no groups with flags
/// or conditions, no operations on classes, and of the escapes those of punctuation and the usual classes.
fn is_common_syntax(pattern: &str) -> bool {
    let escapes = pattern.replace(r"\\", "").split('\\').skip(1).all(|rest| {
        let escaped = rest.chars().next();
        escaped.is_some_and(|c| c.is_ascii_punctuation() && !"<>".contains(c) || "dws".contains(c))
    });
    let groups = pattern.replace("(?:", "(");
    // the first ] of a class ends it in C++
    let is_class = |class: &str| class.contains(']') && !class.trim_start_matches('^').starts_with(']');
    let mut classes = pattern.split('[').skip(1);
    let operations = ["&&", "--", "~~"].iter().any(|operation| pattern.contains(operation));
    escapes && !groups.contains("(?") && !operations && classes.all(is_class)
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.0.as_str().to_owned()
    }
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for NamePattern {}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(named: &[&str]) -> TypeOverrides {
        TypeOverrides {
            tensors: named.iter().map(|text| text.parse().unwrap()).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn the_first_match_anywhere_in_a_name_counts() {
        let types = overrides(&["BLK\\.[0-3].attn_(q|v).weight$=Q8_0", "attn_v=q6_k", "^ffn=q4_0"]);
        assert_eq!(types.named("blk.3.attn_v.weight"), Some(TensorType::Q8_0));
        assert_eq!(types.named("blk.4.attn_v.weight"), Some(TensorType::Q6K));
        assert_eq!(types.named("blk.4.ffn_up.weight"), None);
        assert_eq!(types.unmatched(&["blk.4.attn_v.weight"]).count(), 2);
    }

    #[test]
    fn the_second_embedding_follows_the_first_unless_it_is_named() {
        let mut types =
            TypeOverrides { token_embedding: Some(TensorType::Q8_0), ..overrides(&["embd=q4_0"]) };
        assert_eq!(types.fixed("token_embd.weight"), Some(TensorType::Q8_0));
        assert_eq!(types.fixed("per_layer_token_embd.weight"), None);
        types.tensors.clear();
        assert_eq!(types.fixed("per_layer_token_embd.weight"), Some(TensorType::Q8_0));
    }

    #[test]
    fn what_is_not_a_name_and_a_type_is_refused() {
        for (text, problem) in [
            ("attn_v", "not NAME=TYPE"),
            ("=q8_0", "is empty"),
            ("attn_v=", "unknown tensor type"),
            ("attn_v=iq2_xs", "unknown tensor type"),
            ("attn_(v=q8_0", "invalid"),
            ("(?!attn)=q8_0", "differently"),
            (r"\battn=q8_0", "differently"),
            (r"(a)\1=q8_0", "differently"),
            ("[a&&b]=q8_0", "differently"),
            ("[]a]=q8_0", "differently"),
            ("[^]a]=q8_0", "differently"),
        ] {
            let error = text.parse::<NamedType>().unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn a_report_has_all_of_them() {
        let types = TypeOverrides { output: Some(TensorType::Q6K), pure: true, ..overrides(&["ffn=q4_K"]) };
        let json = serde_json::to_value(&types).unwrap();
        assert_eq!(json["tensors"][0], serde_json::json!({"name": "ffn", "type": "Q4_K"}));
        assert_eq!(serde_json::from_value::<TypeOverrides>(json).unwrap(), types);
    }
}
