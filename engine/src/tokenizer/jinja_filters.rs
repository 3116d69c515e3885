//! Tests and filters of Jinja that differ in minijinja.

use std::borrow::Cow;

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, filters};

use super::jinja_source::ITERABLE;
use super::percent_format::format;
use super::python_value::python_str;

pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_test("iterable", is_iterable);
    environment.add_test("sequence", is_sequence);
    environment.add_test("number", |value: &Value| value.is_number() || value.kind() == ValueKind::Bool);
    environment.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("join", join);
    environment.add_filter("sum", sum);
    environment.add_filter("format", format);
    environment.add_filter(ITERABLE, iterable);
    environment.add_function(ITERABLE, iterable);
}

fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// What a loop or a filter of lists takes in Jinja, where None is an error and an undefined value an empty list.
fn iterable(value: Value) -> Result<Value, Error> {
    if value.is_none() {
        let problem = "a loop or filter gets none in place of a list ('NoneType' object is not iterable)";
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    Ok(if value.is_undefined() { Value::from(Vec::<Value>::new()) } else { value })
}

/// What has a length and items: texts and dictionaries, too.
fn is_sequence(value: &Value) -> bool {
    value.is_undefined() || value.len().is_some()
}

/// The default, or 0, where there is no number.
fn int(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    options: Kwargs,
) -> Result<Value, Error> {
    let default = default_of(default, &options, Value::from(0))?;
    let base: u32 = options.get::<Option<u32>>("base")?.unwrap_or(10);
    options.assert_all_used()?;
    let text = value.as_str().map(str::trim);
    if let Some(Ok(number)) = text.filter(|_| base != 10).map(|text| parse_with_base(text, base)) {
        return Ok(Value::from(number));
    }
    Ok(filters::int(state, &trimmed(value, text)).unwrap_or(default))
}

/// Python's `int(text, base)`, where the text may begin with `0x` and the like.
fn parse_with_base(text: &str, base: u32) -> Result<i64, ()> {
    let text = text.to_lowercase();
    let prefix = match base {
        2 => "0b",
        8 => "0o",
        16 => "0x",
        3..=36 => "",
        _ => return Err(()),
    };
    i64::from_str_radix(text.strip_prefix(prefix).unwrap_or(&text), base).map_err(drop)
}

/// The default, or 0.0, where there is no number.
fn float(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    options: Kwargs,
) -> Result<Value, Error> {
    let default = default_of(default, &options, Value::from(0.0))?;
    options.assert_all_used()?;
    let text = value.as_str().map(str::trim);
    Ok(filters::float(state, &trimmed(value, text)).unwrap_or(default))
}

fn default_of(positional: Option<Value>, options: &Kwargs, otherwise: Value) -> Result<Value, Error> {
    let named: Option<Value> = options.get("default")?;
    Ok(positional.or(named).unwrap_or(otherwise))
}

fn trimmed<'a>(value: &'a Value, text: Option<&str>) -> Cow<'a, Value> {
    text.map_or(Cow::Borrowed(value), |text| Cow::Owned(Value::from(text)))
}

/// The texts of items, or of an attribute of each, as Python prints them.
fn join(value: Value, separator: Option<Value>, options: Kwargs) -> Result<String, Error> {
    let separator = separator.map_or_else(|| options.get("d"), |separator| Ok(Some(separator)))?;
    let attribute: Option<Value> = options.get("attribute")?;
    options.assert_all_used()?;
    let texts: Vec<String> = attributes(&value, attribute.as_ref())?.iter().map(python_str).collect();
    Ok(texts.join(&separator.as_ref().map(python_str).unwrap_or_default()))
}

fn sum(
    state: &State<'_, '_>,
    value: Value,
    attribute: Option<Value>,
    options: Kwargs,
) -> Result<Value, Error> {
    let attribute = attribute.map_or_else(|| options.get("attribute"), |attribute| Ok(Some(attribute)))?;
    options.assert_all_used()?;
    filters::sum(state, attributes(&value, attribute.as_ref())?.into())
}

/// The items of a list, or the attribute of this name of each. A name may have dots and numbers: `function.arguments.0`.
fn attributes(list: &Value, name: Option<&Value>) -> Result<Vec<Value>, Error> {
    let attribute = |mut item: Value| {
        let path = name.map(Value::to_string).unwrap_or_default();
        for part in path.split('.').filter(|part| !part.is_empty()) {
            let key = part.parse::<u64>().map_or_else(|_| Value::from(part), Value::from);
            item = item.get_item(&key)?;
        }
        Ok(item)
    };
    list.try_iter()?.map(attribute).collect()
}
