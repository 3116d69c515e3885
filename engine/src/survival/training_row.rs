//! A row of a training set in chat form as a prompt.

use minijinja::value::{Value, ValueKind};

use super::prompt_set::PromptContent;
use crate::tokenizer::{Conversation, message};

/// What a row must have.
const ROW: &str = "give `messages`, `conversations`, `instruction` with or without `output`, `question` with or without `answer`, or `prompt` \
                   with or without `completion`, `response` or `chosen`";
/// What a message must have.
const MESSAGE: &str = "a message needs `role` and `content` (or `tool_calls`), or `from` and `value`";

pub(super) fn prompt(row: &Value) -> Result<PromptContent, String> {
    let (system, tools) = (text(row, "system")?.filter(|text| !text.trim().is_empty()), field(row, "tools"));
    let messages = match field(row, "messages").or_else(|| field(row, "conversations")) {
        Some(list) => messages(&list)?,
        None => {
            let (question, answer) = question_and_answer(row)?;
            if let (Some(text), None, None, None) = (question.as_str(), &answer, &system, &tools) {
                return Ok(PromptContent::Text(text.to_owned()));
            }
            let mut all = turns("user", &question)?;
            all.extend(answer.into_iter().flatten());
            all
        }
    };
    if messages.is_empty() {
        return Err(format!("has no messages: {ROW}"));
    }
    Ok(PromptContent::Chat(Conversation { messages: with_system(system, messages), tools }))
}

/// The text or messages of the user, and the messages of an answer if there is one.
fn question_and_answer(row: &Value) -> Result<(Value, Option<Vec<Value>>), String> {
    let answer = |name| field(row, name).map(|answer| turns("assistant", &answer)).transpose();
    if let Some(instruction) = text(row, "instruction")? {
        let input = text(row, "input")?.filter(|input| !input.trim().is_empty());
        let question = input.map_or_else(|| instruction.clone(), |input| format!("{instruction}\n{input}"));
        return Ok((question.into(), answer("output")?));
    }
    if let Some(question) = text(row, "question")? {
        return Ok((question.into(), answer("answer")?));
    }
    let Some(prompt) = field(row, "prompt") else { return Err(format!("has no prompt: {ROW}")) };
    let answer = match answer("completion")? {
        Some(completion) => Some(completion),
        None => match answer("response")? {
            Some(response) => Some(last_answer("response", response)?),
            None => answer("chosen")?.map(|chosen| last_answer("chosen", chosen)).transpose()?,
        },
    };
    Ok((prompt, answer))
}

/// The last of the messages of a field: lists of preference data may begin with the prompt.
fn last_answer(name: &str, mut messages: Vec<Value>) -> Result<Vec<Value>, String> {
    let last = messages.pop().filter(|last| has_role(last, &["assistant", "model"]));
    last.map(|last| vec![last])
        .ok_or_else(|| format!("`{name}` does not end with a message of the assistant"))
}

/// The messages after the system's, unless they have one of their own.
fn with_system(system: Option<String>, messages: Vec<Value>) -> Vec<Value> {
    let has_own = messages.first().is_some_and(|first| has_role(first, &["system", "developer"]));
    let system = system.filter(|_| !has_own).map(|text| message("system", &text));
    system.into_iter().chain(messages).collect()
}

fn has_role(message: &Value, roles: &[&str]) -> bool {
    field(message, "role").is_some_and(|role| role.as_str().is_some_and(|role| roles.contains(&role)))
}

/// One message of this role, if the value is a text; else the messages of a list.
fn turns(role: &str, value: &Value) -> Result<Vec<Value>, String> {
    value.as_str().map_or_else(|| messages(value), |text| Ok(vec![message(role, text.trim())]))
}

fn messages(list: &Value) -> Result<Vec<Value>, String> {
    let entries = list.try_iter().ok().filter(|_| list.kind() == ValueKind::Seq);
    let entries = entries.ok_or_else(|| format!("has no list of messages: {ROW}"))?;
    let numbered = |(number, entry): (usize, Value)| {
        chat_message(&entry).map_err(|problem| format!("message {number} {problem}"))
    };
    (1..).zip(entries).map(numbered).collect()
}

/// A message with `role` and `content`, also if it has `from` and `value` (ShareGPT).
fn chat_message(entry: &Value) -> Result<Value, String> {
    let has_no = |name: &str| format!("has no {name}: {MESSAGE}");
    let text = |name| field(entry, name).and_then(|value| value.as_str().map(str::to_owned));
    if field(entry, "role").is_none()
        && let Some(from) = text("from")
    {
        let value = text("value").ok_or_else(|| has_no("`value`"))?;
        return Ok(match role(&from)? {
            Speaker::Role(role) => message(role, &value),
            Speaker::Call => function_call(&value),
        });
    }
    let is_content = |value: &Value| value.as_str().is_some() || value.kind() == ValueKind::Seq;
    let is_list = |name| field(entry, name).is_some_and(|value| value.kind() == ValueKind::Seq);
    if text("role").is_none_or(|role| role.is_empty()) {
        Err(has_no("`role`"))
    } else if field(entry, "content").is_some_and(|content| is_content(&content)) || is_list("tool_calls") {
        Ok(entry.clone())
    } else {
        Err(has_no("`content`"))
    }
}

/// A ShareGPT speaker.
enum Speaker {
    Role(&'static str),
    /// The assistant, who calls a function.
    Call,
}

fn role(from: &str) -> Result<Speaker, String> {
    match from {
        "human" | "user" => Ok(Speaker::Role("user")),
        "gpt" | "chatgpt" | "bing" | "bard" | "assistant" | "model" => Ok(Speaker::Role("assistant")),
        "system" => Ok(Speaker::Role("system")),
        "tool" | "observation" | "function_response" => Ok(Speaker::Role("tool")),
        "function_call" => Ok(Speaker::Call),
        _ => Err(format!(
            "has an unknown `from`, {from:?}: give human or user, gpt, chatgpt, bing, bard, assistant or model, system, function_call, \
             or tool, observation or function_response"
        )),
    }
}

/// The call of a function whose name and arguments are JSON; another text is what the assistant says.
fn function_call(json: &str) -> Value {
    let call = serde_json::from_str::<Value>(json).ok().filter(|call| field(call, "name").is_some());
    let Some(call) = call else { return message("assistant", json) };
    let call: Value = [("type", Value::from("function")), ("function", call)].into_iter().collect();
    [
        ("role", Value::from("assistant")),
        ("content", Value::from("")),
        ("tool_calls", Value::from(vec![call])),
    ]
    .into_iter()
    .collect()
}

/// The text of a field, if the row has it.
fn text(row: &Value, name: &str) -> Result<Option<String>, String> {
    let Some(value) = field(row, name) else { return Ok(None) };
    value.as_str().map(|text| Some(text.to_owned())).ok_or_else(|| format!("`{name}` is not a text"))
}

fn field(entry: &Value, name: &str) -> Option<Value> {
    entry.get_attr(name).ok().filter(|value| !value.is_undefined() && !value.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `role:content` of each message, or the text.
    fn parsed(row: &str) -> Result<String, String> {
        let shown = |message: &Value| {
            let text = |name| field(message, name).map(|value| value.to_string()).unwrap_or_default();
            format!("{}:{}", text("role"), text("content"))
        };
        Ok(match prompt(&serde_json::from_str(row).unwrap())? {
            PromptContent::Text(text) => text,
            PromptContent::Chat(chat) => chat.messages.iter().map(shown).collect::<Vec<_>>().join("|"),
        })
    }

    #[test]
    fn rows_are_read_in_every_form() {
        for (row, expected) in [
            (
                r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#,
                "user:a|assistant:b",
            ),
            (
                r#"{"messages": [{"role": "user", "content": [{"type": "text"}]}]}"#,
                r#"user:[{"type": "text"}]"#,
            ),
            (r#"{"messages": [{"role": "assistant", "content": null, "tool_calls": [{}]}]}"#, "assistant:"),
            (
                r#"{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}"#,
                "user:a|assistant:b",
            ),
            (
                r#"{"system": "s", "conversations": [{"from": "user", "value": "a"}, {"from": "chatgpt", "value": "b"}]}"#,
                "system:s|user:a|assistant:b",
            ),
            (
                r#"{"system": "s", "messages": [{"role": "system", "content": "own"}, {"role": "user", "content": "a"}]}"#,
                "system:own|user:a",
            ),
            (r#"{"system": " ", "messages": [{"role": "user", "content": "a"}]}"#, "user:a"),
            (r#"{"prompt": "a"}"#, "a"),
            (r#"{"prompt": "a", "system": "s"}"#, "system:s|user:a"),
            (r#"{"prompt": "a", "tools": [{}]}"#, "user:a"),
            (r#"{"prompt": "a", "completion": " b"}"#, "user:a|assistant:b"),
            (r#"{"prompt": "a", "response": "b"}"#, "user:a|assistant:b"),
            (r#"{"prompt": "a", "chosen": "b", "rejected": "c"}"#, "user:a|assistant:b"),
            (
                r#"{"prompt": "a", "chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#,
                "user:a|assistant:b",
            ),
            (
                r#"{"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}"#,
                "user:a|assistant:b",
            ),
            (r#"{"instruction": "a", "input": "", "output": "b"}"#, "user:a|assistant:b"),
            (
                r#"{"instruction": "a", "input": "i", "output": "b", "system": "s"}"#,
                "system:s|user:a\ni|assistant:b",
            ),
            (r#"{"instruction": "a", "prompt": "whole", "input": "i"}"#, "a\ni"),
            (r#"{"question": "a", "answer": "b"}"#, "user:a|assistant:b"),
            (r#"{"question": "a"}"#, "a"),
        ] {
            assert_eq!(parsed(row).unwrap(), expected, "{row}");
        }
    }

    #[test]
    fn every_speaker_of_sharegpt_has_a_role() {
        for (names, role) in [
            ("human user", "user"),
            ("gpt chatgpt bing bard assistant model", "assistant"),
            ("system", "system"),
            ("tool observation function_response", "tool"),
        ] {
            for from in names.split(' ') {
                let row = format!(r#"{{"conversations": [{{"from": "{from}", "value": "a"}}]}}"#);
                assert_eq!(parsed(&row).unwrap(), format!("{role}:a"));
            }
        }
    }

    #[test]
    fn a_function_call_of_sharegpt_is_a_tool_call() {
        let row = |value: &str| {
            let turns = [("human", "a"), ("function_call", value), ("observation", "x")];
            let turns = turns.map(|(from, value)| serde_json::json!({"from": from, "value": value}));
            serde_json::json!({"conversations": turns}).to_string()
        };
        let call = row(r#"{"name": "f", "arguments": {"b": 1}}"#);
        let PromptContent::Chat(chat) = prompt(&serde_json::from_str(&call).unwrap()).unwrap() else {
            panic!()
        };
        let calls = serde_json::to_string(&chat.messages[1].get_attr("tool_calls").unwrap()).unwrap();
        assert_eq!(calls, r#"[{"type":"function","function":{"name":"f","arguments":{"b":1}}}]"#);
        assert_eq!(parsed(&row("words")).unwrap(), "user:a|assistant:words|tool:x");
    }

    #[test]
    fn a_row_without_a_prompt_is_refused_with_what_it_needs() {
        for (row, problem) in [
            (r#"{"text": "b"}"#, "has no prompt: give `messages`, `conversations`"),
            (r#"{"messages": 7}"#, "has no list of messages: give"),
            (r#"{"messages": "a"}"#, "has no list of messages: give"),
            (r#"{"messages": {"role": "user"}}"#, "has no list of messages: give"),
            (r#"{"messages": []}"#, "has no messages: give"),
            (r#"{"messages": [{"content": "a"}]}"#, "message 1 has no `role`: a message needs `role` and"),
            (r#"{"messages": [{"role": "", "content": "a"}]}"#, "message 1 has no `role`"),
            (
                r#"{"messages": [{"role": "user", "value": "hello"}]}"#,
                "message 1 has no `content`: a message needs",
            ),
            (
                r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": null}]}"#,
                "message 2 has no `content`",
            ),
            (r#"{"messages": [{"role": "user", "content": 7}]}"#, "message 1 has no `content`"),
            (r#"{"messages": ["a"]}"#, "message 1 has no `role`"),
            (r#"{"conversations": [{"from": "human", "content": "a"}]}"#, "message 1 has no `value`"),
            (
                r#"{"conversations": [{"from": "narrator", "value": "a"}]}"#,
                "\"narrator\": give human or user, gpt",
            ),
            (r#"{"prompt": "a", "chosen": []}"#, "`chosen` does not end with a message of the assistant"),
            (
                r#"{"prompt": "a", "response": [{"role": "user", "content": "a"}]}"#,
                "`response` does not end with",
            ),
            (r#"{"prompt": "a", "system": 7}"#, "`system` is not a text"),
            (r#"{"instruction": "a", "input": 7}"#, "`input` is not a text"),
            (r#"{"question": ["a"]}"#, "`question` is not a text"),
        ] {
            let error = parsed(row).unwrap_err();
            assert!(error.contains(problem), "{row}: {error}");
        }
    }
}
