//! A field of a configuration, read as one type. A value of any other type is an error that names the field: transformers
//! refuses it, or takes it for true or false as Python does.

use std::fmt;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The value under a name, and where it is.
#[derive(Debug, Clone)]
pub(crate) struct ConfigField<'a> {
    file: &'a str,
    /// The field's name, after those of the sections that it is in.
    name: String,
    value: Option<&'a Value>,
}

impl<'a> ConfigField<'a> {
    /// The field of this name in a section of a file; `section` is empty for the top level, and else ends with a dot.
    pub(crate) fn new(file: &'a str, section: &str, fields: &'a Map<String, Value>, name: &str) -> Self {
        Self { file, name: format!("{section}{name}"), value: fields.get(name) }
    }

    /// The value. `null` counts as missing.
    pub(crate) fn value(&self) -> Option<&'a Value> {
        self.value.filter(|value| !value.is_null())
    }

    /// Whether the value is explicitly `null`.
    pub(crate) fn is_null(&self) -> bool {
        self.value.is_some_and(Value::is_null)
    }

    /// A count.
    pub(crate) fn u32(&self) -> Result<Option<u32>> {
        self.read("a 32-bit count", |value| value.as_u64()?.try_into().ok())
    }

    /// A whole number.
    pub(crate) fn i64(&self) -> Result<Option<i64>> {
        self.read("a whole number", Value::as_i64)
    }

    /// A number.
    pub(crate) fn f64(&self) -> Result<Option<f64>> {
        self.read("a number", Value::as_f64)
    }

    /// A number.
    pub(crate) fn f32(&self) -> Result<Option<f32>> {
        Ok(self.f64()?.map(|number| number as f32))
    }

    /// A boolean.
    pub(crate) fn bool(&self) -> Result<Option<bool>> {
        self.read("true or false", Value::as_bool)
    }

    /// A string.
    pub(crate) fn str(&self) -> Result<Option<&'a str>> {
        self.read("a string", Value::as_str)
    }

    /// A list of strings.
    pub(crate) fn strs(&self) -> Result<Option<Vec<&'a str>>> {
        self.read("a list of strings", |value| value.as_array()?.iter().map(Value::as_str).collect())
    }

    /// A list of numbers.
    pub(crate) fn f64s(&self) -> Result<Option<Vec<f64>>> {
        self.read("a list of numbers", |value| value.as_array()?.iter().map(Value::as_f64).collect())
    }

    /// A list of counts.
    pub(crate) fn counts(&self) -> Result<Option<Vec<i32>>> {
        let count = |value: &Value| value.as_u64()?.try_into().ok();
        self.read("a list of counts", |value| value.as_array()?.iter().map(count).collect())
    }

    /// The fields of an object.
    pub(crate) fn object(&self) -> Result<Option<&'a Map<String, Value>>> {
        self.read("an object", Value::as_object)
    }

    /// A field of an object; missing if the object is.
    pub(crate) fn field(&self, name: &str) -> Result<Self> {
        let value = self.object()?.and_then(|fields| fields.get(name));
        Ok(Self { file: self.file, name: format!("{}.{name}", self.name), value })
    }

    fn read<T>(&self, expected: &str, as_type: impl FnOnce(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.value() else { return Ok(None) };
        match as_type(value) {
            Some(value) => Ok(Some(value)),
            None => Err(self.invalid(format!("is {value}, not {expected}"))),
        }
    }

    /// Refuses a value of none of these types: JSON's types in Python's words, with `|` between them.
    pub(crate) fn check_type(&self, types: &str, class: &str) -> Result<()> {
        let Some(value) = self.value else { return Ok(()) };
        if types.split('|').any(|name| name == type_name(value)) {
            return Ok(());
        }
        let expected: Vec<&str> = types.split('|').map(description).collect();
        let expected = expected.join(" or ");
        Err(self.invalid(format!(
            "is {value}, not {expected}: correct it, or remove it for the value that {class} has without it"
        )))
    }

    /// The field's name, after those of the sections that it is in.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// An error about the field.
    pub(crate) fn invalid(&self, problem: impl fmt::Display) -> Error {
        Error::invalid(self.file, format!("{} {problem}", self.name))
    }
}

/// The name of a value's type.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// A type in a sentence.
fn description(type_name: &str) -> &str {
    match type_name {
        "bool" => "true or false",
        "number" => "a number",
        "string" => "a string",
        "list" => "a list",
        "object" => "an object",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with_field<T>(value: Value, read: impl FnOnce(ConfigField<'_>) -> Result<T>) -> Result<T, String> {
        let fields = Map::from_iter([("x".to_owned(), value)]);
        read(ConfigField::new("config.json", "s.", &fields, "x")).map_err(|error| error.to_string())
    }

    #[test]
    fn another_type_is_an_error_that_names_the_field() {
        let message = |value: &str, expected: &str| format!("config.json: s.x is {value}, not {expected}");
        for value in [json!(1), json!("true"), json!([]), json!({})] {
            let error = message(&value.to_string(), "true or false");
            assert_eq!(with_field(value, |field| field.bool()), Err(error));
        }
        for value in [json!(true), json!("1"), json!(-1), json!(1.5)] {
            let error = message(&value.to_string(), "a 32-bit count");
            assert_eq!(with_field(value, |field| field.u32()), Err(error));
        }
        assert_eq!(with_field(json!("1"), |field| field.f32()), Err(message("\"1\"", "a number")));
        assert_eq!(
            with_field(json!(["a"]), |field| field.str().map(drop)),
            Err(message(r#"["a"]"#, "a string"))
        );
        assert_eq!(
            with_field(json!(["a", 1]), |field| field.strs().map(drop)),
            Err(message(r#"["a",1]"#, "a list of strings"))
        );
        assert_eq!(
            with_field(json!([1, null]), |field| field.f64s()),
            Err(message("[1,null]", "a list of numbers"))
        );
        assert_eq!(with_field(json!([-1]), |field| field.counts()), Err(message("[-1]", "a list of counts")));
        assert_eq!(
            with_field(json!([]), |field| field.field("y").map(drop)),
            Err(message("[]", "an object"))
        );
    }

    #[test]
    fn numbers_are_the_nearest_as_in_python() {
        // serde_json reads these one too low or too high without its feature `float_roundtrip`
        let text = "[0.0009650074960886351, 0.0009073038322028689, 0.0009042225290942385]";
        let nearest = vec![0.0009650074960886351, 0.0009073038322028689, 0.0009042225290942385];
        let value = serde_json::from_str(text).unwrap();
        assert_eq!(with_field(value, |field| field.f64s()), Ok(Some(nearest)));
    }

    #[test]
    fn a_declared_type_is_checked() {
        let checked = |value: Value, types| with_field(value, |field| field.check_type(types, "C"));
        for (value, types) in [(json!(1.5), "number"), (json!(null), "bool|null"), (json!({}), "list|object")]
        {
            assert_eq!(checked(value, types), Ok(()));
        }
        let error = checked(json!(0), "bool|null").unwrap_err();
        assert!(error.starts_with("config.json: s.x is 0, not true or false or null: "), "{error}");
    }

    #[test]
    fn null_is_missing_and_a_whole_number_is_a_number() {
        assert_eq!(with_field(json!(null), |field| field.u32()), Ok(None));
        assert_eq!(with_field(json!(30), |field| field.f32()), Ok(Some(30.0)));
        assert_eq!(with_field(json!({"y": {"z": 2}}), |f| f.field("y")?.field("z")?.u32()), Ok(Some(2)));
        let error = with_field(json!({"y": {"z": "2"}}), |f| f.field("y")?.field("z")?.u32());
        assert_eq!(error, Err("config.json: s.x.y.z is \"2\", not a 32-bit count".to_owned()));
    }
}
