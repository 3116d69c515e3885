//! Prompts as the chat template renders them, and those that are left out.

use super::*;

#[test]
fn prompts_and_answers_are_rendered_through_the_chat_template() {
    let inputs = Inputs::new();
    let model = inputs.model();
    let tokenizer = tokenizer(&model).unwrap();
    let encoder = PromptEncoder::new(&model, &tokenizer).unwrap();
    let prompts = PromptSet::parse("p", br#"{"prompt": "hi", "completion": "yes"}"#).unwrap();
    let encoded = encoder.encode(&prompts.file.unwrap()).unwrap().prompts.remove(0);
    let texts = crate::tokenizer::TextEncoder::new(&tokenizer);
    let ids = |text: &str| texts.encode(text).into_iter().map(|id| id as usize).collect::<Vec<_>>();
    assert_eq!(encoded.prompt, ids("<bos><start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n"));
    assert_eq!(encoded.answer, Some(ids("yes<end_of_turn>")));
    let text = PromptSet::parse("p", b"hi\n").unwrap().file.unwrap();
    let text = encoder.encode(&text).unwrap().prompts.remove(0);
    assert_eq!((&text.prompt, text.answer), (&encoded.prompt, None));
    assert!(encoder.answer_end().unwrap().stop_tokens.contains(&ids("<end_of_turn>")[0]));
}

#[test]
fn a_text_is_a_list_of_parts_for_a_template_that_takes_no_texts() {
    const PARTS: &str = "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ m.role }}\n{% for part in m.content %}\
        {{ part.text }}{% endfor %}<end_of_turn>\n{% endfor %}{{ '<start_of_turn>model\n' }}";
    let refusing = "{% if messages[0].content is string %}{{ raise_exception('no texts') }}{% endif %}"
        .to_owned()
        + PARTS;
    let failing = "{{ messages[0].content[0].text.strip()[:0] }}".to_owned() + PARTS;
    for template in [PARTS.to_owned(), refusing, failing] {
        let inputs = Inputs::new();
        std::fs::write(inputs.path("base/chat_template.jinja"), &template).unwrap();
        let model = inputs.model();
        let tokenizer = tokenizer(&model).unwrap();
        let encoder = PromptEncoder::new(&model, &tokenizer).unwrap();
        let prompts = PromptSet::parse("p", b"who are you?\n").unwrap().file.unwrap();
        let encoded = encoder.encode(&prompts).unwrap().prompts.remove(0);
        let texts = crate::tokenizer::TextEncoder::new(&tokenizer);
        let expected = "<bos><start_of_turn>user\nwho are you?<end_of_turn>\n<start_of_turn>model\n";
        let expected: Vec<_> = texts.encode(expected).into_iter().map(|id| id as usize).collect();
        assert_eq!(encoded.prompt, expected, "{template}");
    }
}

#[test]
fn a_prompt_that_is_too_long_gives_its_place_to_the_next() {
    let inputs = Inputs::new();
    let model = inputs.model();
    let tokenizer = tokenizer(&model).unwrap();
    let encoder = PromptEncoder::new(&model, &tokenizer).unwrap();
    let long = "the capital ".repeat(600);
    let text: String =
        (0..32).map(|n| if n % 2 == 0 { format!("{long}\n") } else { format!("{n}\n") }).collect();
    let prompts = PromptSet::parse("p", text.as_bytes()).unwrap();
    let encoded = encoder.encode(&prompts.file.unwrap()).unwrap();
    let too_long = LeftOut { count: 16, first: "line 1: its length is not 1 to 512 tokens".to_owned() };
    assert_eq!(encoded.left_out, Some(too_long));
    let shown: Vec<_> = encoded.prompts.into_iter().map(|prompt| prompt.shown).collect();
    assert_eq!(shown, (0..16).map(|n| (2 * n + 1).to_string()).collect::<Vec<_>>());
}

#[test]
fn a_conversation_that_the_template_refuses_gives_its_place_to_the_next() {
    let inputs = Inputs::new();
    let refuses =
        "{% if messages[0].role != 'user' %}{{ raise_exception('roles must alternate') }}{% endif %}";
    let template = inputs.path("base/chat_template.jinja");
    let text =
        format!("{refuses}<bos>{{% for m in messages %}}{{{{ m.content }}}}<end_of_turn>{{% endfor %}}");
    std::fs::write(template, text).unwrap();
    let row = |role: &str, content: &str| {
        format!("{{\"messages\": [{{\"role\": \"{role}\", \"content\": \"{content}\"}}]}}\n")
    };
    let rows: String =
        (0..32).map(|n| row(if n % 2 == 0 { "tool" } else { "user" }, &n.to_string())).collect();
    let (model, tokenizer) = (inputs.model(), tokenizer(&inputs.model()).unwrap());
    let encoder = PromptEncoder::new(&model, &tokenizer).unwrap();
    let encoded = encoder.encode(&PromptSet::parse("p", rows.as_bytes()).unwrap().file.unwrap()).unwrap();
    let first = "line 1: the model's chat template does not render it: roles must alternate".to_owned();
    assert_eq!(encoded.left_out, Some(LeftOut { count: 16, first: first.clone() }));
    let shown: Vec<_> = encoded.prompts.into_iter().map(|prompt| prompt.shown).collect();
    assert_eq!(shown, (0..16).map(|n| (2 * n + 1).to_string()).collect::<Vec<_>>());
    // with a byte order mark, as in a prompts file
    let rows = format!("\u{feff}{}", rows.repeat(20));
    assert!(is_training_set("p", rows.as_bytes()));
    let (tokens, left_out) = training_set_tokens(&model, &tokenizer, ("p", rows.as_bytes()), 100).unwrap();
    assert!((100..110).contains(&tokens.len()), "{}", tokens.len());
    let left_out = left_out.unwrap();
    assert!(left_out.first == first && left_out.count > 10, "{left_out:?}");
    let only_refused = format!("\n{}", row("tool", "hi"));
    let error = training_set_tokens(&model, &tokenizer, ("p", only_refused.as_bytes()), 100).unwrap_err();
    let expected = "p: line 2: the model's chat template does not render it: roles must alternate: correct";
    assert!(error.to_string().contains(expected), "{error}");
}

/// Refuses messages as the template of Gemma does.
const ALTERNATING: &str = "{{ bos_token }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\
    {{ raise_exception('Conversation roles must alternate') }}{% endif %}{{ m.role }} {{ m.content }}<end_of_turn>{% endfor %}";

#[test]
fn prompts_that_cannot_be_rendered_are_refused_with_file_and_line() {
    let user = r#"{"role": "user", "content": "a"}"#;
    for (messages, problem) in [
        (format!("{user}, {user}"), "does not render it: Conversation roles must alternate"),
        (
            r#"{"role": "assistant", "content": "a"}"#.to_owned(),
            "its only message is an answer: begin it with",
        ),
        (
            r#"{"role": "assistant", "tool_calls": [{}]}, {"role": "tool", "content": "a"}"#.to_owned(),
            "does not render it: ",
        ),
    ] {
        let inputs = Inputs::new();
        std::fs::write(inputs.path("base/chat_template.jinja"), ALTERNATING).unwrap();
        let rows = format!("\n{{\"messages\": [{messages}]}}");
        let prompts = PromptSet::parse("p.jsonl", rows.as_bytes()).unwrap();
        let error = survival_cost(&inputs.model(), &prompts).unwrap_err().to_string();
        assert!(error.starts_with("p.jsonl: line 2: ") && error.contains(problem), "{error}");
        let mixed = format!("{{\"prompt\": \"hi\"}}\n{rows}");
        let prompts = PromptSet::parse("p.jsonl", mixed.as_bytes()).unwrap();
        let base = ExportedModel::Merged(inputs.base());
        let used = inputs.survival(base, &prompts).prompts;
        let left_out = used.left_out.unwrap();
        assert_eq!((used.available, used.used, left_out.count), (2, 1, 1));
        assert!(left_out.first.starts_with("line 3: "), "{left_out:?}");
        let (_, left_out_of_check) =
            measure_turn_end(&inputs.model(), &prompts, &RunOptions::default()).unwrap();
        assert_eq!(left_out_of_check, Some(left_out));
    }
}

/// As in the training sets of people who fine-tune on images.
#[test]
fn parts_that_are_not_texts_are_not_read_as_if_they_were_not_there() {
    let text = r#"{"type": "text", "text": "who is"}"#;
    let (untyped, bare) = (r#"{"text": " this"}"#, r#"" then""#);
    let ask = |parts: &[&str]| {
        let rows = format!(r#"{{"messages": [{{"role": "user", "content": [{}]}}]}}"#, parts.join(", "));
        PromptSet::parse("p.jsonl", rows.as_bytes()).unwrap()
    };
    let inputs = Inputs::new();
    for (part, kind) in [
        (r#"{"type": "image"}"#, "image"),
        (r#"{"type": "image_url", "image_url": {"url": "x"}}"#, "image_url"),
        (r#"{"type": "audio", "text": null}"#, "audio"),
        (r#"{"image": "x"}"#, "none"),
    ] {
        let prompts = ask(&[part, text]);
        let error = survival_cost(&inputs.model(), &prompts).unwrap_err().to_string();
        let expected = format!(
            "p.jsonl: line 1: message 1 has a part of type `{kind}`, and only text is measured: give prompts of text alone"
        );
        assert_eq!(error, expected);
    }
    const PARTS: &str = "{{ bos_token }}{% for m in messages %}{% for part in m.content %}\
        {{ part if part is string else part.text }}{% endfor %}{% endfor %}";
    std::fs::write(inputs.path("base/chat_template.jinja"), PARTS).unwrap();
    let (model, tokenizer) = (inputs.model(), tokenizer(&inputs.model()).unwrap());
    let encoder = PromptEncoder::new(&model, &tokenizer).unwrap();
    let encoded = encoder.encode(&ask(&[text, untyped, bare]).file.unwrap()).unwrap().prompts.remove(0);
    assert_eq!(encoded.shown, "who is this then");
}

#[test]
fn a_template_that_renders_nothing_or_fails_is_an_error() {
    for (template, problem) in [
        ("{{ '' }}", "none of the prompts has 1 to 512 tokens"),
        (
            "{{ raise_exception('no such role') }}",
            "p: line 1: the model's chat template does not render it: no such role: correct",
        ),
    ] {
        let inputs = Inputs::new();
        std::fs::write(inputs.path("adapter/chat_template.jinja"), template).unwrap();
        let prompts = PromptSet::parse("p", b"hi\n").unwrap();
        let error = measure_survival(&inputs.model(), &[], &prompts, &RunOptions::default()).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }
}
