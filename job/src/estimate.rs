//! How long an export takes and what it costs, from the bytes that it reads and writes. `docs/DEPLOY.md` has the measurements
//! and prices behind the numbers.

use std::time::Duration;

use engine::{CalibrationCost, SurvivalCost};
use shared::domain::Estimate;

use crate::machine::JobMachine;

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
const CALIBRATE: f64 = 10.0;
/// Seconds of one CPU to measure the errors of all types on a part of a matrix.
const FIT: f64 = 0.08;
/// Seconds of one CPU for a gigabyte of weights: to compare the predictions of an export with those of base and adapter.
const COMPARE: f64 = 10.0;
/// The same for the base in the export's type with the adapter beside it, whose rows are encoded as they are read.
const COMPARE_BESIDE: f64 = 10.0;
/// The same for each token of prompts of one's own, in one model, and for a pass of one model that adds a token to its answers.
const COMPARE_TOKEN: f64 = 0.015;
const ANSWER: f64 = 1.0;
/// The models whose predictions are compared. Each has a thread, or as many more as there are CPUs for all of them.
const COMPARED_MODELS: f64 = 3.0;
/// The models beside the fine-tuned one that answer for samples.
const SAMPLED_MODELS: f64 = 2.0;
/// US dollars for a second of a CPU, and of a GiB of memory.
const CPU_PRICE: f64 = 0.000_018;
const MEMORY_PRICE: f64 = 0.000_002;

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

    /// Reads the weights in that many passes: once over the network if they stay in memory.
    pub(crate) fn read_weights(&mut self, weights: u64, passes: u64, machine: JobMachine) {
        self.read(weights * if machine.caches(weights) { passes.min(1) } else { passes });
    }

    /// Computes an importance matrix. The weights are [read](Self::read_weights) besides.
    pub(crate) fn calibrate(&mut self, calibration: &CalibrationWork) {
        self.cpu_seconds += calibration.cpu_seconds();
    }

    /// Chooses types for that many matrices.
    pub(crate) fn fit(&mut self, matrices: u64) {
        self.cpu_seconds += matrices as f64 * FIT;
    }

    /// Compares the predictions of an export with those of base and adapter.
    pub(crate) fn compare(&mut self, compared: &ComparedWork, machine: JobMachine) {
        self.read(compared.bytes_read(machine));
        self.cpu_seconds += compared.seconds(machine.cpus) * machine.cpus;
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

/// An importance matrix that is computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CalibrationWork {
    /// Bytes of base and adapter.
    weights: u64,
    chunks: u64,
    /// How many chunks are computed at the same time.
    pub(crate) at_once: u64,
    /// How often the weights are read.
    pub(crate) passes: u64,
}

impl CalibrationWork {
    /// Weights that are not in memory are read for as many chunks at once as memory allows.
    pub(crate) fn new(weights: u64, cost: CalibrationCost, machine: JobMachine) -> Self {
        let CalibrationCost { chunks, chunk_memory, shares_reads } = cost;
        let cpus = (machine.cpus as u64).max(1);
        let at_once = match shares_reads && !machine.caches(weights) {
            true => cpus.max(machine.cache() / chunk_memory.max(1)),
            false => cpus,
        };
        let at_once = at_once.min(chunks).max(1);
        let passes = if shares_reads { chunks.div_ceil(at_once) } else { chunks };
        Self { weights, chunks, at_once, passes }
    }

    /// Bytes of weights that are multiplied with, those of each chunk counted.
    pub(crate) fn multiplied(&self) -> u64 {
        self.weights * self.chunks
    }

    fn cpu_seconds(&self) -> f64 {
        self.weights as f64 / 1e9 * self.chunks as f64 * CALIBRATE
    }

    pub(crate) fn time(&self, machine: JobMachine) -> Duration {
        let mut work = WorkAmount::default();
        work.read_weights(self.weights, self.passes, machine);
        work.calibrate(self);
        Duration::from_secs(work.estimate(machine).seconds)
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
    /// Whether the base with the adapter beside it is compared too.
    pub(crate) adapter_beside: bool,
}

impl ComparedWork {
    /// Each pass reads the weights of its models; all but the export share theirs, except for answers. What stays in memory is read
    /// once: the weights when the export was written.
    fn bytes_read(&self, machine: JobMachine) -> u64 {
        let Self { weights, exported, cost, .. } = *self;
        let cached = if machine.caches(weights) { weights } else { 0 };
        let of_weights = if cached > 0 { 0 } else { 1 + cost.answer_passes + cost.sample_passes };
        let of_export = if machine.caches(cached + exported) { 1 } else { 1 + cost.sample_passes };
        weights * of_weights + exported * of_export
    }

    /// Seconds of arithmetic: the answers of the fine-tuned model, then the predictions of all, then the answers of the others. A
    /// fine-tuned model that has answered has read the prompts, and predicts nothing a second time.
    fn seconds(&self, cpus: f64) -> f64 {
        let SurvivalCost { tokens, answer_passes, sample_passes } = self.cost;
        let of_tokens = tokens as f64 * COMPARE_TOKEN;
        let (prompts, models) =
            if answer_passes > 0 { (of_tokens, COMPARED_MODELS - 1.0) } else { (0.0, COMPARED_MODELS) };
        let answers = (prompts + answer_passes as f64 * ANSWER) / cpus;
        let samples = SAMPLED_MODELS * sample_passes as f64 * ANSWER / cpus;
        let of_models = COMPARE + models * of_tokens;
        let threads = |models: f64| if cpus < models { cpus } else { models * (cpus / models).floor() };
        let predictions = match self.adapter_beside {
            false => of_models / threads(models),
            // its thread takes longer than the others
            true => {
                let of_beside = COMPARE_BESIDE + of_tokens;
                of_beside.max((of_models + of_beside) / threads(models + 1.0))
            }
        };
        self.weights as f64 / 1e9 * (answers + samples + predictions)
    }

    pub(crate) fn time(&self, machine: JobMachine) -> Duration {
        let transfer = self.bytes_read(machine) as f64 / READ_RATE;
        Duration::from_secs_f64(transfer.max(self.seconds(machine.cpus)))
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

    /// A machine without memory for files, and the usual one.
    fn machines(cpus: f64) -> [JobMachine; 2] {
        [1.0, 4.0].map(|memory| JobMachine { cpus, memory, ..JobMachine::default() })
    }

    #[test]
    fn weights_that_fit_into_memory_are_read_once() {
        let read = |weights, passes, machine| {
            let mut work = WorkAmount::default();
            work.read_weights(weights, passes, machine);
            work.bytes_read
        };
        let [streaming, caching] = machines(4.0);
        assert_eq!((read(600, 3, streaming), read(600, 3, caching)), (1_800, 600));
        assert_eq!((read(600, 0, streaming), read(600, 0, caching)), (0, 0));
        assert_eq!(read(4 << 30, 3, caching), 12 << 30);
    }

    #[test]
    fn chunks_of_an_importance_matrix_that_are_computed_at_once_read_the_weights_once() {
        let cost = CalibrationCost { chunks: 20, chunk_memory: 400 << 20, shares_reads: true };
        let [_, machine] = machines(4.0);
        let work = |weights, cost| {
            let CalibrationWork { at_once, passes, .. } = CalibrationWork::new(weights, cost, machine);
            (at_once, passes)
        };
        assert_eq!(work(600_000_000, cost), (4, 5), "they are in memory, and a chunk for each CPU is enough");
        assert_eq!(work(8_000_000_000, cost), (7, 3));
        assert_eq!(work(8_000_000_000, CalibrationCost { chunks: 3, ..cost }), (3, 1));
        assert_eq!(work(8_000_000_000, CalibrationCost { shares_reads: false, ..cost }), (4, 20));
        assert_eq!(work(8_000_000_000, CalibrationCost { chunk_memory: 8 << 30, ..cost }), (4, 5));
    }

    #[test]
    fn an_importance_matrix_takes_a_time_for_each_chunk() {
        let cost = CalibrationCost { chunks: 20, chunk_memory: 400 << 20, shares_reads: true };
        let seconds = |weights, machine| CalibrationWork::new(weights, cost, machine).time(machine).as_secs();
        let [streaming, caching] = machines(4.0);
        // 20 chunks on 4 CPUs, or the reading of the weights
        assert_eq!((seconds(600_000_000, streaming), seconds(600_000_000, caching)), (70, 50));
        assert_eq!(seconds(8_000_000_000, caching), 20 + 400);
    }

    #[test]
    fn answers_to_prompts_take_a_pass_over_the_weights_for_each_token() {
        let (weights, exported) = (600_000_000, 300_000_000);
        let work = |cost| ComparedWork { weights, exported, cost, adapter_beside: false };
        let [streaming, caching] = machines(4.0);
        let seconds = |work: ComparedWork, machine| work.time(machine).as_secs();
        let fixed = work(SurvivalCost::default());
        assert_eq!((seconds(fixed, streaming), seconds(fixed, caching)), (15, 5));
        let given = work(SurvivalCost { tokens: 1_000, ..SurvivalCost::default() });
        assert_eq!(given.bytes_read(streaming), fixed.bytes_read(streaming));
        assert_eq!(seconds(given, caching), 11);
        let answered = work(SurvivalCost { tokens: 1_000, answer_passes: 24, sample_passes: 0 });
        assert_eq!((seconds(answered, streaming), seconds(answered, caching)), (15 + 24 * 10, 11));
        let shown = work(SurvivalCost { tokens: 1_000, answer_passes: 24, sample_passes: 24 });
        assert_eq!((seconds(shown, streaming), seconds(shown, caching)), (15 + 24 * (10 + 15), 19));
        assert_eq!(shown.bytes_read(caching), 300_000_000);
        let without_room = ComparedWork { exported: 3 << 30, ..shown };
        assert_eq!(without_room.bytes_read(caching), 25 * (3 << 30));
    }

    #[test]
    fn the_adapter_beside_its_base_is_a_fourth_model_of_the_same_reads() {
        let (weights, exported) = (600_000_000, 300_000_000);
        let with = |adapter_beside, cost| ComparedWork { weights, exported, cost, adapter_beside };
        let [one, two, four] = [1.0, 2.0, 4.0].map(|cpus| JobMachine { cpus, ..JobMachine::default() });
        let seconds = |work: ComparedWork| [one, two, four].map(|machine| work.time(machine).as_secs());
        let fixed = SurvivalCost::default();
        assert_eq!((seconds(with(false, fixed)), seconds(with(true, fixed))), ([6, 5, 5], [12, 6, 6]));
        let given = SurvivalCost { tokens: 1_000, ..SurvivalCost::default() };
        assert_eq!((seconds(with(false, given)), seconds(with(true, given))), ([33, 16, 11], [48, 24, 15]));
        let shown = SurvivalCost { tokens: 1_000, answer_passes: 24, sample_passes: 24 };
        let [streaming, _] = machines(4.0);
        assert_eq!(with(true, shown).bytes_read(streaming), with(false, shown).bytes_read(streaming));
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
