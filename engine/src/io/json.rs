//! Strict JSON: objects keep their order, and duplicate keys are an error.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use crate::error::{Error, Result};

/// Parses a file that is one object. Errors name the file, line and column.
pub(crate) fn parse<'a, T: Deserialize<'a>>(file: &str, bytes: &'a [u8]) -> Result<T> {
    // serde would take the items of a list for the fields of a struct
    match bytes.trim_ascii_start().first() {
        Some(b'[') => Err(Error::invalid(file, "is a list in JSON, not an object")),
        Some(_) | None => parse_any(file, bytes),
    }
}

/// Parses a file's content. Errors name the file, line and column.
pub(crate) fn parse_any<'a, T: Deserialize<'a>>(file: &str, bytes: &'a [u8]) -> Result<T> {
    // text that is valid as a whole is not validated string by string
    let parsed = match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(bytes),
    };
    parsed.map_err(|error| Error::invalid(file, problem(bytes, &error)))
}

/// The numbers that Python's `json` writes, although JSON does not have them.
const PYTHON_NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

fn problem(bytes: &[u8], error: &serde_json::Error) -> String {
    let line = bytes.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    // the column is that of the first byte which is not JSON, or of the one before
    let is_at = |start: usize, number: &str| {
        line.get(start..).is_some_and(|rest| rest.starts_with(number.as_bytes()))
    };
    let starts = error.column().saturating_sub(2)..=error.column();
    let found = |number: &&&str| starts.clone().any(|start| is_at(start, number));
    match PYTHON_NUMBERS.iter().find(found) {
        Some(number) => format!(
            "has {number} at line {} column {}, which is not JSON (Python's json module writes it): put null or a finite \
             number in its place",
            error.line(),
            error.column()
        ),
        None => format!("invalid JSON: {error}"),
    }
}

/// A JSON object in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderedMap<T>(pub(crate) Vec<(String, T)>);

impl<T> Default for OrderedMap<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrderedMap<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OrderedMapVisitor(PhantomData))
    }
}

struct OrderedMapVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OrderedMapVisitor<T> {
    type Value = OrderedMap<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format_args!("duplicate key {key:?}")));
            }
            entries.push((key, map.next_value()?));
        }
        Ok(OrderedMap(entries))
    }
}

/// A field of a file, which may be null. `expected` says what else it may be.
pub(crate) fn field<T: DeserializeOwned>(
    file: &str,
    name: &str,
    value: Option<Value>,
    expected: &str,
) -> Result<Option<T>> {
    let Some(value) = value else { return Ok(None) };
    let shown = value.to_string();
    serde_json::from_value(value)
        .map(Some)
        .map_err(|_| Error::invalid(file, format!("has the {name} {shown}, which is not {expected}")))
}

/// Whether a value is something else than null, false and empty.
pub(crate) fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Deserializes `null` as the default value.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_their_order() {
        let read: OrderedMap<u8> = parse("x", br#"{"b":1,"a":2}"#).unwrap();
        assert_eq!(read.0, [("b".to_owned(), 1), ("a".to_owned(), 2)]);
    }

    #[test]
    fn numbers_of_python_are_named() {
        for number in PYTHON_NUMBERS {
            for text in [format!(r#"{{"a": {number}}}"#), format!("{{\n \"a\": 1,\n \"b\": [{number}, 1]}}")]
            {
                let error = parse::<Value>("config.json", text.as_bytes()).unwrap_err().to_string();
                let expected = format!("config.json: has {number} at line");
                assert!(error.starts_with(&expected) && error.contains("put null"), "{error}");
            }
        }
        let error = parse::<Value>("x", b"{\"NaN\": oops}").unwrap_err().to_string();
        assert!(error.contains("invalid JSON"), "{error}");
    }

    #[test]
    fn duplicate_keys_are_an_error() {
        let error = parse::<OrderedMap<u8>>("x", br#"{"a":1,"a":2}"#).unwrap_err();
        assert!(error.to_string().contains("duplicate key \"a\""), "{error}");
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
        let bomb = "[".repeat(1_000_000);
        assert!(parse::<Value>("x", bomb.as_bytes()).is_err());
    }
}
