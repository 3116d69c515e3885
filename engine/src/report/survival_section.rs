//! How much of a fine-tune exported files keep, as a section of a model card.

use std::fmt::Write as _;

use super::Survival;

/// What was measured of an exported file.
#[derive(Debug, Clone)]
pub struct KeptFineTune<'a> {
    /// What the section calls the file.
    pub name: &'a str,
    /// How many prompts it was measured with; `None` for the fixed texts.
    pub prompts: Option<u64>,
    /// As in [`Survival`].
    pub survival: Option<f64>,
    /// As in [`Survival`].
    pub changed_top1: Option<f64>,
    /// As in [`Survival`], in nats.
    pub kl_export: f64,
    /// As in [`Survival`], in nats.
    pub kl_base: f64,
    /// Survival with the adapter beside the base in the file's type.
    pub beside: Option<f64>,
    /// The tensors whose change is kept least, with the cosine of wanted and stored change.
    pub worst_tensors: Vec<(&'a str, f64)>,
}

/// A section of Markdown about these files; empty without any.
#[must_use]
pub fn survival_section(files: &[KeptFineTune<'_>]) -> String {
    let Some(first) = files.first() else { return String::new() };
    let is_same = files.iter().all(|file| file.prompts == first.prompts);
    let texts = if is_same { texts(first.prompts) } else { "the texts that the table names".to_owned() };
    let mut section = format!(
        "\n\n## What is left of the fine-tune\n\nMeasured on {texts}, beside base model and adapter in 32-bit arithmetic. Survival is 1 \u{2212} the ratio of \
         both KL divergences from these.\n\n\
         | file | survival | changed tokens that are the same | KL divergence of the file (nats) | of the base |\n\
         | --- | --- | --- | --- | --- |\n"
    );
    for KeptFineTune { name, prompts, survival, changed_top1, kl_export, kl_base, beside, .. } in files {
        let measured_on = if is_same { String::new() } else { format!(" ({})", self::texts(*prompts)) };
        let survival = match (survival, beside) {
            (Some(file), Some(beside)) => {
                format!(
                    "{} ({} with the adapter beside the base in this type)",
                    percent(*file),
                    percent(*beside)
                )
            }
            (Some(file), None) => percent(*file),
            (None, _) => "not measured: the fine-tune changes these predictions too little".to_owned(),
        };
        let same = changed_top1.map_or("none changed".to_owned(), |share| format!("{:.1} %", floor(share)));
        writeln!(section, "| {name}{measured_on} | {survival} | {same} | {kl_export:.2e} | {kl_base:.2e} |")
            .ok();
    }
    for file in files.iter().filter(|file| !file.worst_tensors.is_empty()) {
        let worst = file.worst_tensors.iter().map(|(tensor, cosine)| format!("`{tensor}` ({cosine:.3})"));
        let worst = worst.collect::<Vec<_>>().join(", ");
        write!(
            section,
            "\nTensors whose change {} keeps least (cosine of wanted and stored change): {worst}.\n",
            file.name
        )
        .ok();
    }
    section.truncate(section.trim_end().len());
    section
}

fn texts(prompts: Option<u64>) -> String {
    match prompts {
        Some(1) => "1 prompt".to_owned(),
        Some(count) => format!("{count} prompts"),
        None => "four fixed texts".to_owned(),
    }
}

/// Rounded down, so that no share below the whole reads as 100 %.
fn floor(share: f64) -> f64 {
    (share * 1000.0).floor() / 10.0
}

fn percent(share: f64) -> String {
    match floor(share) {
        none if none < 0.0 => format!("nothing ({none:.1} %, {})", Survival::BELOW_ZERO),
        percent if percent >= 99.9 && share < 1.0 => "more than 99.9 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: KeptFineTune<'static> = KeptFineTune {
        name: "`a.gguf`",
        prompts: None,
        survival: Some(0.412),
        changed_top1: Some(0.875),
        kl_export: 0.0005,
        kl_base: 0.008,
        beside: None,
        worst_tensors: Vec::new(),
    };

    #[test]
    fn all_that_was_measured_is_in_the_section() {
        assert_eq!(survival_section(&[]), "");
        let worst_tensors = vec![("model.layers.0.mlp.down_proj.weight", 0.9126), ("lm_head.weight", 0.95)];
        let section = survival_section(&[KeptFineTune { worst_tensors, prompts: Some(16), ..FILE }]);
        let (intro, table) = section.split_once("these.\n\n").unwrap();
        assert!(
            intro.starts_with("\n\n## What is left of the fine-tune\n\nMeasured on 16 prompts, "),
            "{intro}"
        );
        assert_eq!(
            table,
            "| file | survival | changed tokens that are the same | KL divergence of the file (nats) | of the base |\n\
             | --- | --- | --- | --- | --- |\n\
             | `a.gguf` | 41.2 % | 87.5 % | 5.00e-4 | 8.00e-3 |\n\n\
             Tensors whose change `a.gguf` keeps least (cosine of wanted and stored change): \
             `model.layers.0.mlp.down_proj.weight` (0.913), `lm_head.weight` (0.950)."
        );
        assert!(survival_section(&[FILE, FILE]).contains("on four fixed texts, "));
    }

    #[test]
    fn files_that_were_measured_with_others_are_told_apart() {
        let section = survival_section(&[FILE, KeptFineTune { name: "`b.gguf`", prompts: Some(1), ..FILE }]);
        assert!(section.contains("Measured on the texts that the table names, "), "{section}");
        for row in ["| `a.gguf` (four fixed texts) | 41.2 % |", "| `b.gguf` (1 prompt) | 41.2 % |"] {
            assert!(section.contains(row), "{section}");
        }
    }

    #[test]
    fn nothing_and_almost_all_are_said_in_words() {
        for (survival, beside, expected) in [
            (Some(1.0), None, "| 100.0 % |"),
            (Some(0.99995), None, "| more than 99.9 % |"),
            (
                Some(0.41),
                Some(0.9995),
                "| 41.0 % (more than 99.9 % with the adapter beside the base in this type) |",
            ),
            (Some(-0.2), None, "| nothing (-20.0 %, further from the fine-tuned model than the base is) |"),
            (None, None, "| not measured: the fine-tune changes these predictions too little |"),
        ] {
            let section = survival_section(&[KeptFineTune { survival, beside, ..FILE }]);
            assert!(section.contains(expected), "{section}");
        }
    }
}
