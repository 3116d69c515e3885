//! The files of a tokenizer.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::bpe::{self, BpeModel};
use super::sentencepiece::SentencePiece;
use super::tokenizer_config::TokenizerConfig;
use crate::checkpoint::{ModelFiles, SmallFile};
use crate::error::{Error, Result};
use crate::io::json;
use crate::io::json::OrderedMap;

/// The files that exist, as the exported model has them.
pub(crate) struct TokenizerBytes {
    sentencepiece: Option<SmallFile>,
    json: Option<SmallFile>,
    config: Option<SmallFile>,
    special_tokens_map: Option<SmallFile>,
    added_tokens: Option<SmallFile>,
    template_jinja: Option<SmallFile>,
    /// Further templates by name.
    additional_templates: Vec<(String, SmallFile)>,
    template_json: Option<SmallFile>,
    processor_config: Option<SmallFile>,
}

/// The files, parsed as far as needed. Borrows the bytes of `tokenizer.json`.
pub(crate) struct TokenizerFiles<'a> {
    pub(crate) sentencepiece: Option<&'a SmallFile>,
    pub(crate) json: Option<TokenizerJson<'a>>,
    /// `tokenizer_config.json`
    pub(crate) config: Option<TokenizerConfig>,
    /// `special_tokens_map.json`
    pub(crate) special_tokens_map: Option<Map<String, Value>>,
    /// `added_tokens.json`: texts and ids.
    pub(crate) added: Option<OrderedMap<u32>>,
    pub(crate) template_jinja: Option<String>,
    /// Names and texts of `additional_chat_templates/`.
    pub(crate) additional_templates: Vec<(String, String)>,
    /// `chat_template` of `chat_template.json`, else of `processor_config.json`.
    pub(crate) processor_template: Option<Value>,
}

/// `tokenizer.json`.
pub(crate) struct TokenizerJson<'a> {
    /// The file's location.
    pub(crate) file: &'a str,
    pub(crate) added_tokens: Vec<AddedToken>,
    pub(crate) post_processor: Option<Value>,
    /// `None` if it is not needed.
    pub(crate) model: Option<BpeModel<'a>>,
}

/// The fields of `tokenizer.json`. The model is ignored if a `tokenizer.model` has the vocabulary.
#[derive(Deserialize)]
#[serde(bound(deserialize = "M: Deserialize<'de>"))]
pub(super) struct JsonFields<M> {
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(super) added_tokens: Vec<AddedToken>,
    #[serde(default)]
    post_processor: Option<Value>,
    #[serde(default)]
    pub(super) normalizer: Value,
    #[serde(default)]
    pub(super) pre_tokenizer: Value,
    pub(super) model: Option<M>,
}

/// A token that is matched before the text is split into pieces.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct AddedToken {
    pub(crate) id: u32,
    pub(crate) content: String,
    #[serde(default)]
    pub(crate) special: bool,
}

impl TokenizerBytes {
    pub(crate) fn read(files: &ModelFiles) -> Result<Self> {
        let named = |path: &String| {
            let name = path.rsplit('/').next().and_then(|name| name.strip_suffix(".jinja"));
            Ok(files.read(path)?.map(|file| (name.unwrap_or_default().to_owned(), file)))
        };
        let additional = files.additional_templates()?.iter().map(named).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            sentencepiece: files.read("tokenizer.model")?,
            json: files.read("tokenizer.json")?,
            config: files.read("tokenizer_config.json")?,
            special_tokens_map: files.read("special_tokens_map.json")?,
            added_tokens: files.read("added_tokens.json")?,
            template_jinja: files.read("chat_template.jinja")?,
            additional_templates: additional.into_iter().flatten().collect(),
            template_json: files.read("chat_template.json")?,
            processor_config: files.read("processor_config.json")?,
        })
    }

    /// Parses the files. With `needs_merges`, the model of `tokenizer.json` is parsed also if there is a
    /// `tokenizer.model`.
    pub(crate) fn parse(&self, needs_merges: bool) -> Result<TokenizerFiles<'_>> {
        let needs_model = needs_merges || self.sentencepiece.is_none();
        let json = self.json.as_ref().map(|file| TokenizerJson::parse(file, needs_model)).transpose()?;
        let template = |file: &Option<SmallFile>| {
            Ok::<_, Error>(parse::<TemplateFile>(file)?.and_then(|f| f.chat_template))
        };
        let additional = self.additional_templates.iter();
        Ok(TokenizerFiles {
            sentencepiece: self.sentencepiece.as_ref(),
            json,
            config: parse(&self.config)?,
            special_tokens_map: parse(&self.special_tokens_map)?,
            added: parse(&self.added_tokens)?,
            template_jinja: self.template_jinja.as_ref().map(decode_text).transpose()?,
            additional_templates: additional
                .map(|(name, file)| Ok((name.clone(), decode_text(file)?)))
                .collect::<Result<_>>()?,
            processor_template: match template(&self.template_json)? {
                Some(template) => Some(template),
                None => template(&self.processor_config)?,
            },
        })
    }
}

/// A JSON file with a chat template.
#[derive(Deserialize)]
struct TemplateFile {
    #[serde(default)]
    chat_template: Option<Value>,
}

fn parse<'a, T: Deserialize<'a>>(file: &'a Option<SmallFile>) -> Result<Option<T>> {
    file.as_ref().map(|file| json::parse(&file.location, &file.bytes)).transpose()
}

impl<'a> TokenizerJson<'a> {
    pub(super) fn parse(file: &'a SmallFile, needs_model: bool) -> Result<Self> {
        let SmallFile { location, bytes } = file;
        let (added_tokens, post_processor, model) = if needs_model {
            let fields: JsonFields<BpeModel<'a>> = json::parse(location, bytes)?;
            let model = fields.model.ok_or_else(|| Error::invalid(location, "has no model"))?;
            model.check(location, &fields.normalizer, &fields.pre_tokenizer)?;
            (fields.added_tokens, fields.post_processor, Some(model))
        } else {
            let fields: JsonFields<IgnoredAny> = json::parse(location, bytes)?;
            (fields.added_tokens, fields.post_processor, None)
        };
        Ok(Self { file: location, added_tokens, post_processor, model })
    }
}

impl TokenizerJson<'_> {
    /// The pieces of the model with their ids, sorted by id.
    pub(super) fn pieces(&self) -> Result<Vec<(usize, SentencePiece)>> {
        let model = self.model.as_ref().ok_or_else(|| Error::invalid(self.file, "has no model"))?;
        model.pieces(&self.added_tokens).map_err(|what| bpe::unsupported(self.file, what))
    }
}

/// Decodes text with universal newlines, like Python's text mode.
fn decode_text(file: &SmallFile) -> Result<String> {
    match std::str::from_utf8(&file.bytes) {
        Ok(text) => Ok(text.replace("\r\n", "\n").replace('\r', "\n")),
        Err(_) => Err(Error::invalid(&file.location, "is not UTF-8 text")),
    }
}
