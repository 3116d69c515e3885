//! The probability of the token that ends a turn.

use super::*;
use crate::check::Severity;

#[test]
fn answers_without_an_end_are_a_finding_of_their_own() {
    let model = Inputs::new().model();
    let measure = |file: &str| {
        let prompts = PromptSet::parse("prompts.jsonl", file.as_bytes()).unwrap();
        measure_turn_end(&model, &prompts, &RunOptions::default()).unwrap().0
    };
    let long = "Yes, indeed. ".repeat(40);
    let text = format!(
        r#"{{"messages": [{{"role": "user", "content": "Hi"}}, {{"role": "assistant", "content": "{long}"}}]}}"#
    );
    assert_eq!(measure(&text), TurnEnd::NoAnswerEnds(1));
    let finding = measure(&text).finding().unwrap();
    assert_eq!((finding.code, finding.severity), ("turn_end_not_measured", Severity::Note));
    let without = measure_turn_end(&model, &PromptSet::fixed(), &RunOptions::default()).unwrap();
    assert_eq!(without, (TurnEnd::None, None));
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
