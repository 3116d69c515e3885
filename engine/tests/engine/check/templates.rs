//! Chat templates with one fault each, and ones that look as if they had it.

use super::*;

const MODEL_TURN: &str = "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}";
/// Turns, and tools with their calls and results.
const TOOLS: &str = "{{ bos_token }}{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}\
                     <start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}\
                     {% for call in m.tool_calls or [] %}{{ call.function | tojson }}{% endfor %}<end_of_turn>\n{% endfor %}\
                     {% if add_generation_prompt %}<start_of_turn>model\n{% endif %}";

/// The codes and messages of a Gemma 3 model with a template.
fn findings(fixture: &str, template: &str) -> Vec<Finding> {
    let folders = Folders::of(fixture);
    let part = if folders.path("adapter").exists() { "adapter" } else { "base" };
    fs::write(folders.path(part).join("chat_template.jinja"), template).unwrap();
    folders.findings()
}

fn find(template: &str, code: &str) -> Option<Finding> {
    findings("gemma3-micro", template).into_iter().find(|finding| finding.code == code)
}

#[test]
fn each_fault_of_a_template_is_named() {
    let cases: [(&str, Severity, Break); 13] = [
        ("no_bos_in_template", Severity::Warning, |f| f.template(&TURNS.replace("{{ bos_token }}", ""))),
        ("bos_twice", Severity::Warning, |f| f.template(&format!("{{{{ bos_token }}}}{TURNS}"))),
        ("bos_twice", Severity::Warning, |f| {
            f.template(&TURNS.replace("<start_of_turn>{{", "<bos><start_of_turn>{{"));
        }),
        ("template_token_unknown", Severity::Error, |f| {
            f.template(&TURNS.replace("<start_of_turn>", "<start_of_message>"));
        }),
        ("template_token_unknown", Severity::Error, |f| {
            f.template(&TURNS.replace("<end_of_turn>", "<end_of_turn></s>"));
        }),
        ("template_token_unknown", Severity::Error, |f| {
            f.template(&TURNS.replace("<start_of_turn>", "<\u{ff5c}turn\u{ff5c}>"));
        }),
        ("template_refuses", Severity::Warning, |f| f.template("{{ raise_exception('no') }}")),
        ("template_refuses", Severity::Warning, |f| {
            f.template(&format!(
                "{{% if messages|length > 1 %}}{{{{ raise_exception('one') }}}}{{% endif %}}{TURNS}"
            ));
        }),
        ("generation_prompt_differs", Severity::Warning, |f| {
            f.template(&TURNS.replace(MODEL_TURN, &MODEL_TURN.replace("model", "assistant")));
        }),
        ("generation_prompt_differs", Severity::Warning, |f| {
            f.template(&TURNS.replace(MODEL_TURN, &MODEL_TURN.replace("model\n", "model")));
        }),
        ("generation_prompt_differs", Severity::Warning, |f| {
            f.template(&TURNS.replace(MODEL_TURN, &MODEL_TURN.replace("model\n", "model\n{{ ' ' }}")));
        }),
        ("generation_prompt_ends", Severity::Warning, |f| {
            f.template(&TURNS.replace(MODEL_TURN, &MODEL_TURN.replace("model\n", "model\n<end_of_turn>\n")));
        }),
        ("generation_prompt_ends", Severity::Warning, |f| {
            f.template(&TURNS.replace(MODEL_TURN, &MODEL_TURN.replace("<start", "<end_of_turn>\n<start")));
        }),
    ];
    assert!(TURNS.contains(MODEL_TURN));
    assert_named(cases);
}

#[test]
fn tags_may_be_several_tokens() {
    for tag in ["<think>", "<reasoning>", "</tools>", "<tool_call>", "<b>"] {
        let template = TURNS.replace("{{ m.content }}", &format!("{tag}{{{{ m.content }}}}"));
        assert_eq!(find(&template, "template_token_unknown"), None, "{tag}");
    }
}

#[test]
fn content_that_a_template_takes_as_parts_only_is_given_as_parts() {
    let parts =
        "{% if m.content is string %}{{ raise_exception('parts only') }}{% endif %}{{ m.content[0].text }}";
    let of_questions =
        format!("{{% if m.role == 'user' %}}{parts}{{% else %}}{{{{ m.content + '' }}}}{{% endif %}}");
    for content in [parts, &of_questions] {
        let template = TURNS.replace("{{ m.content }}", content);
        for fixture in ["gemma3-micro", "families/gemma3-vision"] {
            let found = findings(fixture, &template);
            assert!(found.iter().all(|finding| finding.severity == Severity::Note), "{found:?}");
        }
    }
}

/// As TranslateGemma does.
#[test]
fn a_template_that_asks_for_further_fields_is_no_fault_of_the_template() {
    let content = "{% if m.content is string or not m.content[0].source_lang_code %}\
                   {{ raise_exception('content needs source_lang_code') }}{% endif %}";
    let found = find(&TURNS.replace("{{ m.content }}", content), "template_refuses").unwrap();
    assert_eq!(found.message, "the chat template refuses a question: content needs source_lang_code");
    let of_engine = "{% if m.content is string %}{{ raise_exception('parts only') }}{% endif %}{{ {}[m.content[0].lang] + '' }}";
    let found = find(&TURNS.replace("{{ m.content }}", of_engine), "template_refuses").unwrap();
    assert_eq!(found.message, "the chat template refuses a question: parts only");
}

#[test]
fn an_answer_may_begin_or_be_kept_with_other_thinking() {
    let empty = "<think>\n\n</think>\n\n";
    let in_history = |thinking: &str| {
        TURNS.replace(
            "{{ m.content }}",
            &format!("{{% if m.role == 'assistant' %}}{thinking}{{% endif %}}{{{{ m.content }}}}"),
        )
    };
    let in_last = format!("{{% if loop.last %}}{empty}{{% endif %}}");
    let goes_on = |template: &str, thinking: &str| {
        template.replace(MODEL_TURN, &MODEL_TURN.replace("model\n", &format!("model\n{thinking}")))
    };
    for template in [
        goes_on(TURNS, "<think>\n"),
        goes_on(TURNS, empty),
        in_history(empty),
        in_history(&in_last),
        goes_on(&in_history(&in_last), "<think>\n"),
        goes_on(&in_history(empty), empty),
    ] {
        let found = findings("gemma3-micro", &template);
        assert!(found.iter().all(|finding| finding.severity == Severity::Note), "{template}: {found:?}");
    }
}

#[test]
fn a_multimodal_model_takes_content_as_parts() {
    let parts = "{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}";
    let faults = [
        (parts, None),
        ("{{ m.content }}", Some("prints")),
        ("{{ m.content | tojson }}", Some("prints")),
        ("{{ m.content + '' }}", Some("fails")),
        ("{% if m.content is string %}{{ m.content }}{% endif %}", Some("leaves out")),
    ];
    for (content, fault) in faults {
        let template = TURNS.replace("{{ m.content }}", content);
        let found = findings("families/gemma3-vision", &template);
        let found = found.iter().find(|finding| finding.code == "no_content_parts");
        assert_eq!(found.map(|finding| finding.severity), fault.map(|_| Severity::Warning), "{content}");
        assert!(fault.is_none_or(|fault| found.unwrap().message.contains(fault)), "{found:?}");
        assert_eq!(find(&template, "no_content_parts"), None, "a model without encoders");
    }
}

#[test]
fn tools_their_calls_and_their_results_are_rendered() {
    let of_json = TOOLS.replace("call.function | tojson", "call.function.name + call.function.arguments");
    let of_object = TOOLS.replace(
        "{{ m.content }}",
        "{% if m.role == 'tool' %}{{ m.content.response | tojson }}{% else %}{{ m.content }}{% endif %}",
    );
    for template in [TOOLS, &of_json, &of_object] {
        assert_eq!(find(template, "no_tool_calls"), None, "{template}");
    }
    for (template, fault) in [
        (TURNS.to_owned(), "renders no tool calls"),
        (TOOLS.replace("m.tool_calls or []", "[]"), "leaves out the calls"),
        (TOOLS.replace("in messages %}", "in messages if m.role != 'tool' %}"), "leaves out their results"),
    ] {
        let found = find(&template, "no_tool_calls").unwrap();
        assert_eq!(found.severity, Severity::Note);
        assert!(found.message.contains(fault), "{found:?}");
    }
}
