//! Ids of special tokens and `add_*_token` flags (gguf-py's `SpecialVocab`).

use serde_json::{Map, Value};

use super::TokenVocabulary;
use super::chat_template::ChatTemplate;
use super::loaded_tokens::LoadedToken;
use super::tokenizer_files::TokenizerFiles;
use crate::checkpoint::ModelConfig;
use crate::error::Result;
use crate::gguf::GgufMetadata;

/// The kinds of special tokens, in gguf-py's order.
const KINDS: [&str; 7] = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"];

/// The texts of transformers' `GemmaTokenizer` for tokens that no file names.
const DEFAULT_TOKENS: [(&str, &str); 4] =
    [("bos", "<bos>"), ("eos", "<eos>"), ("unk", "<unk>"), ("pad", "<pad>")];

/// Ids and flags in the order in which they were found.
#[derive(Debug, Default)]
pub(crate) struct SpecialTokens {
    ids: Vec<(String, u32)>,
    add_flags: Vec<(String, bool)>,
    /// Those of transformers, which may differ.
    loaded: Vec<LoadedToken>,
    template: Option<ChatTemplate>,
    /// Ids are below this.
    vocabulary_size: usize,
}

impl SpecialTokens {
    /// Reads the special tokens; ignores ids outside of the vocabulary.
    pub(super) fn new(
        files: &TokenizerFiles<'_>,
        config: &ModelConfig,
        vocabulary: &TokenVocabulary,
    ) -> Result<Self> {
        let (template, vocabulary_size) = (ChatTemplate::of(files), vocabulary.tokens.len());
        let loaded = LoadedToken::of(files, vocabulary);
        let mut special = Self { loaded, template, vocabulary_size, ..Self::default() };
        let mut names: Vec<String> = KINDS.iter().map(|kind| (*kind).to_owned()).collect();
        let mut tokens = token_fields(files);
        special.read_post_processor(files, tokens.as_mut(), &mut names);
        if let Some(tokens) = &tokens {
            special.read_tokens(tokens, &names, |text| token_id(files, vocabulary, text));
        }
        for name in &names {
            if let Some(id) = config_id(config, &format!("{name}_token_id"))? {
                special.set_id(name, id);
            }
        }
        for (name, text) in DEFAULT_TOKENS {
            if let Some(id) = token_id(files, vocabulary, text) {
                special.set_id(name, id);
            }
        }
        Ok(special)
    }

    /// Reads ids and flags of the tokens in `tokenizer_config.json`.
    fn read_tokens(
        &mut self,
        tokens: &Map<String, Value>,
        names: &[String],
        id_of: impl Fn(&str) -> Option<u32>,
    ) {
        for name in names {
            if let Some(add) = tokens.get(&format!("add_{name}_token")).and_then(Value::as_bool)
                && !self.add_flags.iter().any(|(known, _)| known == name)
            {
                self.add_flags.push((name.clone(), add));
            }
            let text = tokens.get(&format!("{name}_token")).and_then(token_text);
            if let Some(id) = text.and_then(&id_of) {
                self.set_id(name, id);
            }
        }
    }

    /// Sets the id of a kind, if it has none and the vocabulary has the id.
    fn set_id(&mut self, name: &str, id: u32) {
        if (id as usize) < self.vocabulary_size && !self.ids.iter().any(|(known, _)| known == name) {
            self.ids.push((name.to_owned(), id));
        }
    }

    fn set_add_flag(&mut self, name: &str, add: bool) {
        match self.add_flags.iter_mut().find(|(known, _)| known == name) {
            Some((_, value)) => *value = add,
            None => self.add_flags.push((name.to_owned(), add)),
        }
    }

    /// Reads from the post-processor whether the tokenizer adds special tokens to a text.
    fn read_post_processor(
        &mut self,
        files: &TokenizerFiles<'_>,
        tokens: Option<&mut Map<String, Value>>,
        names: &mut Vec<String>,
    ) {
        let Some(post) = files.json.as_ref().and_then(|json| json.post_processor.as_ref()) else { return };
        let mut texts = TokenTexts::new(tokens);
        let alone = [post.clone()];
        let processors = post.get("processors").and_then(Value::as_array).map_or(&alone[..], Vec::as_slice);
        for processor in processors {
            match processor.get("type").and_then(Value::as_str) {
                Some("ByteLevel") => {
                    for name in ["bos", "eos"] {
                        if !self.add_flags.iter().any(|(known, _)| known == name) {
                            self.set_add_flag(name, false);
                        }
                    }
                }
                Some("TemplateProcessing") => self.read_template(processor, &mut texts, names),
                Some(_) | None => {}
            }
        }
    }

    fn read_template(&mut self, processor: &Value, texts: &mut TokenTexts<'_>, names: &mut Vec<String>) {
        let (mut first, mut last) = (None, None);
        let single = list(processor, "single");
        if single.len() > 1 {
            first = single.first().and_then(special_id);
            last = single.last().and_then(special_id);
            if let Some(first) = first {
                self.set_add_flag("bos", texts.is_first(first));
            }
            if let Some(last) = last {
                texts.set_last(last, names);
                self.set_add_flag("eos", true);
            }
        }
        let mut pair = list(processor, "pair");
        if first.is_some() && pair.first().and_then(special_id) == first {
            pair = &pair[1..];
        }
        if last.is_some() && pair.last().and_then(special_id) == last {
            pair = &pair[..pair.len() - 1];
        }
        let sequence = |entry: Option<&Value>| entry?.get("Sequence")?.get("id")?.as_str().map(str::to_owned);
        let ends = (sequence(pair.first()), sequence(pair.last()));
        let [_, middle @ .., _] = pair else { return };
        if (ends.0.as_deref(), ends.1.as_deref()) != (Some("A"), Some("B")) || middle.is_empty() {
            return;
        }
        let separates = |entry: &Value| special_id(entry).is_some_and(|id| texts.is_separator(id));
        let mut add = separates(&middle[0]) && last.is_none();
        if let [_, second] = middle {
            add |= separates(second);
        }
        self.set_add_flag("sep", add);
    }

    /// The kinds of special tokens and their ids.
    pub(super) fn ids(&self) -> &[(String, u32)] {
        &self.ids
    }

    /// The tokens with names in transformers.
    pub(super) fn loaded(&self) -> &[LoadedToken] {
        &self.loaded
    }

    /// Whether the token of a kind is added to texts.
    pub(super) fn adds(&self, kind: &str) -> bool {
        self.add_flags.iter().any(|(known, add)| known == kind && *add)
    }

    /// The default chat template.
    pub(super) fn template(&self) -> Option<&str> {
        self.template.as_ref()?.default_template()
    }

    /// The names of the chat templates; `None` without any.
    pub(super) fn template_names(&self) -> Option<Vec<&str>> {
        self.template.as_ref().map(ChatTemplate::names)
    }

    /// One special token, and a template.
    #[cfg(test)]
    pub(super) fn for_test(kind: &str, id: u32, template: &str) -> Self {
        let template = Some(ChatTemplate::for_test(template));
        let loaded = vec![LoadedToken::for_test(kind, id)];
        Self { ids: vec![(kind.to_owned(), id)], loaded, template, ..Self::default() }
    }

    /// Sets the metadata of ids, flags and template; gguf-py has no keys for other kinds.
    pub(crate) fn set_metadata(self, out: &mut GgufMetadata) {
        for (name, id) in self.ids.into_iter().filter(|(name, _)| name != "cls") {
            let name = match name.as_str() {
                "unk" => "unknown",
                "sep" => "seperator",
                "pad" => "padding",
                other => other,
            };
            out.set(&format!("tokenizer.ggml.{name}_token_id"), id);
        }
        let flags = self.add_flags.into_iter().filter(|(name, _)| ["bos", "eos", "sep"].contains(&&**name));
        for (name, add) in flags {
            out.set(&format!("tokenizer.ggml.add_{name}_token"), add);
        }
        if let Some(template) = self.template {
            template.set_metadata(out);
        }
    }
}

/// The texts of special tokens in `tokenizer_config.json`, updated while the post-processor is read.
struct TokenTexts<'a> {
    tokens: Option<&'a mut Map<String, Value>>,
    bos: Option<String>,
    cls: Option<String>,
    eos: Option<String>,
    sep: Option<String>,
}

impl<'a> TokenTexts<'a> {
    fn new(tokens: Option<&'a mut Map<String, Value>>) -> Self {
        let text = |key: &str| tokens.as_ref()?.get(key).and_then(token_text).map(str::to_owned);
        let (cls, sep) = (text("cls_token"), text("sep_token"));
        let bos = text("bos_token").or_else(|| cls.clone());
        let eos = text("eos_token").or_else(|| sep.clone());
        Self { bos, cls, eos, sep, tokens }
    }

    /// Whether the leading token is the `bos` or `cls` token. Becomes both if they are not set.
    fn is_first(&mut self, first: &str) -> bool {
        let is = |text: &Option<String>| text.as_deref() == Some(first);
        if self.tokens.is_none() {
            self.bos = Some(first.to_owned());
        } else if !is(&self.bos) && !is(&self.cls) {
            if self.bos.is_none() {
                self.bos = Some(first.to_owned());
                self.set_token("bos_token", first);
            }
            if self.cls.is_none() {
                self.cls = Some(first.to_owned());
                self.set_token("cls_token", first);
            }
        }
        let is = |text: &Option<String>| text.as_deref() == Some(first);
        is(&self.bos) || is(&self.cls)
    }

    /// Makes the trailing token the `eos` token; the previous `eos` token becomes `eot` or `eom`.
    fn set_last(&mut self, last: &str, names: &mut Vec<String>) {
        if self.tokens.is_some() && self.eos.as_deref() != Some(last) {
            for kind in ["eot", "eom"] {
                if !names.iter().any(|n| n == kind) {
                    names.push(kind.to_owned());
                    if let Some(eos) = self.eos.clone() {
                        self.set_token(&format!("{kind}_token"), &eos);
                    }
                    break;
                }
            }
            self.set_token("eos_token", last);
        }
        self.eos = Some(last.to_owned());
    }

    fn is_separator(&self, id: &str) -> bool {
        self.sep.as_deref() == Some(id) || self.eos.as_deref() == Some(id)
    }

    fn set_token(&mut self, key: &str, text: &str) {
        if let Some(tokens) = &mut self.tokens {
            tokens.insert(key.to_owned(), Value::from(text));
        }
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn special_id(entry: &Value) -> Option<&str> {
    entry.get("SpecialToken")?.get("id")?.as_str()
}

/// The text of a token: a string, or an object with `content`.
pub(super) fn token_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// An id at the top level of `config.json`, else in `text_config`. Lists are ignored.
fn config_id(config: &ModelConfig, key: &str) -> Result<Option<u32>> {
    let top_level = config.top_level(key);
    let id = if top_level.value().is_some() { top_level } else { config.field(key) };
    match id.value() {
        // as the converter does; a negative number stands for no token
        Some(Value::Array(_)) => Ok(None),
        Some(Value::Number(number)) if number.as_i64().is_some_and(i64::is_negative) => Ok(None),
        Some(_) | None => id.u32(),
    }
}

/// The fields of `tokenizer_config.json`. As in transformers, the tokens of `special_tokens_map.json` replace its own
/// where it has no `added_tokens_decoder`.
pub(super) fn token_fields(files: &TokenizerFiles<'_>) -> Option<Map<String, Value>> {
    let mut fields = files.config.as_ref().map(|config| config.fields.clone());
    let has_decoder = files.config.as_ref().is_some_and(|config| config.added_tokens.is_some());
    if let Some(map) = files.special_tokens_map.as_ref().filter(|_| !has_decoder) {
        let tokens = map.iter().map(|(key, value)| (key.clone(), value.clone()));
        fields.get_or_insert_default().extend(tokens);
    }
    fields
}

/// The id of a token by its text: an added token's, else, without a `tokenizer.json`, that of the vocabulary.
pub(super) fn token_id(files: &TokenizerFiles<'_>, vocabulary: &TokenVocabulary, text: &str) -> Option<u32> {
    let of_json = files.json.iter().flat_map(|json| &json.added_tokens);
    if let Some(token) = of_json.clone().find(|token| token.content == text) {
        return Some(token.id);
    }
    let of_config = files.config.iter().flat_map(|config| &config.added_tokens).flatten();
    let in_config = || of_config.clone().find(|(_, token)| token.content == text).map(|(id, _)| *id);
    let in_vocabulary = || {
        let position = vocabulary.tokens.iter().position(|token| token == text);
        position.and_then(|id| u32::try_from(id).ok()).filter(|_| files.json.is_none())
    };
    in_config().or_else(in_vocabulary)
}
