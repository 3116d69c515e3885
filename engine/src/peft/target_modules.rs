//! Which modules PEFT puts a LoRA layer on: `target_modules`, `exclude_modules`, `layers_to_transform` and
//! `layers_pattern` (PEFT's `check_target_module_exists`). PEFT ignores the factors of other modules.

use fancy_regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::Value;

use super::pattern::{Lookahead, MAX_PATTERN_SIZE, check_dialect};
use crate::error::{Error, Result};
use crate::gemma::{is_embedding, is_lm_head, is_token_embedding};
use crate::io::json;

/// The steps after which the match of a pattern with a lookahead is given up.
const MAX_STEPS: usize = 100_000;

/// PEFT's word for all linear layers except for the lm_head.
const ALL_LINEAR: &str = "all-linear";

/// The fields of `adapter_config.json`.
#[derive(Deserialize)]
struct RawFields {
    #[serde(default)]
    target_modules: Option<Value>,
    #[serde(default)]
    exclude_modules: Option<Value>,
    #[serde(default)]
    layers_to_transform: Option<Value>,
    #[serde(default)]
    layers_pattern: Option<Value>,
    #[serde(default, deserialize_with = "json::null_as_default")]
    modules_to_save: Vec<String>,
    #[serde(default, deserialize_with = "json::null_as_default")]
    target_parameters: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrSeveral<T> {
    One(T),
    Several(Vec<T>),
}

impl<T> OneOrSeveral<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value],
            Self::Several(values) => values,
        }
    }
}

/// Modules by their names, or by the ends of them after a dot; or by a pattern for the whole name.
#[derive(Debug, Clone)]
enum ModuleNames {
    Ends(Vec<String>),
    Pattern(Regex),
}

/// What is known of the modules with a LoRA layer.
#[derive(Debug, Clone)]
pub(super) struct TargetModules {
    targets: Targets,
    excluded: Option<ModuleNames>,
    /// The layers, where not all are targets.
    layers: Vec<u64>,
    /// What finds the number of a layer in a module's name.
    layer_patterns: Vec<Regex>,
    saved: Vec<String>,
}

#[derive(Debug, Clone)]
enum Targets {
    /// The file does not say.
    Unknown,
    None,
    AllLinear,
    Named(ModuleNames),
}

/// A module with its names.
#[derive(Clone, Copy)]
pub(crate) struct ModuleSpellings<'a> {
    /// Those of the adapter, which is the model's in PEFT, and of the base.
    pub(crate) own: &'a [&'a str],
    /// Those that other classes and versions of transformers give it.
    pub(crate) other: &'a [String],
}

impl ModuleSpellings<'_> {
    /// Whether PEFT's `all-linear` has the module.
    fn is_linear(&self) -> bool {
        !self.is_of_tied_pair() && !self.own.iter().any(|module| is_embedding(module))
    }

    /// Whether it is the token embedding or the lm_head.
    pub(super) fn is_of_tied_pair(&self) -> bool {
        let weights = self.own.iter().map(|module| format!("{module}.weight"));
        weights.into_iter().any(|weight| is_token_embedding(&weight) || is_lm_head(&weight))
    }

    /// Whether one of the names is the whole name in the model that PEFT trained. A name of another class may be the end of it.
    fn is_named_by(&self, names: &ModuleNames) -> bool {
        let ModuleNames::Ends(ends) = names else { return false };
        self.own.first().is_some_and(|module| ends.iter().any(|end| end == module))
    }
}

impl TargetModules {
    /// # Errors
    /// [`Error::Unsupported`] for a pattern that is not a regular expression of the part common to Python's dialect and
    /// that of the crate `fancy-regex`.
    pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        let raw: RawFields = json::parse(file, bytes)?;
        let names = |field: &str, value| {
            json::field::<OneOrSeveral<String>>(file, field, value, "a name or pattern, or a list of names")
        };
        let targets = match names("target_modules", raw.target_modules)? {
            None if raw.target_parameters.is_empty() => Targets::Unknown,
            None => Targets::None,
            Some(OneOrSeveral::One(word)) if word.eq_ignore_ascii_case(ALL_LINEAR) => Targets::AllLinear,
            Some(names) => Targets::Named(ModuleNames::new(file, "target_modules", names)?),
        };
        let excluded = match names("exclude_modules", raw.exclude_modules)? {
            Some(OneOrSeveral::One(pattern)) if pattern.is_empty() => None,
            Some(names) => Some(ModuleNames::new(file, "exclude_modules", names)?),
            None => None,
        };
        let patterns = names("layers_pattern", raw.layers_pattern)?;
        let patterns = patterns.map(OneOrSeveral::into_vec).unwrap_or_default();
        let patterns: Vec<&String> = patterns.iter().filter(|pattern| !pattern.is_empty()).collect();
        let compile = |pattern: &&String| {
            let around = |pattern: &str| format!(r"\A(?:(?:^|.*?\.){pattern}\.(?P<idx>\d+)\.)");
            compile(file, "layers_pattern", pattern, around)
        };
        let layer_patterns = match patterns[..] {
            [] => vec![build(r"\A.*?\.[^.]*\.(?P<idx>\d+)\.").map_err(|_| too_large(file))?],
            _ => patterns.iter().map(compile).collect::<Result<_>>()?,
        };
        let expected = "a number, or a list of numbers";
        let layers: Option<OneOrSeveral<u64>> =
            json::field(file, "layers_to_transform", raw.layers_to_transform, expected)?;
        let layers = layers.map(OneOrSeveral::into_vec).unwrap_or_default();
        Ok(Self { targets, excluded, layers, layer_patterns, saved: raw.modules_to_save })
    }

    /// Whether the file says which modules they are.
    pub(super) fn are_known(&self) -> bool {
        !matches!(self.targets, Targets::Unknown)
    }

    /// Whether a module has a LoRA layer in PEFT.
    pub(super) fn contains(&self, file: &str, module: ModuleSpellings<'_>) -> Result<bool> {
        for name in module.own {
            let is_excluded = match &self.excluded {
                Some(excluded) => excluded.contains(file, name)?,
                None => false,
            };
            if is_excluded
                || self.saved.iter().any(|saved| format!(".{name}.").contains(&format!(".{saved}.")))
            {
                return Ok(false);
            }
        }
        for name in module.own.iter().copied().chain(module.other.iter().map(String::as_str)) {
            let is_target = match &self.targets {
                Targets::Unknown => true,
                Targets::None => false,
                Targets::AllLinear => module.is_linear(),
                Targets::Named(names) => {
                    names.contains(file, name)?
                        && (module.is_named_by(names) || self.is_in_layers(file, names, name)?)
                }
            };
            if is_target {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the module of this name is in one of the layers, where those are given. They concern ends of names alone.
    fn is_in_layers(&self, file: &str, names: &ModuleNames, module: &str) -> Result<bool> {
        if self.layers.is_empty() || matches!(names, ModuleNames::Pattern(_)) {
            return Ok(true);
        }
        for pattern in &self.layer_patterns {
            let Some(found) = pattern.captures(module).map_err(|_| too_large(file))? else { continue };
            let layer = found.name("idx").and_then(|layer| layer.as_str().parse().ok());
            return Ok(layer.is_some_and(|layer| self.layers.contains(&layer)));
        }
        Ok(false)
    }
}

impl ModuleNames {
    fn new(file: &str, field: &str, names: OneOrSeveral<String>) -> Result<Self> {
        match names {
            OneOrSeveral::Several(names) => Ok(Self::Ends(names)),
            OneOrSeveral::One(pattern) => {
                Ok(Self::Pattern(compile(file, field, &pattern, |pattern| format!(r"\A(?:{pattern})\z"))?))
            }
        }
    }

    fn contains(&self, file: &str, module: &str) -> Result<bool> {
        match self {
            Self::Ends(ends) => Ok(ends.iter().any(|end| super::config::ends_with(module, end))),
            Self::Pattern(pattern) => pattern.is_match(module).map_err(|_| too_large(file)),
        }
    }
}

fn compile(file: &str, field: &str, pattern: &str, around: impl Fn(&str) -> String) -> Result<Regex> {
    let refuse = |what: &str| {
        let error = Error::unsupported(file, format!("the {field} {pattern:?}, which has {what},"));
        error
            .advise("list the names of the modules, or use literal characters, ( | ) (?= ) (?! ) [ ] . * + ?")
    };
    check_dialect(pattern, Lookahead::Accept).map_err(refuse)?;
    // a pattern that is only valid inside of the group, such as `a)|(b`, would take its anchors apart
    match (build(pattern), build(&around(pattern))) {
        (Ok(_), Ok(regex)) => Ok(regex),
        _ => Err(refuse("an invalid or too large regular expression")),
    }
}

fn build(pattern: &str) -> Result<Regex, Box<fancy_regex::Error>> {
    let mut builder = RegexBuilder::new(pattern);
    builder.delegate_size_limit(MAX_PATTERN_SIZE).backtrack_limit(MAX_STEPS).build().map_err(Box::new)
}

fn too_large(file: &str) -> Error {
    Error::unsupported(file, "a pattern of modules that takes too many steps to match")
        .advise("list the names of the modules in target_modules")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_target(fields: &str, module: &str) -> bool {
        let targets = TargetModules::parse("f", fields.as_bytes()).unwrap();
        targets.contains("f", ModuleSpellings { own: &[module], other: &[] }).unwrap()
    }

    const Q0: &str = "model.layers.0.self_attn.q_proj";
    const Q1: &str = "model.language_model.layers.1.self_attn.q_proj";

    /// Each line was compared with `check_target_module_exists` of PEFT 0.21.2.
    #[test]
    fn a_module_is_a_target_where_peft_puts_a_layer_on_it() {
        for (fields, module, expected) in [
            (r#"{"target_modules":["q_proj"]}"#, Q0, true),
            (r#"{"target_modules":["_proj"]}"#, Q0, false),
            (r#"{"target_modules":["v_proj"]}"#, Q0, false),
            (r#"{"target_modules":["0.self_attn.q_proj"]}"#, Q0, true),
            (r#"{"target_modules":["model.layers.0.self_attn.q_proj"]}"#, Q0, true),
            (r#"{"target_modules":[]}"#, Q0, false),
            (r#"{"target_modules":"q_proj"}"#, Q0, false),
            (r#"{"target_modules":".*q_proj"}"#, Q0, true),
            (r#"{"target_modules":".*q_pro"}"#, Q0, false),
            (r#"{"target_modules":"v_proj|.*q_proj"}"#, Q0, true),
            (r#"{"target_modules":"^(model\\.language_model(?=\\.).*\\.(o_proj|q_proj))$"}"#, Q1, true),
            (r#"{"target_modules":"^(model\\.language_model(?=\\.).*\\.(o_proj|q_proj))$"}"#, Q0, false),
            (r#"{"target_modules":"^(?!.*language_model).*q_proj"}"#, Q1, false),
            (
                r#"{"target_modules":"(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|up_proj).*?)|(?:\\bmodel\\.layers\\.[\\d]{1,}\\.(?:self_attn|mlp)\\.(?:(?:q_proj|up_proj)))"}"#,
                Q0,
                true,
            ),
            (r#"{"target_modules":["q_proj"],"exclude_modules":["q_proj"]}"#, Q0, false),
            (r#"{"target_modules":["q_proj"],"exclude_modules":["roj"]}"#, Q0, true),
            (r#"{"target_modules":["q_proj"],"exclude_modules":[]}"#, Q0, true),
            (r#"{"target_modules":["q_proj"],"exclude_modules":".*language_model.*"}"#, Q1, false),
            (r#"{"target_modules":["q_proj"],"exclude_modules":"language_model"}"#, Q1, true),
            (r#"{"target_modules":["q_proj"],"modules_to_save":["self_attn"]}"#, Q0, false),
            (r#"{"target_modules":["q_proj"],"modules_to_save":["attn"]}"#, Q0, true),
            (r#"{"target_modules":["q_proj"],"layers_to_transform":[1]}"#, Q0, false),
            (r#"{"target_modules":["q_proj"],"layers_to_transform":[1]}"#, Q1, true),
            (r#"{"target_modules":["q_proj"],"layers_to_transform":0}"#, Q0, true),
            (r#"{"target_modules":["q_proj"],"layers_to_transform":[]}"#, Q0, true),
            (
                r#"{"target_modules":["q_proj"],"layers_to_transform":[0],"layers_pattern":"layers"}"#,
                Q0,
                true,
            ),
            (r#"{"target_modules":["q_proj"],"layers_to_transform":[0],"layers_pattern":["h"]}"#, Q0, false),
            (
                r#"{"target_modules":["q_proj"],"layers_to_transform":[1],"layers_pattern":["h","layers"]}"#,
                Q1,
                true,
            ),
            (r#"{"target_modules":["embed_tokens"],"layers_to_transform":[0]}"#, "model.embed_tokens", false),
            (r#"{"target_modules":["model.layers.0.self_attn.q_proj"],"layers_to_transform":[1]}"#, Q0, true),
            (r#"{"target_parameters":["x.weight"]}"#, Q0, false),
        ] {
            assert_eq!(is_target(fields, module), expected, "{fields} {module}");
        }
    }

    /// As `check_target_module_exists` of PEFT 0.21.2 with the first of the names.
    #[test]
    fn layers_concern_ends_of_names_that_are_whole_names_in_another_class() {
        for (targets, module, expected) in [
            (r#"["layers.0.self_attn.q_proj","layers.1.self_attn.q_proj"]"#, Q0, false),
            (r#"["layers.0.self_attn.q_proj","layers.1.self_attn.q_proj"]"#, Q1, true),
            (r#"["model.layers.0.self_attn.q_proj"]"#, Q0, true),
            (r#"["layers.0.self_attn.q_proj"]"#, "layers.0.self_attn.q_proj", true),
            (r#"["embed_tokens"]"#, "model.embed_tokens", false),
            (r#"["embed_tokens"]"#, "embed_tokens", true),
        ] {
            let fields = format!(r#"{{"target_modules":{targets},"layers_to_transform":[1]}}"#);
            let found = TargetModules::parse("f", fields.as_bytes()).unwrap();
            let spellings = ModuleSpellings {
                own: &[module, "layers.0.self_attn.q_proj"],
                other: &crate::gemma::all_names(module),
            };
            assert_eq!(found.contains("f", spellings).unwrap(), expected, "{fields} {module}");
        }
    }

    #[test]
    fn all_linear_is_every_layer_but_embeddings_and_the_lm_head() {
        for word in ["all-linear", "All-Linear"] {
            let fields = format!(r#"{{"target_modules":"{word}"}}"#);
            assert!(is_target(&fields, Q0) && is_target(&fields, "model.per_layer_model_projection"));
            for module in ["lm_head", "model.embed_tokens", "model.language_model.embed_tokens_per_layer"] {
                assert!(!is_target(&fields, module), "{module}");
            }
        }
    }

    #[test]
    fn without_the_field_every_module_is_a_target() {
        assert!(is_target("{}", Q0));
    }

    #[test]
    fn a_pattern_of_one_dialect_is_refused_by_name() {
        for (field, pattern) in [
            ("target_modules", "(?i)q_proj"),
            ("exclude_modules", "(?P<a>q)_proj"),
            ("target_modules", "a)|(b"),
        ] {
            let fields = serde_json::json!({ field: pattern }).to_string();
            let error = TargetModules::parse("f", fields.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(&format!("{field} {pattern:?}")), "{error}");
        }
    }
}
