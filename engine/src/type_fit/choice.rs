//! The choice of one type for each matrix, within a sum of bytes.

use kernels::quant::TensorType;

/// A type that a matrix can have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TypeChoice {
    pub(super) as_type: TensorType,
    pub(super) bytes: u64,
    pub(super) error: f64,
}

/// The types with about the least sum of errors within the budget; `None` if the smallest exceed it.
///
/// Starts from the smallest types. The step to a larger type that saves the most error for a byte comes first, as long as it
/// fits; what is left is filled with whatever steps still fit.
pub(super) fn least_error(matrices: &[Vec<TypeChoice>], budget: u64) -> Option<Vec<TensorType>> {
    let ladders: Vec<Vec<TypeChoice>> = matrices.iter().map(|choices| without_dominated(choices)).collect();
    let mut rungs = vec![0; ladders.len()];
    let mut left =
        budget.checked_sub(ladders.iter().filter_map(|ladder| Some(ladder.first()?.bytes)).sum())?;
    while let Some((matrix, rung)) = best_step(&ladders, &rungs, left) {
        left -= ladders[matrix][rung].bytes - ladders[matrix][rungs[matrix]].bytes;
        rungs[matrix] = rung;
    }
    ladders.iter().zip(rungs).map(|(ladder, rung)| ladder.get(rung).map(|choice| choice.as_type)).collect()
}

/// The choices from small to large, each with less error than all smaller ones.
fn without_dominated(choices: &[TypeChoice]) -> Vec<TypeChoice> {
    let mut sorted = choices.to_vec();
    sorted.sort_by(|a, b| a.bytes.cmp(&b.bytes).then(a.error.total_cmp(&b.error)));
    let mut least = f64::INFINITY;
    sorted.retain(|choice| {
        let is_better = choice.error < least;
        least = least.min(choice.error);
        is_better
    });
    sorted
}

/// The step that saves the most error for a byte, among those that fit.
fn best_step(ladders: &[Vec<TypeChoice>], rungs: &[usize], left: u64) -> Option<(usize, usize)> {
    let steps = ladders.iter().zip(rungs).enumerate().flat_map(|(matrix, (ladder, rung))| {
        let now = ladder[*rung];
        (rung + 1..ladder.len()).filter_map(move |larger| {
            let (bytes, saved) = (ladder[larger].bytes - now.bytes, now.error - ladder[larger].error);
            (bytes <= left).then(|| (saved / bytes.max(1) as f64, (matrix, larger)))
        })
    });
    steps.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, step)| step)
}
