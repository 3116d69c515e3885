//! Choices by hand and against all others, and files of a size.

use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::checkpoint::Checkpoint;
use crate::io::LocalFolder;

fn choices(sizes: &[(u64, f64)]) -> Vec<TypeChoice> {
    let types = TensorType::ALL.into_iter().skip(3);
    sizes
        .iter()
        .zip(types)
        .map(|((bytes, error), as_type)| TypeChoice { as_type, bytes: *bytes, error: *error })
        .collect()
}

/// The least error of all combinations that fit.
fn by_trial(matrices: &[Vec<TypeChoice>], budget: u64) -> Option<f64> {
    match matrices.split_first() {
        None => Some(0.0),
        Some((first, rest)) => {
            let fitting = first.iter().filter(|choice| choice.bytes <= budget);
            let totals =
                fitting.filter_map(|choice| Some(choice.error + by_trial(rest, budget - choice.bytes)?));
            totals.min_by(f64::total_cmp)
        }
    }
}

#[test]
fn the_choice_is_close_to_the_best_and_always_fits() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut gap = 0.0;
    for _ in 0..200 {
        let matrices: Vec<Vec<TypeChoice>> =
            (0..5)
                .map(|_| {
                    let size = random.u64(50..250);
                    let bits = [2, 4, 5, 8];
                    choices(&bits.map(|bits| {
                        (size * bits, random.u64(20..120) as f64 / f64::from(1_u32 << (2 * bits)))
                    }))
                })
                .collect();
        let smallest: u64 = matrices.iter().map(|choices| choices[0].bytes).sum();
        assert!(least_error(&matrices, smallest - 1).is_none());
        let budget = smallest + random.u64(..3 * smallest);
        let chosen = least_error(&matrices, budget).unwrap();
        let picked = matrices.iter().zip(&chosen);
        let bytes: u64 = picked
            .map(|(choices, as_type)| choices.iter().find(|choice| choice.as_type == *as_type).unwrap().bytes)
            .sum();
        assert!(bytes <= budget);
        let (found, best) = (total_error(&matrices, &chosen), by_trial(&matrices, budget).unwrap());
        let worst: f64 = matrices.iter().map(|choices| choices[0].error).sum();
        gap += (found - best) / (worst - best).max(1e-12) / 200.0;
    }
    assert!(gap < 0.05, "{gap}");
}

#[test]
fn a_larger_type_without_less_error_is_never_chosen() {
    let matrices = [choices(&[(10, 1.0), (20, 1.5), (30, 0.5)])];
    assert_eq!(least_error(&matrices, 20), Some(vec![matrices[0][0].as_type]));
    assert_eq!(least_error(&matrices, 30), Some(vec![matrices[0][2].as_type]));
}

fn model(base: &str) -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(base).join("base");
    Model::new(&Checkpoint::open(Arc::new(LocalFolder::open(folder).unwrap())).unwrap())
}

#[test]
fn the_error_of_the_head_counts_for_several() {
    for (base, counts) in [("gemma3-micro", 4.0), ("families/gemma-embedding", 1.0)] {
        let model = model(base);
        let plan = GgufPlan::new(&model, &GgufOptions::new(OutputType::Q4_K_M, "m")).unwrap();
        let matrices = plan.matrices();
        let head = measure::Head::of(&model, &matrices).unwrap();
        assert_eq!(head.weight("token_embd.weight"), counts, "{base}");
        assert_eq!(head.weight("blk.0.ffn_down.weight"), 1.0, "{base}");
    }
}

/// Types of other sizes for the head keep less of the fine-tune of this model, whose embedding is a quarter of it.
#[test]
fn the_types_of_a_mixture_s_size_are_not_worse_for_the_head() {
    let model = model("gemma3-micro");
    let options = GgufOptions::new(OutputType::Q6_K, "m");
    let mixture = GgufPlan::new(&model, &options).unwrap();
    let fitted = fit_types(&model, &options, mixture.size(), &RunOptions::default()).unwrap();
    let head = fitted.types.iter().find(|(name, _)| name == "token_embd.weight").unwrap();
    assert!(head.1 == TensorType::Q6K || head.1 == TensorType::Q8_0, "{head:?}");
}

#[test]
fn nothing_is_lost_where_16_bits_fit() {
    for base in ["gemma3-micro", "families/gemma4-moe"] {
        let model = model(base);
        let whole = GgufPlan::new(&model, &GgufOptions::new(OutputType::BF16, "m")).unwrap().size();
        let options = GgufOptions::new(OutputType::Q8_0, "m");
        // the metadata of a quantized file are a few bytes more
        let fitted = fit_types(&model, &options, whole + 4096, &RunOptions::default()).unwrap();
        assert_eq!(fitted.error, 0.0, "{base}: {:?}", fitted.types);
        let plan = GgufPlan::new(&model, &fitted.options).unwrap();
        assert_eq!(plan.size(), fitted.size);
    }
}

#[test]
fn a_file_has_at_most_its_size_and_at_most_the_error_of_a_mixture() {
    let run = RunOptions::default();
    for base in ["gemma3-micro", "families/gemma4-moe", "families/gemma-embedding"] {
        let model = model(base);
        let size = |output| GgufPlan::new(&model, &GgufOptions::new(output, "m")).unwrap().size();
        let (small, large) = (size(OutputType::Q2_K), size(OutputType::Q8_0));
        for max_bytes in [small, (2 * small + large) / 3, (small + large) / 2, large, 2 * large] {
            let fitted =
                fit_types(&model, &GgufOptions::new(OutputType::Q8_0, "m"), max_bytes, &run).unwrap();
            let plan = GgufPlan::new(&model, &fitted.options).unwrap();
            assert_eq!(plan.size(), fitted.size);
            assert!(fitted.size <= max_bytes, "{} {max_bytes}", fitted.size);
            // the matrices of modules have the types of Q4_K_M, so that the smallest mixture has not room
            assert!(fitted.mixture.is_some() || (max_bytes == small && plan.module_types().next().is_some()));
            if let Some((mixture, error)) = fitted.mixture {
                assert!(fitted.error <= error, "{base} {max_bytes} {mixture}: {} {error}", fitted.error);
            }
            let stored = |name: &str| plan.tensors().find(|tensor| tensor.name == name).unwrap().stored_type;
            assert!(fitted.types.iter().all(|(name, as_type)| stored(name) == *as_type));
        }
        let error = fit_types(&model, &GgufOptions::new(OutputType::Q8_0, "m"), 1000, &run).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("bytes in the smallest types, more than 1000"), "{error}");
        let smallest = error.rsplit(' ').nth(2).unwrap().parse().unwrap();
        let fit = |max_bytes| fit_types(&model, &GgufOptions::new(OutputType::Q8_0, "m"), max_bytes, &run);
        assert_eq!(fit(smallest).unwrap().size, smallest);
        assert!(fit(smallest - 1).is_err());
    }
}
