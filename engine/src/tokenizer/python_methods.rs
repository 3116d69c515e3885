//! Methods of Python's strings that templates may call, besides those of `minijinja_contrib::pycompat`.

use minijinja::value::{Value, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

/// Calls a method of a value.
pub(super) fn call(
    state: &State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    match value.as_str().map(|text| of_text(text, method, args)) {
        Some(Err(error)) if error.kind() == ErrorKind::UnknownMethod => {
            pycompat::unknown_method_callback(state, value, method, args)
        }
        Some(result) => result,
        None => pycompat::unknown_method_callback(state, value, method, args),
    }
}

fn of_text(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    match method {
        "removeprefix" | "removesuffix" => {
            let (affix,): (&str,) = from_args(args)?;
            let rest =
                if method == "removeprefix" { text.strip_prefix(affix) } else { text.strip_suffix(affix) };
            Ok(rest.unwrap_or(text).into())
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            check_separator(separator)?;
            let from_start = method == "partition";
            let found = if from_start { text.split_once(separator) } else { text.rsplit_once(separator) };
            let parts = match found {
                Some((before, after)) => [before, separator, after],
                None if from_start => [text, "", ""],
                None => ["", "", text],
            };
            Ok(parts.into_iter().collect())
        }
        "rsplit" => {
            let (separator, most): (Option<&str>, Option<i64>) = from_args(args)?;
            rsplit(text, separator, most)
        }
        "index" | "rindex" => {
            let (part,): (&str,) = from_args(args)?;
            let found = if method == "index" { text.find(part) } else { text.rfind(part) };
            let position = found.map(|bytes| text[..bytes].chars().count());
            position.map(Value::from).ok_or_else(|| invalid("substring not found"))
        }
        "casefold" => Ok(text.to_lowercase().into()),
        "swapcase" => {
            let swapped = |c: char| -> String {
                if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
            };
            Ok(text.chars().map(swapped).collect::<String>().into())
        }
        "isdecimal" => Ok((!text.is_empty() && text.chars().all(|c| c.is_ascii_digit())).into()),
        "istitle" => Ok(is_title(text).into()),
        "zfill" | "ljust" | "rjust" | "center" => {
            let (width, fill): (usize, Option<&str>) = from_args(args)?;
            Ok(justified(text, method, width, fill)?.into())
        }
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}

fn invalid(problem: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem)
}

fn check_separator(separator: &str) -> Result<(), Error> {
    if separator.is_empty() { Err(invalid("empty separator")) } else { Ok(()) }
}

/// Without a separator, text is split at runs of white space; a negative number is no limit.
fn rsplit(text: &str, separator: Option<&str>, most: Option<i64>) -> Result<Value, Error> {
    let mut most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    let mut rest = if separator.is_none() { text.trim_end() } else { text };
    if let Some(separator) = separator {
        check_separator(separator)?;
    }
    while most > 0 {
        let found = match separator {
            Some(separator) => rest.rsplit_once(separator),
            None => rest.rsplit_once(char::is_whitespace).map(|(before, part)| (before.trim_end(), part)),
        };
        let Some((before, part)) = found else { break };
        parts.push(part);
        rest = before;
        most -= 1;
    }
    if separator.is_some() || !rest.is_empty() {
        parts.push(rest);
    }
    Ok(parts.into_iter().rev().collect())
}

/// Whether each run of letters begins with its only capital.
fn is_title(text: &str) -> bool {
    let mut follows_letter = false;
    let mut has_letter = false;
    for c in text.chars() {
        let is_letter = c.is_uppercase() || c.is_lowercase();
        if is_letter && c.is_uppercase() == follows_letter {
            return false;
        }
        has_letter |= is_letter;
        follows_letter = is_letter;
    }
    has_letter
}

fn justified(text: &str, method: &str, width: usize, fill: Option<&str>) -> Result<String, Error> {
    /// Longer lines are no text of a conversation.
    const MOST: usize = 1 << 16;
    let fill = fill.unwrap_or(if method == "zfill" { "0" } else { " " });
    if fill.chars().count() != 1 {
        return Err(invalid("the fill character must be exactly one character long"));
    }
    if width > MOST {
        return Err(invalid("the width is too large"));
    }
    let missing = width.saturating_sub(text.chars().count());
    let (before, after) = match method {
        "ljust" => (0, missing),
        // as CPython: the odd one is before the text in a line of odd length
        "center" => {
            let before = missing / 2 + (missing & width & 1);
            (before, missing - before)
        }
        _ => (missing, 0),
    };
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) if method == "zfill" => text.split_at(text.len() - digits.len()),
        Some(_) | None => ("", text),
    };
    Ok(format!("{sign}{}{digits}{}", fill.repeat(before), fill.repeat(after)))
}

#[cfg(test)]
mod tests {
    use minijinja::Environment;

    /// The expected texts are Python's.
    #[test]
    fn methods_give_what_python_gives() {
        let mut environment = Environment::new();
        environment.set_unknown_method_callback(super::call);
        for (expression, expected) in [
            ("'a.b.c'.rsplit('.', 1)", r#"["a.b", "c"]"#),
            ("'a.b.c'.rsplit('.')", r#"["a", "b", "c"]"#),
            ("'.'.rsplit('.')", r#"["", ""]"#),
            ("''.rsplit('.')", r#"[""]"#),
            ("''.rsplit()", "[]"),
            ("' a  b \\t c '.rsplit(none, 1)", r#"[" a  b", "c"]"#),
            ("' a  b '.rsplit(none, 0)", r#"[" a  b"]"#),
            ("' a b '.rsplit()", r#"["a", "b"]"#),
            ("'a b'.rsplit(none, -1)", r#"["a", "b"]"#),
            ("'model: x'.removeprefix('model: ')", "x"),
            ("'x'.removeprefix('y')", "x"),
            ("'x.py'.removesuffix('.py')", "x"),
            ("'k=v=w'.partition('=')", r#"["k", "=", "v=w"]"#),
            ("'k'.partition('=')", r#"["k", "", ""]"#),
            ("'k=v=w'.rpartition('=')", r#"["k=v", "=", "w"]"#),
            ("'k'.rpartition('=')", r#"["", "", "k"]"#),
            ("'äbcb'.index('b')", "1"),
            ("'äbcb'.rindex('b')", "3"),
            ("'Ab'.swapcase()", "aB"),
            ("'AB'.casefold()", "ab"),
            ("'12'.isdecimal()", "True"),
            ("''.isdecimal()", "False"),
            ("'Hello World'.istitle()", "True"),
            ("'HEllo'.istitle()", "False"),
            ("'-7'.zfill(4)", "-007"),
            ("'7'.zfill(3)", "007"),
            ("'ab'.ljust(4, '.')", "ab.."),
            ("'ab'.rjust(4)", "  ab"),
            ("'ab'.center(5, '.')", "..ab."),
            ("'abc'.center(6, '.')", ".abc.."),
            ("'a b'.split()", r#"["a", "b"]"#),
        ] {
            let text = environment.render_str(&format!("{{{{ {expression} }}}}"), ()).unwrap();
            assert_eq!(text, expected, "{expression}");
        }
        for (expression, problem) in [
            ("'a'.index('b')", "substring not found"),
            ("'a'.partition('')", "empty separator"),
            ("'a'.ljust(3, '..')", "exactly one character"),
            ("'a'.ljust(99999999999)", "too large"),
            ("'a'.frobnicate()", "unknown method"),
        ] {
            let error = environment.render_str(&format!("{{{{ {expression} }}}}"), ()).unwrap_err();
            assert!(error.to_string().contains(problem), "{expression}: {error}");
        }
    }
}
