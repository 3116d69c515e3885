//! A tool, its call and its result.

use minijinja::Value;
use serde_json::json;

use super::probe::QUESTION;
use crate::check::{Finding, Severity};
use crate::tokenizer::{ChatRenderer, Conversation};

const FUNCTION: &str = "function_4a8c";
const ARGUMENT: &str = "Argument-3b61";
const RESULT: &str = "Result-8e24";

pub(super) fn check(renderer: &ChatRenderer) -> Option<Finding> {
    let rendered: Vec<String> =
        conversations().filter_map(|conversation| renderer.render(&conversation, true).ok()).collect();
    if rendered.iter().any(|text| [FUNCTION, ARGUMENT, RESULT].iter().all(|part| text.contains(part))) {
        return None;
    }
    let first = rendered.first().map_or("", String::as_str);
    let message = match (first.contains(FUNCTION), first.contains(ARGUMENT)) {
        (false, _) => "the chat template renders no tool calls: programs cannot offer tools to the model",
        (true, false) => "the chat template lists tools, and leaves out the calls in a conversation",
        (true, true) => "the chat template renders tool calls, and leaves out their results",
    };
    let remedy = "if it was trained on tool calls, add the template of the training to the adapter's folder";
    Some(Finding::new(Severity::Note, "no_tool_calls", message, remedy))
}

/// The same conversation in the forms that templates take: arguments as an object or its JSON, a result as a text or an object.
fn conversations() -> impl Iterator<Item = Conversation> {
    let arguments = json!({"city": ARGUMENT});
    let results = [json!(RESULT), json!({"name": FUNCTION, "response": {"weather": RESULT}})];
    let arguments = [arguments.clone(), json!(arguments.to_string())];
    results
        .into_iter()
        .flat_map(move |result| arguments.clone().map(|arguments| conversation(&arguments, &result)))
}

fn conversation(arguments: &serde_json::Value, result: &serde_json::Value) -> Conversation {
    const ID: &str = "call00001";
    let parameters =
        json!({"type": "object", "properties": {"city": {"type": "string", "description": "A city"}}});
    let function = json!({"name": FUNCTION, "description": "Weather", "parameters": parameters});
    let call = json!({"id": ID, "type": "function", "function": {"name": FUNCTION, "arguments": arguments}});
    let messages = [
        json!({"role": "user", "content": QUESTION}),
        json!({"role": "assistant", "content": "", "tool_calls": [call]}),
        json!({"role": "tool", "name": FUNCTION, "tool_call_id": ID, "content": result}),
    ];
    Conversation {
        messages: messages.iter().map(Value::from_serialize).collect(),
        tools: Some(Value::from_serialize(json!([{"type": "function", "function": function}]))),
    }
}
