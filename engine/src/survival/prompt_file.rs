//! Files of prompts: a text with one a line, or a training set as JSON Lines or as a JSON list.

use minijinja::value::{Value, ValueKind};
use serde::de::IgnoredAny;

use super::prompt_set::{Position, Prompt, PromptContent};
use super::training_row;
use crate::error::{Error, Result};

/// What a file that is not JSON must be.
const REMEDY: &str = "give JSON Lines or a JSON list of objects with `messages`, `conversations`, `instruction`, `question` or `prompt`, or a \
                      text whose name does not end in .json or .jsonl";

enum FileForm {
    Text,
    JsonLines,
    JsonList,
}

/// All prompts of a file.
pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<Vec<Prompt>> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::invalid(file, "is not UTF-8 text"))?;
    let text = without_byte_order_mark(text);
    let prompts = match form(file, text) {
        FileForm::Text => Ok(lines(text).map(text_prompt).collect()),
        FileForm::JsonLines => json_lines(text),
        FileForm::JsonList => json_list(text),
    };
    let prompts: Vec<_> = prompts.map_err(|problem: String| Error::invalid(file, problem))?;
    match prompts.is_empty() {
        true => Err(Error::invalid(file, "has no prompts")),
        false => Ok(prompts),
    }
}

/// Whether a file is a training set, not a text.
pub(crate) fn is_training_set(file: &str, bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .is_ok_and(|text| !matches!(form(file, without_byte_order_mark(text)), FileForm::Text))
}

fn without_byte_order_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The form of a text without byte order mark. `[edit]`, `[1] a note` and `{name}, hello` are text.
fn form(file: &str, text: &str) -> FileForm {
    let Some(first) = lines(text).next().map(|(_, line)| line.trim()) else { return FileForm::Text };
    let lower = file.to_lowercase();
    let is_named_json = [".json", ".jsonl"].iter().any(|end| lower.ends_with(end));
    let is_json = |is_row: fn(&Value) -> bool| serde_json::from_str(first).is_ok_and(|value| is_row(&value));
    if first.starts_with('[') && (is_named_json || begins_list_of_objects(text) || is_json(is_list_of_rows)) {
        FileForm::JsonList
    } else if is_named_json || is_json(is_object) {
        FileForm::JsonLines
    } else {
        FileForm::Text
    }
}

/// Whether a text begins with `[{"`, whose first line need not be JSON by itself.
fn begins_list_of_objects(text: &str) -> bool {
    let rest = text.trim_start().strip_prefix('[').and_then(|rest| rest.trim_start().strip_prefix('{'));
    rest.is_some_and(|rest| rest.trim_start().starts_with('"'))
}

fn is_object(value: &Value) -> bool {
    value.kind() == ValueKind::Map
}

fn is_list_of_rows(value: &Value) -> bool {
    let first = value.get_item_by_index(0);
    first.is_ok_and(|first| matches!(first.kind(), ValueKind::Map | ValueKind::String))
}

/// The lines that are not blank, and their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty())
}

fn text_prompt((number, line): (usize, &str)) -> Prompt {
    let content = PromptContent::Text(line.trim().to_owned());
    Prompt { position: Position::Line(number), content }
}

/// An object a line, or objects over several lines each.
fn json_lines(text: &str) -> Result<Vec<Prompt>, String> {
    let begins_with_a_line = lines(text).next().is_some_and(|(_, line)| is_json(line));
    let objects =
        || serde_json::Deserializer::from_str(text).into_iter::<Value>().collect::<Result<Vec<_>, _>>();
    if !begins_with_a_line && let Ok(rows) = objects() {
        return entries(&rows);
    }
    lines(text).map(json_line).collect()
}

fn is_json(line: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(line).is_ok()
}

fn entries(rows: &[Value]) -> Result<Vec<Prompt>, String> {
    (1..).zip(rows).map(|(number, row)| prompt(Position::Entry(number), row)).collect()
}

fn json_line((number, line): (usize, &str)) -> Result<Prompt, String> {
    let row = serde_json::from_str(line).map_err(|error| invalid_json(number, line, &error))?;
    prompt(Position::Line(number), &row)
}

fn json_list(text: &str) -> Result<Vec<Prompt>, String> {
    let rows: Vec<Value> = serde_json::from_str(text).map_err(|error| {
        let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
        invalid_json(error.line(), line, &error)
    })?;
    entries(&rows)
}

fn prompt(position: Position, row: &Value) -> Result<Prompt, String> {
    let content = training_row::prompt(row).map_err(|problem| format!("{position}: {problem}"))?;
    Ok(Prompt { position, content })
}

/// The error in a line of a file. Its column is counted in characters.
fn invalid_json(number: usize, line: &str, error: &serde_json::Error) -> String {
    let column = line.char_indices().take_while(|(at, _)| *at < error.column()).count().max(1);
    let problem = error.to_string();
    let end = format!(" at line {} column {}", error.line(), error.column());
    let problem = problem.strip_suffix(&end).unwrap_or(&problem);
    format!("line {number}, column {column}: invalid JSON: {problem}: {REMEDY}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"prompt": "a"}"#;

    #[test]
    fn a_bad_line_is_named_as_editors_count_it() {
        let bad_end = format!("{ROW}\n\n \n{ROW}\r\n\n{{\"prompt\": \"é\" x}}\n");
        let no_prompt = format!("\n{ROW}\n\n{{\"text\": 1}}");
        for (text, problem) in [
            ("\n \n", "has no prompts"),
            (&bad_end, "p.jsonl: line 6, column 16: invalid JSON: expected `,` or `}`: give JSON Lines"),
            (&no_prompt, "p.jsonl: line 4: has no prompt"),
            ("{", "line 1, column 1: invalid JSON: EOF while parsing an object: give"),
            (
                "[{\"prompt\": \"a\"},\n\n {\"prompt\"}]",
                "line 3, column 11: invalid JSON: expected `:`: give",
            ),
            ("[{\"prompt\": \"a\"},\n7]", "entry 2: has no prompt"),
            ("[1]", "entry 1: has no prompt"),
        ] {
            let error = parse("p.jsonl", text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(problem) && !error.contains("at line"), "{text}: {error}");
        }
    }

    #[test]
    fn objects_may_have_several_lines_each() {
        let row = "{\n  \"prompt\": \"a\"\n}\n";
        for (text, count) in
            [(row.to_owned(), 1), (format!("{row}{row}"), 2), (format!("\n{row}\n\n{row}"), 2)]
        {
            let prompts = parse("p.json", text.as_bytes()).unwrap();
            assert!(
                prompts.len() == count
                    && prompts.iter().all(|p| p.position.to_string().starts_with("entry "))
            );
        }
        let error = parse("p.json", format!("{row}{{\n\"text\": 1}}").as_bytes()).unwrap_err().to_string();
        assert!(error.contains("p.json: entry 2: has no prompt"), "{error}");
        let error = parse("p.json", b"{\n \"prompt\": \"a\",\n}").unwrap_err().to_string();
        assert!(error.contains("line 1, column 1: invalid JSON"), "{error}");
    }

    #[test]
    fn a_text_may_begin_with_a_bracket() {
        for text in [
            "[Context] what is it?\nand this?",
            "{name}, hello",
            "[edit]\nA section",
            "{{ name }} is a template",
            "[1] a note",
            "[1]",
            "{\n",
            "[",
            "\"quoted\"",
            "plain",
        ] {
            assert!(!is_training_set("p.txt", text.as_bytes()), "{text}");
            let prompts = parse("p.txt", text.as_bytes()).unwrap();
            assert_eq!(prompts.len(), text.lines().count(), "{text}");
            assert!(prompts.iter().all(|prompt| matches!(prompt.content, PromptContent::Text(_))), "{text}");
            for name in ["p.json", "dir/P.JSONL"] {
                assert!(is_training_set(name, text.as_bytes()), "{text}");
                let error = parse(name, text.as_bytes()).unwrap_err().to_string();
                assert!(error.contains("`messages`, `conversations`"), "{text}: {error}");
            }
        }
        for rows in [
            ROW.to_owned(),
            format!("\n\n{ROW}\nbroken"),
            format!("[\n {ROW}]"),
            format!("\u{feff} {ROW}"),
            "[{\"broken".to_owned(),
            "[\"a\", \"b\"]".to_owned(),
        ] {
            assert!(is_training_set("p.txt", rows.as_bytes()), "{rows}");
        }
        assert!(!is_training_set("p.json", b"\n"), "nothing");
    }
}
