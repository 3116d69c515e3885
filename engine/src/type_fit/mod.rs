//! Types by tensor for a size of the file: the error of each matrix in each type is measured, and types are chosen that fit
//! and have the least sum of errors.

mod choice;
mod measure;

use std::collections::HashSet;

use crate::convert::{GgufOptions, GgufPlan};
use crate::error::{Error, Result};
use crate::merge::Model;
use crate::progress::RunOptions;
use choice::{TypeChoice, least_error};
use kernels::quant::{OutputType, TensorType, TypeOverrides};

/// Types that were chosen for a size.
#[derive(Debug, Clone)]
pub struct FittedTypes {
    /// The options of the file.
    pub options: GgufOptions,
    /// The size of the files in bytes, to the byte.
    pub size: u64,
    /// The sum over matrices of their relative squared errors, weighted by the importance matrix; that of the head times the number of
    /// layers, which is at least 4 here.
    pub error: f64,
    /// The type of each matrix.
    pub types: Vec<(String, TensorType)>,
    /// The best mixture of `llama-quantize` that is not larger, and its error; `None` if all are larger.
    pub mixture: Option<(OutputType, f64)>,
}

impl FittedTypes {
    /// The type that the file is named after.
    pub fn output_type(&self) -> OutputType {
        self.mixture.map_or(OutputType::Q2_K, |(output, _)| output)
    }
}

/// Chooses a type for each matrix so that the file has at most `max_bytes` and the least error. The result is never worse than the
/// best mixture of that size.
///
/// # Errors
/// [`Error::TooLarge`] when even the smallest types are larger, as [`GgufPlan::new`], and [`Error::Cancelled`] when the caller asked to stop.
pub fn fit_types(
    model: &Model,
    options: &GgufOptions,
    max_bytes: u64,
    run: &RunOptions<'_>,
) -> Result<FittedTypes> {
    let plan = GgufPlan::new(model, &options.clone().with_output_type(OutputType::Q4_K_M))?;
    let in_q4_0 = TypeOverrides { pure: true, ..TypeOverrides::default() };
    let in_q4_0 = options.clone().with_output_type(OutputType::Q4_0).with_types(in_q4_0);
    let on_grid = GgufPlan::new(model, &in_q4_0)?;
    let on_grid: HashSet<&str> = on_grid.names_on_grid().collect();
    let choices = measure::choices(model, &plan.matrices(), &on_grid, run)?;
    let fit = TypeFit { options, plan: &plan, choices: &choices };
    let mut others = fit.others();
    loop {
        let Some(mut fitted) = fit.within(max_bytes, others) else {
            let smallest = others + fit.smallest();
            let model = model.base().location().to_owned();
            return Err(Error::TooLarge { model, smallest, max_bytes });
        };
        if options.split.is_some() {
            // each part has a header, and their number is that of the types
            fitted.size = GgufPlan::new(model, &fitted.options)?.size();
        }
        if fitted.size <= max_bytes {
            return Ok(fitted);
        }
        others += fitted.size - max_bytes;
    }
}

/// The errors that were measured, and the file without types.
struct TypeFit<'a> {
    options: &'a GgufOptions,
    plan: &'a GgufPlan,
    choices: &'a [Vec<TypeChoice>],
}

impl TypeFit<'_> {
    /// The bytes of the file without its matrices.
    fn others(&self) -> u64 {
        let planned: Vec<TensorType> = self.plan.matrices().iter().map(|matrix| matrix.as_type).collect();
        self.plan.size() - self.bytes_of(&planned)
    }

    /// The bytes of the matrices in these types.
    fn bytes_of(&self, types: &[TensorType]) -> u64 {
        let matrices = self.plan.matrices();
        matrices.iter().zip(types).map(|(matrix, as_type)| matrix.padded_bytes(*as_type)).sum()
    }

    /// The bytes of the matrices in the smallest types.
    fn smallest(&self) -> u64 {
        self.choices.iter().filter_map(|choices| choices.iter().map(|choice| choice.bytes).min()).sum()
    }

    /// The types with the least error beside so many other bytes; `None` if even the smallest are larger.
    fn within(&self, max_bytes: u64, others: u64) -> Option<FittedTypes> {
        let chosen = least_error(self.choices, max_bytes.checked_sub(others)?)?;
        let mixture =
            best_mixture(self.plan, self.choices, |types| others + self.bytes_of(types) <= max_bytes);
        let error = total_error(self.choices, &chosen);
        let (types, error) = match &mixture {
            Some((_, types, of_mixture)) if *of_mixture < error => (types.clone(), *of_mixture),
            Some(_) | None => (chosen, error),
        };
        let matrices = self.plan.matrices();
        let named: Vec<(String, TensorType)> =
            matrices.iter().map(|matrix| matrix.name.to_owned()).zip(types.iter().copied()).collect();
        let output_type = mixture.as_ref().map_or(OutputType::Q2_K, |(output, ..)| *output);
        let types_of_matrices = named.iter().map(|(name, as_type)| (name.as_str(), *as_type));
        let overrides = TypeOverrides::of_tensors(types_of_matrices.chain(self.plan.module_types()));
        Some(FittedTypes {
            options: self.options.clone().with_output_type(output_type).with_types(overrides),
            size: others + self.bytes_of(&types),
            error,
            types: named,
            mixture: mixture.map(|(output, _, error)| (output, error)),
        })
    }
}

/// The mixture that fits and has the least error.
fn best_mixture(
    plan: &GgufPlan,
    choices: &[Vec<TypeChoice>],
    fits: impl Fn(&[TensorType]) -> bool,
) -> Option<(OutputType, Vec<TensorType>, f64)> {
    let mixtures = OutputType::ALL.into_iter().filter(|output| output.is_quantized());
    let typed = mixtures.map(|output| (output, plan.types_as(output)));
    let fitting = typed.filter(|(_, types)| fits(types));
    let measured = fitting.map(|(output, types)| {
        let error = total_error(choices, &types);
        (output, types, error)
    });
    measured.min_by(|a, b| a.2.total_cmp(&b.2))
}

/// The sum of errors; infinite where a type was not measured.
fn total_error(choices: &[Vec<TypeChoice>], types: &[TensorType]) -> f64 {
    let error = |(choices, as_type): (&Vec<TypeChoice>, &TensorType)| {
        let choice = choices.iter().find(|choice| choice.as_type == *as_type);
        choice.map_or(f64::INFINITY, |choice| choice.error)
    };
    choices.iter().zip(types).map(error).sum()
}

#[cfg(test)]
mod tests;
