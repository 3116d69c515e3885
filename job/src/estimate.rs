//! How long an export takes and what it costs, from the bytes that it reads and writes. `docs/DEPLOY.md` has the measurements
//! and prices behind the numbers.

use std::time::Duration;

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
/// Seconds of one CPU for a gigabyte of weights: to compare the predictions of an export with those of base and adapter.
const COMPARE: f64 = 20.0;
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

    /// Compares the predictions of an export that has `exported` bytes of weights, if that does not take too long.
    pub(crate) fn compare(&mut self, weights: u64, exported: u64, machine: JobMachine) {
        if comparison_time(weights, exported, machine.cpus) <= machine.verify_logits {
            self.read(weights + exported);
            self.cpu_seconds +=
                weights as f64 / 1e9 * COMPARE * machine.cpus / machine.cpus.min(COMPARED_MODELS);
        }
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

/// How long the comparison of predictions takes: of a model with `weights` bytes, and an export of it with `exported` bytes.
pub(crate) fn comparison_time(weights: u64, exported: u64, cpus: f64) -> Duration {
    let transfer = (weights + exported) as f64 / READ_RATE;
    let compute = weights as f64 / 1e9 * COMPARE / cpus.min(COMPARED_MODELS);
    Duration::from_secs_f64(transfer.max(compute))
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
    fn quantization_takes_longer_than_transfers_on_few_cpus() {
        let mut work = WorkAmount::default();
        work.read(1_000_000_000);
        (0..8).for_each(|_| work.convert(1_000_000_000, false));
        let seconds = |cpus| work.estimate(JobMachine { cpus, ..JobMachine::default() }).seconds;
        assert_eq!((seconds(1.0), seconds(8.0)), (64, 37));
    }
}
