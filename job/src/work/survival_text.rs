//! What exports keep of a fine-tune, for the message and the model card.

use engine::report::{KeptFineTune, Survival};
use shared::domain::{PromptSource, Proof, Quantization, SurvivalShare};

/// A survival below this is said in the message.
const LOW_SURVIVAL: f64 = 0.9;

/// What a file keeps of the fine-tune.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeptShare {
    file: f64,
    /// What the base in the same type keeps with the adapter beside it, if that was measured.
    beside: Option<f64>,
}

impl KeptShare {
    /// `None` if it was not measured.
    pub(super) fn of(proof: &Proof) -> Option<Self> {
        let found = proof.survival.as_ref()?;
        let beside = found.adapter_beside.and_then(|beside| beside.survival);
        Some(Self { file: found.survival?, beside })
    }

    fn is_enough(self) -> bool {
        self.file >= LOW_SURVIVAL
    }

    /// Whether the adapter beside the base keeps more than the file.
    fn is_more_beside(self) -> bool {
        self.beside.is_some_and(|beside| beside > self.file)
    }
}

/// What these files keep of the fine-tune, as a section of the model card; empty if that was not measured.
pub(super) fn survival_section(files: &[(&str, &Proof)]) -> String {
    let measured = files.iter().filter_map(|(name, proof)| Some((*name, proof.survival.as_ref()?)));
    let measured: Vec<(&str, &SurvivalShare)> = measured.collect();
    let kept = measured.iter().map(|(name, found)| {
        let worst_tensors = found.worst_tensors.iter().map(|one| (one.tensor.as_str(), one.cosine)).collect();
        let SurvivalShare { survival, changed_top1, kl_export, kl_base, adapter_beside, .. } = **found;
        let beside = adapter_beside.and_then(|beside| beside.survival);
        let prompts = match found.prompts.source {
            PromptSource::File => Some(u64::from(found.prompts.used)),
            PromptSource::Fixed => None,
        };
        KeptFineTune { name, prompts, survival, changed_top1, kl_export, kl_base, beside, worst_tensors }
    });
    engine::report::survival_section(&kept.collect::<Vec<_>>())
}

/// The end of a message about GGUF files of these types, if one keeps little of the fine-tune, or the adapter beside its base was
/// measured too: what each keeps, and which to take.
pub(super) fn survival_advice(measured: &[(Quantization, KeptShare)]) -> String {
    let is_enough = measured.iter().all(|(_, share)| share.is_enough());
    if is_enough && measured.iter().all(|(_, share)| share.beside.is_none()) {
        return String::new();
    }
    let kept = measured.iter().enumerate().map(|(number, (quantization, share))| {
        let ((file, figure), beside) = (whole(share.file), in_brackets(share.beside));
        match number {
            0 => format!("{quantization} keeps {file} of the fine-tune{figure}{beside}"),
            _ => format!("{quantization} {file}{figure}{beside}"),
        }
    });
    let kept = kept.collect::<Vec<_>>().join(", ");
    if is_enough {
        return format!("; {kept}");
    }
    // the smallest that keeps enough: types are ordered by precision
    let precision =
        |quantization: &Quantization| Quantization::ALL.iter().position(|one| one == quantization);
    let enough = measured.iter().filter(|(_, share)| share.is_enough());
    let advice = match enough.max_by_key(|(quantization, _)| precision(quantization)) {
        Some((smallest, _)) => smallest.as_str(),
        None if measured.iter().any(|(quantization, _)| *quantization == Quantization::Q8_0) => {
            "f16 or merged"
        }
        None => "q8_0",
    };
    let is_more_beside = measured.iter().any(|(_, share)| share.is_more_beside());
    let or_beside = if is_more_beside { ", or the adapter beside its base" } else { "" };
    format!("; {kept}: take {advice}{or_beside}")
}

/// The end of a message about a file of a size, if it keeps little of the fine-tune, or the adapter beside its base was measured too.
pub(super) fn fitted_advice(share: KeptShare) -> String {
    if share.is_enough() && share.beside.is_none() {
        return String::new();
    }
    let ((file, figure), beside) = (whole(share.file), in_brackets(share.beside));
    let advice = match (share.is_enough(), share.is_more_beside()) {
        (true, _) => "",
        (false, false) => ": allow more bytes",
        (false, true) => ": allow more bytes, or take the adapter beside its base",
    };
    format!("; it keeps {file} of the fine-tune{figure}{beside}{advice}")
}

fn in_brackets(beside: Option<f64>) -> String {
    beside.map_or_else(String::new, |share| {
        format!(" ({} with the adapter beside the base in this type)", whole(share).0)
    })
}

/// A share, which is not 100 % where something is lost; and the figure of what is further from the fine-tuned model than the base, which is
/// said after it.
fn whole(share: f64) -> (String, String) {
    let most = if share < 1.0 { 99.0 } else { 100.0 };
    match 100.0 * share {
        none if none < 0.0 => ("nothing".to_owned(), format!(" ({none:.0} %, {})", Survival::BELOW_ZERO)),
        percent => (format!("{:.0} %", percent.min(most)), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use shared::{
        domain::{AdapterBeside, PromptUse},
        testing::fixtures,
    };

    use super::*;
    use Quantization::{Q4_0, Q4_K_M, Q8_0};

    fn alone(file: f64) -> KeptShare {
        KeptShare { file, beside: None }
    }

    fn with(beside: f64, file: f64) -> KeptShare {
        KeptShare { file, beside: Some(beside) }
    }

    /// A proof with these shares of the file, and of the adapter beside its base.
    fn proof(file: Option<f64>, beside: Option<f64>) -> Proof {
        let adapter_beside =
            beside.map(|share| AdapterBeside { survival: Some(share), kl: 0.001, changed_top1: None });
        let found = fixtures::proof().survival.unwrap();
        let survival = Some(SurvivalShare { survival: file, adapter_beside, ..found });
        Proof { survival, ..fixtures::proof() }
    }

    #[test]
    fn the_card_has_a_row_for_each_file_that_was_measured() {
        let (some, with_beside) = (proof(Some(0.412), None), proof(Some(0.412), Some(0.97)));
        let not_measured = Proof { survival: None, ..some.clone() };
        assert_eq!(survival_section(&[("it", &not_measured)]), "");
        let section =
            survival_section(&[("`a.gguf`", &some), ("`b.gguf`", &with_beside), ("`c.gguf`", &not_measured)]);
        assert!(section.contains("Measured on 16 prompts, "), "{section}");
        assert!(section.contains("| `a.gguf` | 41.2 % | 87.5 % | 5.00e-4 | 8.00e-3 |"), "{section}");
        assert!(section.contains("| `b.gguf` | 41.2 % (97.0 % with the adapter beside"), "{section}");
        assert!(section.contains("`model.layers.3.mlp.down_proj.weight` (0.750)"), "{section}");
        assert!(!section.contains("c.gguf"), "{section}");
        let fixed = |found| SurvivalShare { prompts: PromptUse::default(), ..found };
        let fixed = Proof { survival: some.survival.map(fixed), ..not_measured };
        assert!(survival_section(&[("it", &fixed)]).contains("Measured on four fixed texts, "));
    }

    #[test]
    fn a_file_of_a_size_that_keeps_little_needs_more_bytes() {
        assert_eq!(fitted_advice(alone(0.95)), "");
        assert_eq!(fitted_advice(alone(0.412)), "; it keeps 41 % of the fine-tune: allow more bytes");
        assert_eq!(
            fitted_advice(with(0.97, 0.412)),
            "; it keeps 41 % of the fine-tune (97 % with the adapter beside the base in this type): allow more bytes, or take the \
             adapter beside its base"
        );
        assert!(fitted_advice(with(0.97, 0.95)).ends_with("in this type)"));
    }

    #[test]
    fn a_type_that_keeps_little_is_named_with_one_that_keeps_more() {
        assert_eq!(survival_advice(&[(Q8_0, alone(0.99)), (Q4_K_M, alone(0.93))]), "");
        assert_eq!(
            survival_advice(&[(Q4_0, alone(0.41)), (Q4_K_M, alone(0.93)), (Q8_0, alone(0.998))]),
            "; q4_0 keeps 41 % of the fine-tune, q4_k_m 93 %, q8_0 99 %: take q4_k_m"
        );
        let figure = "(-20 %, further from the fine-tuned model than the base is)";
        assert_eq!(
            survival_advice(&[(Q4_0, alone(-0.2))]),
            format!("; q4_0 keeps nothing of the fine-tune {figure}: take q8_0")
        );
        assert_eq!(
            survival_advice(&[(Q8_0, alone(0.99)), (Q4_0, alone(-0.2))]),
            format!("; q8_0 keeps 99 % of the fine-tune, q4_0 nothing {figure}: take q8_0")
        );
        assert_eq!(
            fitted_advice(alone(-0.2)),
            format!("; it keeps nothing of the fine-tune {figure}: allow more bytes")
        );
        assert!(survival_advice(&[(Q8_0, alone(0.5))]).ends_with("take f16 or merged"));
    }

    #[test]
    fn the_adapter_beside_its_base_is_said_and_taken_where_it_keeps_more() {
        assert_eq!(
            survival_advice(&[(Q4_0, with(0.9999, 0.41)), (Q8_0, alone(0.99))]),
            "; q4_0 keeps 41 % of the fine-tune (99 % with the adapter beside the base in this type), q8_0 99 %: take q8_0, or the \
             adapter beside its base"
        );
        assert!(survival_advice(&[(Q4_0, with(0.3, 0.41))]).ends_with(": take q8_0"));
        assert_eq!(
            survival_advice(&[(Q4_0, with(0.96, 0.93))]),
            "; q4_0 keeps 93 % of the fine-tune (96 % with the adapter beside the base in this type)"
        );
    }
}
