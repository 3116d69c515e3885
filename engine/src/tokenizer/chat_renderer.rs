//! Renders conversations through a chat template as transformers does (`apply_chat_template`): the options and functions
//! of its Jinja environment, and the special tokens as variables.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, ErrorKind};
use regex::Regex;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::Tokenizer;

/// The work that a template may do, so that a loop in it ends.
const FUEL: u64 = 10_000_000;

const TEMPLATE: &str = "chat_template";

/// A conversation in the form that chat templates read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conversation {
    /// Messages with `role` and `content`.
    pub(crate) messages: Vec<Value>,
    /// The tools that the model may call.
    pub(crate) tools: Option<Value>,
}

/// A chat template that was parsed.
pub(crate) struct ChatRenderer {
    environment: Environment<'static>,
    /// `bos_token`, `eos_token` and so on.
    special_tokens: Vec<(String, String)>,
}

impl ChatRenderer {
    /// The default template of a tokenizer; `None` if it has none.
    ///
    /// # Errors
    /// The problem, if the template is invalid.
    pub(crate) fn new(tokenizer: &Tokenizer) -> Result<Option<Self>, String> {
        let Some(template) = tokenizer.special.template() else { return Ok(None) };
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(|out, _, value| Ok(out.write_str(&python_str(value))?));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", to_json);
        environment.add_filter("string", |value: &Value| python_str(value));
        let template = without_generation_blocks(template);
        environment.add_template_owned(TEMPLATE, template).map_err(|error| problem(&error))?;
        Ok(Some(Self { environment, special_tokens: tokenizer.special_texts() }))
    }

    /// The text of a conversation, with the start of the model's turn if `add_generation_prompt`.
    ///
    /// # Errors
    /// The template's own message, or the problem.
    pub(crate) fn render(
        &self,
        conversation: &Conversation,
        add_generation_prompt: bool,
    ) -> Result<String, String> {
        let named = [
            ("messages", Value::from(conversation.messages.clone())),
            ("tools", conversation.tools.clone().unwrap_or(Value::from(()))),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
        ];
        let special =
            self.special_tokens.iter().map(|(name, text)| (name.as_str(), Value::from(text.as_str())));
        let context: Value = special.chain(named).collect();
        let template = self.environment.get_template(TEMPLATE).map_err(|error| problem(&error))?;
        template.render(context).map_err(|error| problem(&error))
    }
}

/// Replaces the blocks that transformers marks answers with, which print their content and nothing else.
fn without_generation_blocks(template: &str) -> String {
    let replaced = |text: String, block: &str, with: &str| match Regex::new(&format!(
        r"\{{%(-?)\s*{block}\s*(-?)%\}}"
    )) {
        Ok(pattern) => pattern.replace_all(&text, format!("{{%${{1}} {with} ${{2}}%}}")).into_owned(),
        Err(_) => text,
    };
    replaced(replaced(template.to_owned(), "generation", "if true"), "endgeneration", "endif")
}

fn problem(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) if error.kind() == ErrorKind::InvalidOperation => detail.to_owned(),
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// Python's `str` of a value; Jinja prints nothing for an undefined one.
fn python_str(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_undefined() => String::new(),
        None => python_repr(value),
    }
}

/// Python's `repr` of a value.
fn python_repr(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return quoted(text);
    }
    if value.is_none() {
        return "None".to_owned();
    }
    let items = || value.try_iter().into_iter().flatten();
    let kind = value.kind();
    if kind == ValueKind::Bool {
        (if value.is_true() { "True" } else { "False" }).to_owned()
    } else if kind == ValueKind::Seq || kind == ValueKind::Iterable {
        format!("[{}]", items().map(|item| python_repr(&item)).collect::<Vec<_>>().join(", "))
    } else if kind == ValueKind::Map {
        let pair = |key: Value| {
            let item = value.get_item(&key).unwrap_or_default();
            format!("{}: {}", python_repr(&key), python_repr(&item))
        };
        format!("{{{}}}", items().map(pair).collect::<Vec<_>>().join(", "))
    } else {
        value.to_string()
    }
}

/// A string literal of Python.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut literal = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            '\\' => literal.push_str("\\\\"),
            c if c == quote => literal.extend(['\\', c]),
            c => literal.push(c),
        }
    }
    literal.push(quote);
    literal
}

fn raise_exception(message: String) -> Result<String, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
}

fn strftime_now(format: &str) -> String {
    jiff::Zoned::now().strftime(format).to_string()
}

/// Python's `json.dumps` with `ensure_ascii=False`.
fn to_json(value: Value, options: Kwargs) -> Result<Value, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used().ok();
    let mut text = Vec::new();
    let written = match indent {
        Some(indent) => {
            let indent = " ".repeat(indent);
            let formatter = PrettyFormatter::with_indent(indent.as_bytes());
            serde::Serialize::serialize(&value, &mut Serializer::with_formatter(&mut text, formatter))
        }
        None => {
            serde::Serialize::serialize(&value, &mut Serializer::with_formatter(&mut text, PythonFormatter))
        }
    };
    written.map_err(|error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(Value::from(String::from_utf8_lossy(&text).into_owned()))
}

/// A space after each comma and colon.
struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::special_tokens::SpecialTokens;
    use super::super::{TokenType, TokenVocabulary, TokenizerModel};
    use super::*;

    fn tokenizer(template: &str) -> Tokenizer {
        Tokenizer {
            vocabulary: TokenVocabulary {
                tokens: vec!["<bos>".to_owned()],
                scores: vec![0.0],
                types: vec![TokenType::Control],
            },
            special: SpecialTokens::for_test("bos", 0, template),
            model: TokenizerModel::SentencePiece { gemma1: false },
            rowless: Vec::new(),
        }
    }

    fn render(template: &str, add_generation_prompt: bool) -> Result<String, String> {
        let messages = r#"[
            {"role": "user", "content": " Hi <b> "},
            {"role": "assistant", "content": "ü", "tool_calls": [{"name": "f", "arguments": {"a": [1, null]}}]}
        ]"#;
        let messages = serde_json::from_str(messages).unwrap();
        let renderer = ChatRenderer::new(&tokenizer(template))?.unwrap();
        renderer.render(&Conversation { messages, tools: None }, add_generation_prompt)
    }

    /// The expected texts are those of `apply_chat_template` of transformers.
    #[test]
    fn templates_are_rendered_as_by_transformers() {
        for (template, expected) in [
            ("{{ bos_token }}{{ messages[0]['content'] | trim }}", "<bos>Hi <b>"),
            (
                "{% for m in messages %}\n  {% if true %}\n{{ m.role }}\n  {% endif %}\n{% endfor %}\n",
                "user\nassistant\n",
            ),
            ("{{ messages[1].tool_calls | tojson }}", r#"[{"name": "f", "arguments": {"a": [1, null]}}]"#),
            (
                "{{ messages[1] | tojson }}",
                "{\"role\": \"assistant\", \"content\": \"\u{fc}\", \"tool_calls\": [{\"name\": \"f\", \"arguments\": {\"a\": [1, null]}}]}",
            ),
            ("{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}x{% endfor %}", "x"),
            ("{{ messages[0].content.strip().upper() }}{{ messages[0].get('name', 'none') }}", "HI <B>none"),
            ("a {%- generation -%} b {%- endgeneration %} c", "ab c"),
            ("{% if add_generation_prompt %}go{% else %}stop{% endif %}", "stop"),
            ("{{ 'tools' if tools else 'no tools' }}{{ nothing }}", "no tools"),
        ] {
            assert_eq!(render(template, false).as_deref(), Ok(expected), "{template}");
        }
        assert_eq!(render("{% if add_generation_prompt %}go{% endif %}", true).as_deref(), Ok("go"));
        assert!(render("{{ strftime_now('%Y') }}", false).unwrap().parse::<u32>().unwrap() >= 2025);
    }

    #[test]
    fn a_template_s_own_exception_is_the_problem() {
        assert_eq!(render("{{ raise_exception('no system role') }}", false).unwrap_err(), "no system role");
        assert!(render("{% if %}", false).is_err());
        let endless = "{% for i in range(10000) %}{% for j in range(10000) %}x{% endfor %}{% endfor %}";
        assert!(render(endless, false).unwrap_err().contains("fuel"));
    }

    #[derive(serde::Deserialize)]
    struct RenderedTemplates {
        conversations: BTreeMap<String, RawConversation>,
        templates: Vec<RenderedTemplate>,
    }

    #[derive(serde::Deserialize)]
    struct RawConversation {
        messages: Vec<Value>,
        tools: Option<Value>,
    }

    #[derive(serde::Deserialize)]
    struct RenderedTemplate {
        template: String,
        /// None where the template fails.
        texts: BTreeMap<String, Option<String>>,
    }

    /// `tests/fixtures/conversations.json` has what transformers renders.
    #[test]
    fn usual_conversations_are_rendered_as_by_transformers() {
        let text = include_str!("../../tests/fixtures/conversations.json");
        let rendered: RenderedTemplates = serde_json::from_str(text).unwrap();
        for RenderedTemplate { template, texts } in &rendered.templates {
            let renderer = ChatRenderer::new(&tokenizer(template)).unwrap().unwrap();
            for (name, expected) in texts {
                let RawConversation { messages, tools } = &rendered.conversations[name];
                let conversation = Conversation { messages: messages.clone(), tools: tools.clone() };
                let found = renderer.render(&conversation, true);
                assert_eq!(found.as_ref().ok(), expected.as_ref(), "{name}: {found:?} {template}");
            }
        }
    }
}
