//! Methods of Python's strings that templates may call, besides those of `minijinja_contrib::pycompat`.

use minijinja::value::{Kwargs, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat;

/// Calls a method of a value.
pub(super) fn call(
    state: &State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let own = match value.as_str() {
        Some(text) => of_text(text, method, args),
        None => of_container(value, method, args),
    };
    match own {
        Err(error) if error.kind() == ErrorKind::UnknownMethod => {
            pycompat::unknown_method_callback(state, value, method, args)
        }
        result => result,
    }
}

fn of_container(value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match (method, value.kind()) {
        ("copy", ValueKind::Seq | ValueKind::Map) => from_args::<()>(args).map(|()| value.clone()),
        ("index", ValueKind::Seq) => {
            let (item,): (Value,) = from_args(args)?;
            let position = value.try_iter()?.position(|other| other == item);
            position.map(Value::from).ok_or_else(|| invalid("the value is not in the list"))
        }
        _ => Err(ErrorKind::UnknownMethod.into()),
    }
}

/// Arguments by position, or by name.
fn arguments<const N: usize>(args: &[Value], names: [&str; N]) -> Result<[Option<Value>; N], Error> {
    let (by_position, named) = match args.split_last() {
        Some((last, before)) if last.is_kwargs() => (before, Some(Kwargs::try_from(last.clone())?)),
        Some(_) | None => (args, None),
    };
    if by_position.len() > N {
        return Err(ErrorKind::TooManyArguments.into());
    }
    let mut found = [const { None }; N];
    for (number, (slot, name)) in found.iter_mut().zip(names).enumerate() {
        *slot = by_position.get(number).cloned();
        if let (None, Some(named)) = (&slot, &named) {
            *slot = named.get(name)?;
        }
    }
    named.map_or(Ok(()), |named| named.assert_all_used())?;
    Ok(found.map(|value| value.filter(|value| !value.is_none())))
}

/// The part of a text between two positions in characters, of which negative ones count from its end, and where it begins. `None`
/// if it would begin behind its end.
fn slice(text: &str, start: Option<Value>, end: Option<Value>) -> Result<Option<(&str, usize)>, Error> {
    let length = text.chars().count();
    let position = |value: Option<Value>, default: usize| {
        let position = value.map_or(Ok(default as i64), i64::try_from)?;
        let from_start = if position < 0 { (position + length as i64).max(0) } else { position };
        Ok::<_, Error>(from_start as usize)
    };
    let (start, end) = (position(start, 0)?, position(end, length)?.min(length));
    let at = |characters: usize| text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at);
    Ok((start <= end).then(|| (&text[at(start)..at(end)], start)))
}

/// Python's searches in a text, whose positions are in characters.
fn search(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let [what, start, end] = arguments(args, ["sub", "start", "end"])?;
    let what = what.ok_or(ErrorKind::MissingArgument)?;
    let slice = slice(text, start, end)?;
    if method == "startswith" || method == "endswith" {
        let affixes = if what.as_str().is_some() { vec![what] } else { what.try_iter()?.collect() };
        let has = |affix: &Value| match (affix.as_str(), slice) {
            (Some(affix), Some((part, _))) if method == "startswith" => part.starts_with(affix),
            (Some(affix), Some((part, _))) => part.ends_with(affix),
            (Some(_) | None, _) => false,
        };
        return Ok(affixes.iter().any(has).into());
    }
    let what = what.as_str().ok_or_else(|| invalid("must be a text"))?;
    if method == "count" {
        let count = |(part, _): (&str, usize)| match what.is_empty() {
            true => part.chars().count() + 1,
            false => part.matches(what).count(),
        };
        return Ok(slice.map_or(0, count).into());
    }
    let found = slice.and_then(|(part, start)| {
        let at = if method.starts_with('r') { part.rfind(what) } else { part.find(what) };
        at.map(|bytes| start + part[..bytes].chars().count())
    });
    match found {
        Some(position) => Ok(position.into()),
        None if method.ends_with("find") => Ok((-1).into()),
        None => Err(invalid("substring not found")),
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
        "split" | "rsplit" => {
            let [separator, most] = arguments(args, ["sep", "maxsplit"])?;
            let most = most.map(i64::try_from).transpose()?.and_then(|most| usize::try_from(most).ok());
            let separator =
                separator.as_ref().map(|value| value.as_str().ok_or_else(|| invalid("sep must be a text")));
            split(text, separator.transpose()?, most.unwrap_or(usize::MAX), method == "rsplit")
        }
        "find" | "rfind" | "index" | "rindex" | "count" | "startswith" | "endswith" => {
            search(text, method, args)
        }
        "casefold" => Ok(text.to_lowercase().replace('ß', "ss").into()),
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

/// Without a separator, text is split at runs of white space.
fn split(text: &str, separator: Option<&str>, most: usize, from_end: bool) -> Result<Value, Error> {
    if let Some(separator) = separator {
        check_separator(separator)?;
    }
    let mut parts = Vec::new();
    let mut rest = match (separator, from_end) {
        (Some(_), _) => text,
        (None, true) => text.trim_end(),
        (None, false) => text.trim_start(),
    };
    while parts.len() < most {
        let found = match (separator, from_end) {
            (Some(separator), true) => rest.rsplit_once(separator).map(|(rest, part)| (part, rest)),
            (Some(separator), false) => rest.split_once(separator),
            (None, true) => rest.rsplit_once(char::is_whitespace).map(|(rest, part)| (part, rest.trim_end())),
            (None, false) => {
                rest.split_once(char::is_whitespace).map(|(part, rest)| (part, rest.trim_start()))
            }
        };
        let Some((part, others)) = found else { break };
        parts.push(part);
        rest = others;
    }
    if separator.is_some() || !rest.is_empty() {
        parts.push(rest);
    }
    if from_end {
        parts.reverse();
    }
    Ok(parts.into_iter().collect())
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
            ("' a  b  '.split(none, 1)", r#"["a", "b  "]"#),
            ("'a</think>b</think>c'.split('</think>', maxsplit=1)[-1]", "b</think>c"),
            ("'a,b,c'.rsplit(sep=',', maxsplit=1)", r#"["a,b", "c"]"#),
            ("'äbcb'.find('b', 2)", "3"),
            ("'äbcb'.rfind('b', 0, -1)", "1"),
            ("'äbcb'.find('z')", "-1"),
            ("'abc'.find('', 9)", "-1"),
            ("'äbcb'.count('b', 2)", "1"),
            ("'ab'.count('')", "3"),
            ("'äbc'.startswith('b', 1)", "True"),
            ("'äbc'.endswith(('x', 'c'))", "True"),
            ("'äbc'.endswith('b', 0, -1)", "True"),
            ("['a', 'b'].index('b')", "1"),
            ("['a'].copy()", r#"["a"]"#),
        ] {
            let text = environment.render_str(&format!("{{{{ {expression} }}}}"), ()).unwrap();
            assert_eq!(text, expected, "{expression}");
        }
        for (expression, problem) in [
            ("'a'.split(limit=1)", "unknown keyword argument"),
            ("['a'].index('b')", "not in the list"),
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
