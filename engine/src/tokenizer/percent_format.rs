//! Python's `%` of a text, which Jinja's filter `format` is, too.

use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{Error, ErrorKind, State, filters};
use regex::{Captures, Regex};

use super::python_value::{python_repr, python_value};

/// A place for a value: the name of a value, the layout, and how the value is written.
const PLACE: &str = r"%(\([^)]*\))?([#0\-+ ]*\d*(?:\.\d*)?[hlL]?)(.)";

/// minijinja's `format` has no `%r` and `%u`, no decimals of floats, and ignores values that have no place.
pub(super) fn format(state: &State<'_, '_>, text: &Value, values: Rest<Value>) -> Result<Value, Error> {
    let mut values: Vec<Value> = values.iter().map(python_value).collect();
    let (Some(format), Ok(place)) = (text.as_str(), Regex::new(PLACE)) else {
        return filters::format(state, text, Rest(values));
    };
    let mut used = 0;
    let format = place.replace_all(format, |place: &Captures<'_>| {
        let (name, layout, kind) = (place.get(1).map_or("", |name| name.as_str()), &place[2], &place[3]);
        let mut ignored = Value::UNDEFINED;
        let value = if name.is_empty() { values.get_mut(used).unwrap_or(&mut ignored) } else { &mut ignored };
        used += usize::from(name.is_empty() && kind != "%");
        let kind = match kind {
            "r" => {
                *value = Value::from(python_repr(value));
                "s"
            }
            "d" | "i" | "u" => {
                *value = truncated(value);
                "d"
            }
            other => other,
        };
        format!("%{name}{layout}{kind}")
    });
    let is_mapping = matches!(&values[..], [only] if only.kind() == ValueKind::Map);
    if used < values.len() && !is_mapping {
        let problem = "not all arguments converted during string formatting";
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    filters::format(state, &Value::from(format.as_ref()), Rest(values))
}

/// A float without its decimals.
fn truncated(value: &Value) -> Value {
    match f64::try_from(value.clone()) {
        Ok(number) if !value.is_integer() && value.kind() == ValueKind::Number => {
            Value::from(number.trunc() as i128)
        }
        Ok(_) | Err(_) => value.clone(),
    }
}
