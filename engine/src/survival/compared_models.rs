//! The models whose predictions are compared, and survival by these predictions.

use super::encoding::{EncodedPrompt, PromptEncoder};
use super::{ExportedModel, PromptSet, require_adapter, require_causal, turn_end};
use crate::error::Result;
use crate::forward::{
    ForwardModel, LogitDivergence, NextToken, Passage, TokenPredictions, fixed_prompts, greedy_answers,
    predictions, tokenizer, weight_changes,
};
use crate::merge::Model;
use crate::progress::RunOptions;
use crate::report::{AdapterBeside, AnswerSample, PromptUse, Survival, TensorSurvival};

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

/// What is compared.
struct ComparedTexts {
    passages: Vec<Passage>,
    /// The token that ends a turn, after the passages with an answer that ends.
    turn_end: Option<NextToken>,
    used: PromptUse,
    /// Of each export.
    samples: Vec<Vec<AnswerSample>>,
}

impl ComparedModels {
    pub(super) fn new(base: &Model, fine_tuned: &Model, exports: &[ExportedModel]) -> Result<Self> {
        require_adapter(fine_tuned)?;
        Ok(Self {
            fine_tuned: ForwardModel::of_model(fine_tuned)?,
            base: ForwardModel::of_model(base)?,
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
        let texts = self.texts(model, prompts, run)?;
        let models: Vec<_> = [&self.fine_tuned, &self.base]
            .into_iter()
            .chain(&self.exports)
            .chain(&self.adapter_beside)
            .collect();
        let (tokens, turn_ends) = predictions(&models, &texts.passages, texts.turn_end.as_ref(), run)?;
        let turn_end = turn_end::mean_probability(turn_ends.get(..2).unwrap_or_default());
        let changes = weight_changes(&self.base, &self.fine_tuned, &self.exports, run)?;
        let of_export = |(export, (changes, samples))| {
            let survival = survival(export, &tokens, changes, samples, texts.used);
            Survival { turn_end, ..survival }
        };
        let measured = changes.into_iter().zip(texts.samples).enumerate().map(of_export).collect();
        let beside = self.adapter_beside.as_ref().map(|_| {
            // it follows the exports
            AdapterBeside::from(&survival(self.exports.len(), &tokens, Vec::new(), Vec::new(), texts.used))
        });
        Ok((measured, beside))
    }

    fn texts(&self, model: &Model, prompts: &PromptSet, run: &RunOptions<'_>) -> Result<ComparedTexts> {
        let tokenizer = tokenizer(model)?;
        let Some(list) = &prompts.prompts else {
            let passages = fixed_prompts(&tokenizer);
            let count = passages.len();
            let used = PromptUse { source: "fixed", available: count, used: count, answered: 0 };
            let samples = vec![Vec::new(); self.exports.len()];
            return Ok(ComparedTexts { passages, turn_end: None, used, samples });
        };
        require_causal(model, &self.fine_tuned)?;
        let encoder = PromptEncoder::new(model, &tokenizer)?;
        let encoded = encoder.encode(list)?;
        let answers = self.answers(&encoded, prompts.samples, &encoder, run)?;
        let passages: Vec<Passage> = encoded
            .iter()
            .zip(&answers.fine_tuned)
            .map(|(prompt, generated)| prompt.passage(generated))
            .collect();
        let stop_tokens = encoder.answer_end()?.stop_tokens;
        let ends = |passage: &Passage| passage.tokens.last().is_some_and(|last| stop_tokens.contains(last));
        let ending = (0..passages.len()).filter(|number| ends(&passages[*number])).collect();
        let turn_end =
            encoder.turn_end().map(|token| NextToken { token: token as usize, after_passages: ending });
        let used = PromptUse {
            source: "file",
            available: list.len(),
            used: encoded.len(),
            answered: encoded.iter().filter(|prompt| prompt.answer.is_none()).count(),
        };
        Ok(ComparedTexts { passages, turn_end, used, samples: answers.samples(&encoded, &encoder) })
    }

    /// The greedy answers of the fine-tuned model where they are needed, and those of base and exports to the first prompts.
    fn answers(
        &self,
        encoded: &[EncodedPrompt],
        samples: usize,
        encoder: &PromptEncoder<'_>,
        run: &RunOptions<'_>,
    ) -> Result<GreedyAnswers> {
        let is_needed =
            |(number, prompt): &(usize, &EncodedPrompt)| *number < samples || prompt.answer.is_none();
        let needed: Vec<(usize, &EncodedPrompt)> = encoded.iter().enumerate().filter(is_needed).collect();
        let prompts: Vec<_> = needed.iter().map(|(_, prompt)| prompt.prompt.clone()).collect();
        let end = encoder.answer_end()?;
        let answers = greedy_answers(&[&self.fine_tuned], &prompts, &end, run)?.swap_remove(0);
        let mut fine_tuned = vec![Vec::new(); encoded.len()];
        for ((number, _), answer) in needed.iter().zip(answers) {
            fine_tuned[*number] = answer;
        }
        let others: Vec<_> = [&self.base].into_iter().chain(&self.exports).collect();
        let mut others =
            greedy_answers(&others, &prompts[..encoded.len().min(samples)], &end, run)?.into_iter();
        Ok(GreedyAnswers { fine_tuned, base: others.next().unwrap_or_default(), exports: others.collect() })
    }
}

/// Answers of each model, by the numbers of the prompts.
struct GreedyAnswers {
    /// Empty where the answer is given.
    fine_tuned: Vec<Vec<usize>>,
    /// To the first prompts.
    base: Vec<Vec<usize>>,
    /// Of each export, to the first prompts.
    exports: Vec<Vec<Vec<usize>>>,
}

impl GreedyAnswers {
    /// The samples of each export.
    fn samples(&self, encoded: &[EncodedPrompt], encoder: &PromptEncoder<'_>) -> Vec<Vec<AnswerSample>> {
        let sample = |number: usize, export: &[usize]| AnswerSample {
            prompt: encoded[number].shown.clone(),
            base: encoder.decode(&self.base[number]),
            fine_tuned: encoder.decode(&self.fine_tuned[number]),
            export: encoder.decode(export),
        };
        let of_export = |answers: &Vec<Vec<usize>>| {
            answers.iter().enumerate().map(|(number, answer)| sample(number, answer)).collect()
        };
        self.exports.iter().map(of_export).collect()
    }
}

impl EncodedPrompt {
    /// The prompt and its answer, of which the answer is compared.
    fn passage(&self, generated: &[usize]) -> Passage {
        let answer = self.answer.as_deref().unwrap_or(generated);
        let mut tokens = self.prompt.clone();
        tokens.extend(answer);
        // a position predicts the token after it
        Passage { compared: self.prompt.len() - 1..tokens.len() - 1, tokens }
    }
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
