//! The probability of the token that ends a turn.

use super::encoding::EncodedPrompt;
use super::*;
use crate::check::Severity;

#[test]
fn answers_without_an_end_are_a_finding_of_their_own() {
    let model = Inputs::new().model();
    let measure = |file: &str| {
        let prompts = PromptSet::parse("prompts.jsonl", file.as_bytes()).unwrap();
        measure_turn_end(&model, &prompts, &RunOptions::default()).unwrap().0
    };
    let long = "Yes, indeed. ".repeat(400);
    let text = format!(
        r#"{{"messages": [{{"role": "user", "content": "Hi"}}, {{"role": "assistant", "content": "{long}"}}]}}"#
    );
    assert_eq!(measure(&text), TurnEnd::NoAnswerEnds(1));
    let finding = measure(&text).finding().unwrap();
    assert_eq!((finding.code, finding.severity), ("turn_end_not_measured", Severity::Note));
    let without = measure_turn_end(&model, &PromptSet::fixed(), &RunOptions::default()).unwrap();
    assert_eq!(without, (TurnEnd::None, None));
}

#[test]
fn the_shortest_of_long_answers_is_read_to_its_end() {
    let inputs = Inputs::new();
    let (model, tokenizer) = (inputs.model(), tokenizer(&inputs.model()).unwrap());
    let row = |answer: &str| {
        let messages = [("user", "Hi"), ("assistant", answer)];
        let messages = messages.map(|(role, content)| serde_json::json!({"role": role, "content": content}));
        serde_json::json!({"messages": messages}).to_string()
    };
    let encoder = crate::tokenizer::TextEncoder::new(&tokenizer);
    let end = encoder.id("<end_of_turn>").unwrap() as usize;
    let answer = |sentences: usize| "Yes, indeed. ".repeat(sentences).trim().to_owned();
    let encode = |rows: &[String]| {
        let prompts = PromptSet::parse("p.jsonl", rows.join("\n").as_bytes()).unwrap();
        let encoder = PromptEncoder::new(&model, &tokenizer).unwrap();
        (encoder.encode(prompts.file.as_ref().unwrap()).unwrap().prompts, prompts)
    };
    let rows: Vec<String> = (0..16).map(|n| row(&answer(if n == 5 { 30 } else { 40 }))).collect();
    let (encoded, prompts) = encode(&rows);
    let answers = encoded.iter().map(|prompt| prompt.answer.clone().unwrap());
    let (whole, cut): (Vec<Vec<usize>>, Vec<_>) = answers.partition(|answer| answer.len() > 64);
    assert!(encoded.len() < 16 && encoded.iter().map(EncodedPrompt::len).sum::<usize>() <= 1024);
    assert!(cut.iter().all(|answer| answer.len() == 64 && !answer.contains(&end)), "{cut:?}");
    let expected = encoder.encode(&answer(30)).into_iter().map(|id| id as usize).chain([end]);
    assert_eq!(whole, [expected.collect::<Vec<_>>()]);
    let (measured, _) = measure_turn_end(&model, &prompts, &RunOptions::default()).unwrap();
    assert_eq!(measured.probability().unwrap().answers, 1);
    // with an answer that ends, the others stay as they are
    let (encoded, _) = encode(&[row(&answer(30)), row("Yes")]);
    let lengths: Vec<_> = encoded.iter().map(|prompt| prompt.answer.as_ref().unwrap().len()).collect();
    assert_eq!(lengths[0], 64);
}

/// A softmax by hand over all logits after an answer of the file, in both models.
#[test]
fn the_probability_of_the_turn_end_is_that_after_the_answer() {
    let inputs = Inputs::new();
    let model = inputs.model();
    let text =
        r#"{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]}"#;
    let prompts = PromptSet::parse("prompts.jsonl", text.as_bytes()).unwrap();
    let measured =
        measure_turn_end(&model, &prompts, &RunOptions::default()).unwrap().0.probability().unwrap();
    let tokenizer = tokenizer(&model).unwrap();
    let encoder = crate::tokenizer::TextEncoder::new(&tokenizer);
    let text = "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\nYes";
    let ids: Vec<usize> = encoder.encode(text).into_iter().map(|id| id as usize).collect();
    let end = encoder.id("<end_of_turn>").unwrap() as usize;
    let by_hand = |model: &Model| {
        let logits = ForwardModel::of_model(model).unwrap().logits(&ids);
        let last = logits.row(ids.len() - 1).mapv(f64::from);
        last[end].exp() / last.mapv(f64::exp).sum()
    };
    assert_eq!(measured.answers, 1);
    let merged = tempfile::tempdir().unwrap();
    let plan = MergePlan::new(&model).unwrap();
    let mut output = LocalOutput::create(merged.path()).unwrap();
    crate::merge(&plan, &mut output, &RunOptions::default()).unwrap();
    let merged = Checkpoint::open(Arc::new(LocalFolder::open(merged.path()).unwrap())).unwrap();
    let beside = inputs.survival(ExportedModel::Merged(merged), &prompts).turn_end.unwrap();
    assert_eq!(beside.answers, 1);
    assert!((beside.fine_tuned / measured.fine_tuned - 1.0).abs() < 1e-6);
    let base = by_hand(&Model::new(model.base()));
    for (found, expected) in [(measured.fine_tuned, by_hand(&model)), (measured.base.unwrap(), base)] {
        assert!((found / expected - 1.0).abs() < 1e-4, "{found} {expected}");
    }
}
