//! Renders conversations through a chat template as transformers does (`apply_chat_template`): the options and functions
//! of its Jinja environment, and the special tokens as variables.

use std::io;
use std::panic::{self, AssertUnwindSafe};

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, ErrorKind};
use serde_json::ser::{Formatter, Serializer};

use super::python_value::{python_messages, python_str, python_value};
use super::render_error::{RenderError, problem, raise_exception};
use super::{Tokenizer, jinja_filters, jinja_source, python_methods};

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
        environment.set_unknown_method_callback(python_methods::call);
        minijinja_contrib::add_to_environment(&mut environment);
        jinja_filters::add_to(&mut environment);
        environment.add_function("cycler", |items: Rest<Value>| minijinja_contrib::globals::cycler(items.0));
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", to_json);
        environment.add_filter("string", |value: &Value| python_str(value));
        environment
            .add_template_owned(TEMPLATE, jinja_source::for_minijinja(template))
            .map_err(|error| problem(&error))?;
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
    ) -> Result<String, RenderError> {
        let named = [
            ("messages", python_messages(&conversation.messages)),
            ("tools", conversation.tools.as_ref().map_or(Value::from(()), python_value)),
            ("documents", Value::from(())),
            ("add_generation_prompt", Value::from(add_generation_prompt)),
        ];
        let special =
            self.special_tokens.iter().map(|(name, text)| (name.as_str(), Value::from(text.as_str())));
        let context: Value = special.chain(named).collect();
        let template = self.environment.get_template(TEMPLATE)?;
        // minijinja panics where an empty text or list is sliced backwards
        let rendered = panic::catch_unwind(AssertUnwindSafe(|| template.render(context)))
            .map_err(|_| RenderError::Failed("it makes the template engine fail".to_owned()))?;
        Ok(rendered?)
    }
}

fn strftime_now(format: &str) -> String {
    jiff::Zoned::now().strftime(format).to_string()
}

/// Python's `json.dumps` with `ensure_ascii=False`, as transformers calls it.
fn to_json(value: Value, options: Kwargs) -> Result<Value, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let sort_keys: Option<bool> = options.get("sort_keys")?;
    let ensure_ascii: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let [comma, colon] = match separators.as_deref() {
        Some([comma, colon]) => [comma.clone(), colon.clone()],
        // without a space at the end of a line
        None if indent.is_some() => [",", ": "].map(str::to_owned),
        None => [", ", ": "].map(str::to_owned),
        Some(_) => {
            let problem = "separators of tojson are two texts";
            return Err(minijinja::Error::new(ErrorKind::InvalidOperation, problem));
        }
    };
    let formatter = PythonFormatter {
        comma,
        colon,
        indent: indent.map(|count| " ".repeat(count)),
        depth: 0,
        has_item: false,
        ensure_ascii: ensure_ascii == Some(true),
    };
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, formatter);
    let value = if sort_keys == Some(true) { with_sorted_keys(&value) } else { value };
    let written = serde::Serialize::serialize(&value, &mut serializer);
    written.map_err(|error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(Value::from(String::from_utf8_lossy(&text).into_owned()))
}

/// The value with the keys of all its objects in order.
fn with_sorted_keys(value: &Value) -> Value {
    let items = || value.try_iter().into_iter().flatten();
    let kind = value.kind();
    if kind == ValueKind::Map {
        let mut keys: Vec<Value> = items().collect();
        keys.sort();
        let with_item = |key: Value| {
            let item = with_sorted_keys(&value.get_item(&key).unwrap_or_default());
            (key, item)
        };
        keys.into_iter().map(with_item).collect()
    } else if kind == ValueKind::Seq || kind == ValueKind::Iterable {
        items().map(|item| with_sorted_keys(&item)).collect::<Vec<_>>().into()
    } else {
        value.clone()
    }
}

/// Python's layout of JSON.
struct PythonFormatter {
    comma: String,
    colon: String,
    /// The spaces of a level, if there is a line for each item.
    indent: Option<String>,
    depth: usize,
    /// Whether the current list or object has an item.
    has_item: bool,
    ensure_ascii: bool,
}

impl PythonFormatter {
    fn new_line<W: ?Sized + io::Write>(&self, out: &mut W) -> io::Result<()> {
        match &self.indent {
            Some(indent) => write!(out, "\n{}", indent.repeat(self.depth)),
            None => Ok(()),
        }
    }

    fn begin<W: ?Sized + io::Write>(&mut self, out: &mut W, bracket: &str) -> io::Result<()> {
        self.depth += 1;
        self.has_item = false;
        out.write_all(bracket.as_bytes())
    }

    fn begin_item<W: ?Sized + io::Write>(&self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { self.comma.as_bytes() })?;
        self.new_line(out)
    }

    fn end<W: ?Sized + io::Write>(&mut self, out: &mut W, bracket: &str) -> io::Result<()> {
        self.depth -= 1;
        if self.has_item {
            self.new_line(out)?;
        }
        out.write_all(bracket.as_bytes())
    }
}

impl Formatter for PythonFormatter {
    fn begin_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, "[")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.begin_item(out, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_item = true;
        Ok(())
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, "]")
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, "{")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.begin_item(out, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(self.colon.as_bytes())
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_item = true;
        Ok(())
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, "}")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        if !self.ensure_ascii {
            return out.write_all(text.as_bytes());
        }
        for unit in text.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte) if byte.is_ascii() => out.write_all(&[byte])?,
                Ok(_) | Err(_) => write!(out, "\\u{unit:04x}")?,
            }
        }
        Ok(())
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
            renamed: Vec::new(),
            class: None,
        }
    }

    fn render(template: &str, add_generation_prompt: bool) -> Result<String, String> {
        let messages = r#"[
            {"role": "user", "content": " Hi <b> "},
            {"role": "assistant", "content": "ü", "tool_calls": [{"name": "f", "arguments": {"a": [1, null]}}]}
        ]"#;
        let messages = serde_json::from_str(messages).unwrap();
        let renderer = ChatRenderer::new(&tokenizer(template))?.unwrap();
        let text = renderer.render(&Conversation { messages, tools: None }, add_generation_prompt);
        text.map_err(|problem| problem.to_string())
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
    fn tojson_has_the_layouts_of_python() {
        let value = r#"{"b": [1, {"z": "é😀", "a": none}], "a": {}, "c": []}"#;
        let indented = "{\n  \"b\": [\n    1,\n    {\n      \"z\": \"é😀\",\n      \"a\": null\n    }\n  ],\n  \"a\": {},\n  \"c\": []\n}";
        for (options, expected) in [
            ("ensure_ascii=false", r#"{"b": [1, {"z": "é😀", "a": null}], "a": {}, "c": []}"#),
            ("indent=2", indented),
            (
                "separators=(',', ':'), sort_keys=true, ensure_ascii=true",
                r#"{"a":{},"b":[1,{"a":null,"z":"\u00e9\ud83d\ude00"}],"c":[]}"#,
            ),
        ] {
            let text = render(&format!("{{{{ {value} | tojson({options}) }}}}"), true);
            assert_eq!(text.as_deref(), Ok(expected), "{options}");
        }
    }

    #[test]
    fn filters_and_functions_of_jinja_are_there() {
        for (template, expected) in [
            ("{{ 'a long text of words' | truncate(length=9, killwords=true) }}", "a long..."),
            ("{{ '<b>x</b>' | striptags }}", "x"),
            ("{% set next = joiner(', ') %}{% for x in [1, 2] %}{{ next() }}{{ x }}{% endfor %}", "1, 2"),
            ("{% set row = cycler('a', 'b') %}{{ row.next() }}{{ row.next() }}{{ row.next() }}", "aba"),
        ] {
            assert_eq!(render(template, true).as_deref(), Ok(expected));
        }
    }

    /// The expected texts are those of `apply_chat_template` of transformers.
    #[test]
    fn tests_and_filters_are_jinjas() {
        for (template, expected) in [
            (
                "{{ none is iterable }} {{ '' is iterable }} {{ nothing is iterable }} {{ 1 is iterable }}",
                "False True True False",
            ),
            (
                "{{ 'a' is sequence }} {{ messages is sequence }} {{ messages[0] is sequence }}",
                "True True True",
            ),
            ("{{ none is sequence }} {{ 1 is sequence }} {{ range(2) is sequence }}", "False False True"),
            (
                "{{ true is number }} {{ 'a' is callable }} {{ raise_exception is callable }}",
                "True False True",
            ),
            (
                "{{ 'x' | int }} {{ ' 7 ' | int }} {{ '1.9' | int }} {{ 'x' | int(5) }} {{ [] | int(default=4) }}",
                "0 7 1 5 4",
            ),
            ("{{ '0xff' | int(base=16) }} {{ '11' | int(base=2) }} {{ none | int }}", "255 3 0"),
            (
                "{{ 'x' | float }} {{ ' 1.5 ' | float }} {{ 2 | float }} {{ 'x' | float(1.5) }}",
                "0.0 1.5 2.0 1.5",
            ),
            ("{{ messages | join(', ', attribute='role') }}", "user, assistant"),
            (
                "{{ messages[1:] | join(attribute='tool_calls.0.name') }} {{ [1, none, 'a'] | join('-') }}",
                "f 1-None-a",
            ),
            ("{{ [{'x': ['it']}] | join }} {{ 'abc' | join('.') }}", "{'x': ['it']} a.b.c"),
            ("{{ [{'n': 1}, {'n': 2}] | sum(attribute='n') }} {{ [1, 2] | sum }}", "3 3"),
        ] {
            assert_eq!(render(template, true).as_deref(), Ok(expected), "{template}");
        }
    }

    /// The expected texts are those of `apply_chat_template` of transformers.
    #[test]
    fn texts_are_formatted_as_in_python() {
        for (template, expected) in [
            (r#"{{ "%s of %d" % (1, 2) }} {{ "%s" % "a" }} {{ "%s" % (1 + 2) }}"#, "1 of 2 a 3"),
            (
                r#"{{ "%s" % [1, "b"] }} {{ "%s" % {"a": none} }} {{ "%s" % true }}"#,
                "[1, 'b'] {'a': None} True",
            ),
            (r#"{{ "%5d|%-5d|%05d|%+d|% d|%i|%u" % (1, 2, 3, 4, 5, 6, 7) }}"#, "    1|2    |00003|+4| 5|6|7"),
            (r#"{{ "%f %.2f %8.3f %d" % (1, 2.345, 3.14159, -2.9) }}"#, "1.000000 2.35    3.142 -2"),
            (r#"{{ "%x %X %#x %o %c" % (255, 255, 255, 8, 65) }}"#, "ff FF 0xff 10 A"),
            (r#"{{ "%r %r" % ("it's", [1, none]) }}"#, r#""it's" [1, None]"#),
            (r#"{{ "%6s|%-6s|%.2s|%%" % ("abc", "abc", "abc") }}"#, "   abc|abc   |ab|%"),
            (r#"{{ "%(a)s-%(b)d" % {"a": "x", "b": 3} }} {{ "a" % {"b": 1} }}"#, "x-3 a"),
            (r#"{{ "%s!" % messages[0].role | upper ~ "?" }} {{ "%s" % -1 }}"#, "USER!? -1"),
            (r#"{{ "a" if "%s" % 1 == "1" else "b" }} {{ "100%%" % () }} {{ 7 % 3 }}"#, "a 100% 1"),
            (r#"{{ "%s" | format([1, "a"]) }} {{ "%(a)s" | format(a="x") }}"#, "[1, 'a'] x"),
        ] {
            assert_eq!(render(template, true).as_deref(), Ok(expected), "{template}");
        }
        for (template, problem) in [
            (r#"{{ "%s %s" % ("a",) }}"#, "argument"),
            (r#"{{ "%s" % ("a", "b") }}"#, "not all arguments converted"),
            (r#"{{ "a" % "b" }}"#, "not all arguments converted"),
            (r#"{{ "%d" % "a" }}"#, "cannot be formatted"),
        ] {
            let found = render(template, true).unwrap_err();
            assert!(found.contains(problem), "{template}: {found}");
        }
    }

    /// As `apply_chat_template` of transformers.
    #[test]
    fn none_is_no_list() {
        for template in [
            "{% for tool in tools %}{% endfor %}",
            "{% for document in documents if document %}{% else %}{% endfor %}",
            "{% for x in messages[0].get('tool_calls') %}{% endfor %}",
            "{{ tools | list }}",
            "{{ tools | join }}",
            "{{ tools | reverse | length }}",
        ] {
            let problem = render(template, true).unwrap_err();
            assert!(problem.contains("'NoneType' object is not iterable"), "{template}: {problem}");
        }
        for (template, expected) in [
            ("{% for tool in tools or [] %}{% else %}no tools{% endfor %}", "no tools"),
            ("{% for x in (messages if tools else []) %}x{% endfor %}", ""),
            ("{% for x in nothing %}x{% endfor %}{% for x in messages[0].tool_calls %}x{% endfor %}", ""),
            ("{{ nothing | length }}{{ nothing | join }}{{ nothing | first }}{{ nothing | sum }}", "00"),
            (
                "{% for m in messages[:1] + messages[1:] if m.role != 'user' %}{{ m.role }}{% endfor %}",
                "assistant",
            ),
            (
                "{% for a, b in {'x': 1}.items() %}{{ a }}{{ b }}{% endfor %}{% for a in 1, 2 %}{{ a }}{% endfor %}",
                "x112",
            ),
            (
                "{% for x in [1, [2]] recursive %}{% if x is number %}{{ x }}{% else %}{{ loop(x) }}{% endif %}{% endfor %}",
                "12",
            ),
        ] {
            assert_eq!(render(template, true).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn a_panic_of_the_engine_is_a_problem() {
        assert!(render("{{ ''[::-1] }}", true).unwrap_err().contains("template engine"));
    }

    /// The expected texts are those of `apply_chat_template` of transformers.
    #[test]
    fn values_become_texts_as_in_python() {
        let messages = r#"[
            {"role": "user", "content": [{"type": "text", "text": "it's"}], "tool_calls": null},
            {"role": "assistant", "content": null}
        ]"#;
        let messages: Vec<Value> = serde_json::from_str(messages).unwrap();
        let parts = r#"[{'type': 'text', 'text': "it's"}]"#;
        for (template, expected) in [
            ("{{ messages[0].content | trim }}", parts),
            ("{{ 'T: ' ~ messages[0].content }}", &format!("T: {parts}")),
            ("{{ messages[0].content | join(';') }}", r#"{'type': 'text', 'text': "it's"}"#),
            ("{{ messages[0].content | tojson }}", r#"[{"type": "text", "text": "it's"}]"#),
            (
                "{{ messages[0] | length }} {{ messages[0] is mapping }} {{ messages[0].content is sequence }}",
                "2 True True",
            ),
            ("{{ messages[0].content[0].text }} {{ messages[0].content[-1]['type'] }}", "it's text"),
            ("{% for key, value in messages[0].items() %}{{ key }};{% endfor %}", "role;content;"),
            ("{{ 'tool_calls' in messages[0] }} {{ messages[1].content is defined }}", "False False"),
            ("[{{ messages[1].content }}]", "[]"),
            ("{{ messages[:1] | length }} {{ messages[1:][0].role }}", "1 assistant"),
        ] {
            let renderer = ChatRenderer::new(&tokenizer(template)).unwrap().unwrap();
            let text = renderer.render(&Conversation { messages: messages.clone(), tools: None }, true);
            assert_eq!(text.as_deref(), Ok(expected), "{template}");
        }
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
