//! The models whose predictions are compared, and survival by these predictions.

use ndarray::Array1;

use super::encoding::{EncodedPrompt, EncodedPrompts, PromptEncoder};
use super::{ExportedModel, PromptSet, require_adapter, require_causal, turn_end};
use crate::error::Result;
use crate::forward::{
    AnswerEnd, BegunAnswer, ForwardModel, GreedyAnswer, LogitDivergence, NextToken, Passage,
    TokenPredictions, fixed_prompts, greedy_answers, predictions, tokenizer, weight_changes,
};
use crate::merge::Model;
use crate::progress::RunOptions;
use crate::report::{AdapterBeside, AnswerSample, PromptUse, Survival, TensorSurvival};
use crate::tokenizer::Tokenizer;

/// The mean KL divergence of the base from the fine-tuned model, in nats, below which survival is not computed: rounding in
/// 32 bits alone is a hundredth of it.
const NOISE_LIMIT: f64 = 1e-5;
/// The tensors that are listed.
const WORST_TENSORS: usize = 10;

/// The models side by side.
pub(super) struct ComparedModels {
    fine_tuned: ForwardModel,
    base: ForwardModel,
    exports: Vec<ForwardModel>,
    /// The base in a file with the adapter beside it. It gives no samples.
    adapter_beside: Option<ForwardModel>,
}

/// People's own prompts.
struct AskedPrompts<'a> {
    encoder: PromptEncoder<'a>,
    encoded: EncodedPrompts,
    /// How many there are, of which these were taken.
    available: usize,
}

/// What is compared.
struct ComparedTexts {
    passages: Vec<Passage>,
    /// The token that ends a turn, after the passages with an answer that ends.
    turn_end: Option<NextToken>,
    used: PromptUse,
}

impl ComparedModels {
    pub(super) fn new(base: &Model, fine_tuned: &Model, exports: &[ExportedModel]) -> Result<Self> {
        require_adapter(fine_tuned)?;
        let fine_tuned = ForwardModel::of_model(fine_tuned)?;
        Ok(Self {
            base: ForwardModel::of_base(base, &fine_tuned)?,
            fine_tuned,
            exports: exports.iter().map(ExportedModel::open).collect::<Result<_>>()?,
            adapter_beside: None,
        })
    }

    pub(super) fn with_adapter_beside(self, model: ForwardModel) -> Self {
        Self { adapter_beside: Some(model), ..self }
    }

    /// The survival in each export, and with the adapter beside the base.
    pub(super) fn measure(
        &self,
        model: &Model,
        prompts: &PromptSet,
        run: &RunOptions<'_>,
    ) -> Result<(Vec<Survival>, Option<AdapterBeside>)> {
        let tokenizer = tokenizer(model)?;
        let asked = match &prompts.file {
            Some(file) => {
                require_causal(model, &self.fine_tuned)?;
                let encoder = PromptEncoder::new(model, &tokenizer)?;
                Some(AskedPrompts { encoded: encoder.encode(file)?, encoder, available: file.prompts.len() })
            }
            None => None,
        };
        let texts = match &asked {
            Some(asked) => self.answered(asked, run)?,
            None => ComparedTexts::fixed(&tokenizer),
        };
        let models: Vec<_> = [&self.fine_tuned, &self.base]
            .into_iter()
            .chain(&self.exports)
            .chain(&self.adapter_beside)
            .collect();
        let (tokens, turn_ends) = predictions(&models, &texts.passages, texts.turn_end.as_ref(), run)?;
        let turn_end = turn_end::mean_probability(turn_ends.get(..2).unwrap_or_default());
        let changes = weight_changes(&self.base, &self.fine_tuned, &self.exports, run)?;
        let mut samples = match &asked {
            Some(asked) => self.samples((asked, prompts.samples), &texts.passages, &tokens, run)?,
            None => Vec::new(),
        }
        .into_iter();
        let of_export = |(export, changes)| {
            let samples = samples.next().unwrap_or_default();
            let survival = survival(export, &tokens, changes, samples, texts.used.clone());
            Survival { turn_end, ..survival }
        };
        let measured = changes.into_iter().enumerate().map(of_export).collect();
        let beside = self.adapter_beside.as_ref().map(|_| {
            // it follows the exports
            AdapterBeside::from(&survival(
                self.exports.len(),
                &tokens,
                Vec::new(),
                Vec::new(),
                texts.used.clone(),
            ))
        });
        Ok((measured, beside))
    }

    /// The prompts with the answers of the file, or with greedy ones of the fine-tuned model.
    fn answered(&self, asked: &AskedPrompts<'_>, run: &RunOptions<'_>) -> Result<ComparedTexts> {
        let AskedPrompts { encoder, encoded: EncodedPrompts { prompts: encoded, left_out }, available } =
            asked;
        let end = encoder.answer_end()?;
        let unanswered =
            encoded.iter().filter(|prompt| prompt.answer.is_none()).map(EncodedPrompt::unanswered);
        let unanswered: Vec<_> = unanswered.collect();
        let generated = unanswered.len();
        let mut answers = greedy_answers(&[(&self.fine_tuned, unanswered)], &end, run)?.into_iter().flatten();
        let of_prompt = |prompt: &EncodedPrompt| match &prompt.answer {
            Some(answer) => prompt.passage(answer, None),
            None => {
                let GreedyAnswer { tokens, states } = answers.next().unwrap_or_default();
                prompt.passage(&tokens, Some(states))
            }
        };
        let passages: Vec<Passage> = encoded.iter().map(of_prompt).collect();
        let ends =
            |passage: &Passage| passage.tokens.last().is_some_and(|last| end.stop_tokens.contains(last));
        let ending = (0..passages.len()).filter(|number| ends(&passages[*number])).collect();
        let turn_end =
            encoder.turn_end().map(|token| NextToken { token: token as usize, after_passages: ending });
        let used = PromptUse {
            source: "file",
            available: *available,
            used: encoded.len(),
            answered: generated,
            left_out: left_out.clone(),
        };
        Ok(ComparedTexts { passages, turn_end, used })
    }

    /// The answers of all models to the first prompts, for each export. They begin with what the predictions after the passages
    /// show of them.
    fn samples(
        &self,
        (asked, count): (&AskedPrompts<'_>, usize),
        passages: &[Passage],
        predicted: &[TokenPredictions],
        run: &RunOptions<'_>,
    ) -> Result<Vec<Vec<AnswerSample>>> {
        let encoder = &asked.encoder;
        let prompts = &asked.encoded.prompts[..count.min(asked.encoded.prompts.len())];
        let end = encoder.answer_end()?;
        let begun = |model: usize| {
            let mut predicted = predicted.iter().map(|token| token.most_likely(model));
            let of_prompt = |(prompt, passage): (&EncodedPrompt, &Passage)| {
                let own: Vec<usize> = predicted.by_ref().take(passage.compared.len()).collect();
                let answer = begun_answer(&own, &passage.tokens[prompt.prompt.len()..], &end);
                BegunAnswer { answer, ..prompt.unanswered() }
            };
            prompts.iter().zip(passages).map(of_prompt).collect()
        };
        let models: Vec<_> = [&self.fine_tuned, &self.base]
            .into_iter()
            .chain(&self.exports)
            .enumerate()
            .map(|(number, model)| (model, begun(number)))
            .collect();
        let answers = greedy_answers(&models, &end, run)?;
        let text = |model: usize, prompt: usize| encoder.decode(&answers[model][prompt].tokens);
        let of_export = |export: usize| {
            let sample = |(number, prompt): (usize, &EncodedPrompt)| AnswerSample {
                prompt: prompt.shown.clone(),
                fine_tuned: text(0, number),
                base: text(1, number),
                export: text(export, number),
            };
            prompts.iter().enumerate().map(sample).collect()
        };
        Ok((2..models.len()).map(of_export).collect())
    }
}

impl ComparedTexts {
    /// Texts for want of better ones.
    fn fixed(tokenizer: &Tokenizer) -> Self {
        let passages = fixed_prompts(tokenizer);
        let count = passages.len();
        let used = PromptUse { source: "fixed", available: count, used: count, answered: 0, left_out: None };
        Self { passages, turn_end: None, used }
    }
}

impl EncodedPrompt {
    /// The prompt and its answer, of which the answer is compared.
    fn passage(&self, answer: &[usize], reference_states: Option<Vec<Array1<f32>>>) -> Passage {
        let tokens = [&self.prompt[..], answer].concat();
        // a position predicts the token after it
        Passage { compared: self.prompt.len() - 1..tokens.len() - 1, tokens, reference_states }
    }
}

/// The beginning of a model's own answer, by its most likely tokens after the tokens of a passage: up to the first that is another one
/// than the passage has.
fn begun_answer(own: &[usize], passage: &[usize], end: &AnswerEnd) -> Vec<usize> {
    let mut answer = Vec::new();
    for (own, passage) in own.iter().zip(passage) {
        answer.push(*own);
        if own != passage || end.is_reached(&answer) {
            break;
        }
    }
    answer
}

fn survival(
    export: usize,
    tokens: &[TokenPredictions],
    changes: Vec<TensorSurvival>,
    samples: Vec<AnswerSample>,
    prompts: PromptUse,
) -> Survival {
    // among the other models the base is the first
    let (base, export) = (0, export + 1);
    let kl_base = LogitDivergence::of(tokens, base).kl_mean;
    let of_export = LogitDivergence::of(tokens, export);
    let changed: Vec<_> = tokens.iter().filter(|token| token.expected() != token.found(base)).collect();
    let kept = changed.iter().filter(|token| token.expected() == token.found(export)).count();
    let is_measurable = kl_base >= NOISE_LIMIT;
    let unmeasured = || {
        format!(
            "the fine-tune changes the predictions for these prompts by {kl_base:.1e} nats, less than the {NOISE_LIMIT:.0e} \
             that can be measured: give prompts like those it was trained on"
        )
    };
    let mut worst = changes;
    worst.sort_by(|a, b| a.cosine.total_cmp(&b.cosine));
    worst.truncate(WORST_TENSORS);
    Survival {
        survival: is_measurable.then(|| 1.0 - of_export.kl_mean / kl_base),
        unmeasured: (!is_measurable).then(unmeasured),
        kl_export: of_export.kl_mean,
        kl_export_max: of_export.kl_max,
        top1: of_export.top1,
        kl_base,
        tokens: tokens.len(),
        changed_tokens: changed.len(),
        changed_top1: (!changed.is_empty()).then(|| kept as f64 / changed.len() as f64),
        prompts,
        turn_end: None,
        worst_tensors: worst,
        adapter_beside: None,
        samples,
    }
}
