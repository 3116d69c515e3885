//! How long an export takes and what it costs, from the bytes that it reads and writes. `docs/DEPLOY.md` has the measurements
//! and prices behind the numbers.

use std::time::Duration;

use engine::SurvivalCost;
use shared::domain::Estimate;

/// Seconds until a started job works.
const START: f64 = 20.0;
/// Bytes a second from a bucket or the Hub.
const READ_RATE: f64 = 60e6;
/// Bytes a second to a bucket or the Hub, with the checks after it.
const WRITE_RATE: f64 = 30e6;
/// Seconds of one CPU for a gigabyte of weights: to merge them, to write one of the converter's types, to write another one.
const MERGE: f64 = 3.9;
const CONVERT: f64 = 3.1;
const QUANTIZE: f64 = 5.4;
/// Seconds of one CPU for a gigabyte of weights: to compute the inputs of all matrices for a chunk of a text.
const CALIBRATE: f64 = 15.0;
/// Seconds of one CPU to measure the errors of all types on a part of a matrix.
const FIT: f64 = 0.08;
/// Seconds of one CPU for a gigabyte of weights: to compare the predictions of an export with those of base and adapter.
const COMPARE: f64 = 20.0;
/// The same for each token of prompts of one's own, in one model, and for a pass of one model that adds a token to its answers.
const COMPARE_TOKEN: f64 = 0.03;
const ANSWER: f64 = 1.0;
/// The models whose predictions are compared have a thread each.
const COMPARED_MODELS: f64 = 3.0;
/// US dollars for a second of a CPU, and of a GiB of memory.
const CPU_PRICE: f64 = 0.000_018;
const MEMORY_PRICE: f64 = 0.000_002;

/// The machine that the export job runs on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JobMachine {
    /// CPUs.
    pub cpus: f64,
    /// Memory in GiB.
    pub memory: f64,
    /// Longest time for the comparison of an export's predictions with those of base and adapter (`VERIFY_LOGITS`).
    pub verify_logits: Duration,
}

impl JobMachine {
    /// `VERIFY_LOGITS` where it is not set.
    pub const VERIFY_LOGITS: Duration = Duration::from_secs(120);
}

impl Default for JobMachine {
    fn default() -> Self {
        Self { cpus: 4.0, memory: 4.0, verify_logits: Self::VERIFY_LOGITS }
    }
}

/// What an export reads, computes and writes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WorkAmount {
    pub(crate) bytes_read: u64,
    pub(crate) bytes_written: u64,
    /// Seconds of one CPU.
    cpu_seconds: f64,
}

impl WorkAmount {
    pub(crate) fn read(&mut self, bytes: u64) {
        self.bytes_read += bytes;
    }

    pub(crate) fn write(&mut self, bytes: u64) {
        self.bytes_written += bytes;
    }

    pub(crate) fn merge(&mut self, weights: u64) {
        self.compute(weights, MERGE);
    }

    /// Writes a GGUF file of the weights, of one of the converter's types or of another.
    pub(crate) fn convert(&mut self, weights: u64, is_converter_type: bool) {
        self.compute(weights, if is_converter_type { CONVERT } else { QUANTIZE });
    }

    /// Computes an importance matrix, in that many passes over the weights.
    pub(crate) fn calibrate(&mut self, weights: u64, passes: u64) {
        self.read(weights * passes);
        self.compute(weights * passes, CALIBRATE);
    }

    /// Chooses types for that many matrices.
    pub(crate) fn fit(&mut self, matrices: u64) {
        self.cpu_seconds += matrices as f64 * FIT;
    }

    /// Compares the predictions of an export with those of base and adapter.
    pub(crate) fn compare(&mut self, compared: &ComparedWork, machine: JobMachine) {
        self.read(compared.bytes_read());
        self.cpu_seconds += compared.cpu_seconds() * machine.cpus / machine.cpus.min(COMPARED_MODELS);
    }

    fn compute(&mut self, weights: u64, seconds: f64) {
        self.cpu_seconds += weights as f64 / 1e9 * seconds;
    }

    /// Reading and writing wait for each other; computing goes on meanwhile.
    pub(crate) fn estimate(&self, machine: JobMachine) -> Estimate {
        let transfer = self.bytes_read as f64 / READ_RATE + self.bytes_written as f64 / WRITE_RATE;
        let seconds = (START + transfer.max(self.cpu_seconds / machine.cpus)).ceil();
        let price = seconds * machine.cpus.mul_add(CPU_PRICE, machine.memory * MEMORY_PRICE);
        Estimate { seconds: seconds as u64, usd: (price * 1e6).round() / 1e6 }
    }
}

/// A comparison of the predictions of an export with those of base and adapter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ComparedWork {
    /// Bytes of base and adapter, and of the export.
    pub(crate) weights: u64,
    pub(crate) exported: u64,
    /// Of prompts of one's own; zero for the fixed texts.
    pub(crate) cost: SurvivalCost,
}

impl ComparedWork {
    /// Each pass reads the weights of its models; base and fine-tuned model share theirs, except for answers.
    fn bytes_read(&self) -> u64 {
        let Self { weights, exported, cost } = self;
        weights * (1 + cost.answer_passes + cost.sample_passes) + exported * (1 + cost.sample_passes)
    }

    fn cpu_seconds(&self) -> f64 {
        let SurvivalCost { tokens, answer_passes, sample_passes } = self.cost;
        let of_tokens = tokens as f64 * COMPARED_MODELS * COMPARE_TOKEN;
        let of_answers = (answer_passes + 2 * sample_passes) as f64 * ANSWER;
        self.weights as f64 / 1e9 * (COMPARE + of_tokens + of_answers)
    }

    pub(crate) fn time(&self, cpus: f64) -> Duration {
        let transfer = self.bytes_read() as f64 / READ_RATE;
        Duration::from_secs_f64(transfer.max(self.cpu_seconds() / cpus.min(COMPARED_MODELS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gemma_3_1b_as_q8_0_takes_and_costs_what_the_documentation_says() {
        let mut work = WorkAmount::default();
        work.read(2_000_000_000);
        work.write(1 << 30);
        work.convert(2_000_000_000, true);
        let Estimate { seconds, usd } = work.estimate(JobMachine::default());
        assert_eq!(seconds, 90);
        assert!((usd - 0.0072).abs() < 1e-9, "{usd}");
    }

    #[test]
    fn an_importance_matrix_takes_a_pass_over_the_weights_for_each_chunk() {
        let mut work = WorkAmount::default();
        work.calibrate(600_000_000, 20);
        let seconds = |cpus| work.estimate(JobMachine { cpus, ..JobMachine::default() }).seconds;
        assert_eq!((work.bytes_read, seconds(4.0), seconds(0.5)), (12_000_000_000, 220, 380));
    }

    #[test]
    fn answers_to_prompts_take_a_pass_over_the_weights_for_each_token() {
        let work = |cost| ComparedWork { weights: 600_000_000, exported: 300_000_000, cost };
        let fixed = work(SurvivalCost::default());
        assert_eq!(fixed.time(4.0), Duration::from_secs(15));
        let given = work(SurvivalCost { tokens: 1_000, ..SurvivalCost::default() });
        assert_eq!((given.bytes_read(), given.time(3.0)), (fixed.bytes_read(), Duration::from_secs(22)));
        let answered = work(SurvivalCost { tokens: 100, answer_passes: 24, sample_passes: 0 });
        assert_eq!(answered.time(4.0), Duration::from_secs(15 + 24 * 10));
        let shown = work(SurvivalCost { tokens: 100, answer_passes: 24, sample_passes: 24 });
        assert_eq!(shown.time(4.0), Duration::from_secs(15 + 24 * (10 + 15)));
    }

    #[test]
    fn quantization_takes_longer_than_transfers_on_few_cpus() {
        let mut work = WorkAmount::default();
        work.read(1_000_000_000);
        (0..8).for_each(|_| work.convert(1_000_000_000, false));
        let seconds = |cpus| work.estimate(JobMachine { cpus, ..JobMachine::default() }).seconds;
        assert_eq!((seconds(1.0), seconds(8.0)), (64, 37));
    }
}
