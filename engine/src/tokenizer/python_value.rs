//! Lists and dictionaries that print as Python's wherever a template makes a text of them: `{{ x }}`, `x ~ ''`, `x | trim`.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};

/// A list.
#[derive(Debug)]
struct List(Vec<Value>);

/// A dictionary: keys and values.
#[derive(Debug)]
struct Dictionary(Vec<(Value, Value)>);

/// The value with all lists and dictionaries in it as Python prints them.
pub(super) fn python_value(value: &Value) -> Value {
    let kind = value.kind();
    if kind == ValueKind::Map {
        Value::from_object(Dictionary(items(value).collect()))
    } else if kind == ValueKind::Seq {
        let items = value.try_iter().into_iter().flatten();
        Value::from_object(List(items.map(|item| python_value(&item)).collect()))
    } else {
        value.clone()
    }
}

/// Messages as transformers gives them to a template: without the keys whose value is null.
pub(super) fn python_messages(messages: &[Value]) -> Value {
    let message = |message: &Value| match message.kind() == ValueKind::Map {
        true => {
            Value::from_object(Dictionary(items(message).filter(|(_, value)| !value.is_none()).collect()))
        }
        false => python_value(message),
    };
    Value::from_object(List(messages.iter().map(message).collect()))
}

/// The keys and values of a dictionary.
fn items(dictionary: &Value) -> impl Iterator<Item = (Value, Value)> {
    let keys = dictionary.try_iter().into_iter().flatten();
    keys.map(|key| {
        let value = python_value(&dictionary.get_item(&key).unwrap_or_default());
        (key, value)
    })
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items: Vec<String> = self.0.iter().map(python_repr).collect();
        write!(f, "[{}]", items.join(", "))
    }
}

impl Object for Dictionary {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(key, _)| key.clone()).collect())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = |(key, value): &(Value, Value)| format!("{}: {}", python_repr(key), python_repr(value));
        write!(f, "{{{}}}", self.0.iter().map(pair).collect::<Vec<_>>().join(", "))
    }
}

/// Python's `str` of a value; Jinja prints nothing for an undefined one.
pub(super) fn python_str(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_undefined() => String::new(),
        None => python_repr(value),
    }
}

/// Python's `repr` of a value.
pub(super) fn python_repr(value: &Value) -> String {
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
