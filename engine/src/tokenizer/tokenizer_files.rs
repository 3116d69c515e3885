//! The files of a tokenizer.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::checkpoint::ModelFiles;
use crate::error::Result;
use crate::io::json;
use crate::io::json::OrderedMap;
use crate::io::read_source;

/// The files that exist, parsed as far as needed.
pub(crate) struct TokenizerFiles {
    /// Location and bytes of `tokenizer.model`.
    pub(crate) sentencepiece: Option<(String, Vec<u8>)>,
    pub(crate) json: Option<TokenizerJson>,
    /// Location and bytes of `tokenizer.json`.
    pub(crate) json_file: Option<(String, Vec<u8>)>,
    /// `tokenizer_config.json`
    pub(crate) config: Option<Map<String, Value>>,
    /// `added_tokens.json`: texts and ids.
    pub(crate) added: Option<OrderedMap<u32>>,
    pub(crate) template_jinja: Option<String>,
    /// `chat_template.json`
    pub(crate) template_json: Option<Value>,
    /// The location of `tokenizer_config.json`, for error messages.
    pub(crate) config_file: String,
}

/// `tokenizer.json` without its vocabulary, which is read only without a `tokenizer.model`.
#[derive(Deserialize)]
pub(crate) struct TokenizerJson {
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(crate) added_tokens: Vec<AddedToken>,
    #[serde(default)]
    pub(crate) post_processor: Option<Value>,
    #[serde(default, rename = "model")]
    _model: IgnoredAny,
}

/// A token that is matched before the text is split into pieces.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct AddedToken {
    pub(crate) id: u32,
    pub(crate) content: String,
    #[serde(default)]
    pub(crate) special: bool,
}

impl TokenizerFiles {
    pub(crate) fn read(files: &ModelFiles) -> Result<Self> {
        let read = |name: &str| -> Result<Option<(String, Vec<u8>)>> {
            match files.open(name)? {
                Some(source) => Ok(Some((source.location().to_owned(), read_source(&*source)?))),
                None => Ok(None),
            }
        };
        let config = read("tokenizer_config.json")?;
        let json_file = read("tokenizer.json")?;
        Ok(Self {
            sentencepiece: read("tokenizer.model")?,
            json: json_file.as_ref().map(|(file, bytes)| json::parse(file, bytes)).transpose()?,
            json_file,
            config_file: config.as_ref().map(|(file, _)| file.clone()).unwrap_or_default(),
            config: config.map(|(file, bytes)| json::parse(&file, &bytes)).transpose()?,
            added: read("added_tokens.json")?.map(|(file, bytes)| json::parse(&file, &bytes)).transpose()?,
            template_jinja: read("chat_template.jinja")?
                .map(|(file, bytes)| decode_text(&file, bytes))
                .transpose()?,
            template_json: read("chat_template.json")?
                .map(|(file, bytes)| json::parse(&file, &bytes))
                .transpose()?,
        })
    }
}

/// Decodes text with universal newlines, like Python's text mode.
fn decode_text(file: &str, bytes: Vec<u8>) -> Result<String> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.replace("\r\n", "\n").replace('\r', "\n")),
        Err(_) => Err(crate::Error::invalid(file, "is not UTF-8 text")),
    }
}
