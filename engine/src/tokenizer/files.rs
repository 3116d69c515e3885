//! The files a tokenizer may be spread over.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::checkpoint::ModelFiles;
use crate::error::Result;
use crate::io::json;
use crate::io::json::OrderedMap;
use crate::io::read_source;

/// What was found, parsed as far as it is needed.
pub(crate) struct TokenizerFiles {
    /// `tokenizer.model` and its location.
    pub(crate) sentencepiece: Option<(String, Vec<u8>)>,
    pub(crate) json: Option<TokenizerJson>,
    /// `tokenizer.json` and its location.
    pub(crate) json_file: Option<(String, Vec<u8>)>,
    /// `tokenizer_config.json`
    pub(crate) config: Option<Map<String, Value>>,
    /// `added_tokens.json`: texts and ids.
    pub(crate) added: Option<OrderedMap<u32>>,
    pub(crate) template_jinja: Option<String>,
    /// `chat_template.json`
    pub(crate) template_json: Option<Value>,
    /// Where `tokenizer_config.json` is, for error messages.
    pub(crate) config_file: String,
}

/// `tokenizer.json` without its vocabulary, which is only read where there is no `tokenizer.model`.
#[derive(Deserialize)]
pub(crate) struct TokenizerJson {
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(crate) added_tokens: Vec<AddedToken>,
    #[serde(default)]
    pub(crate) post_processor: Option<Value>,
    #[serde(default, rename = "model")]
    _model: IgnoredAny,
}

/// A token that the tokenizer finds before it looks for pieces.
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
                .map(|(file, bytes)| text(&file, bytes))
                .transpose()?,
            template_json: read("chat_template.json")?
                .map(|(file, bytes)| json::parse(&file, &bytes))
                .transpose()?,
        })
    }
}

/// Python opens text with universal newlines.
fn text(file: &str, bytes: Vec<u8>) -> Result<String> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.replace("\r\n", "\n").replace('\r', "\n")),
        Err(_) => Err(crate::Error::invalid(file, "is not UTF-8 text")),
    }
}
