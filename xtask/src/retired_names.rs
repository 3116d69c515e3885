//! Names that this code once had and that the field has better ones for (`docs/GLOSSARY.md`).
//!
//! A name is compared whole, with its case and with what it is the name of; a spelling anywhere in a name, in any case.

use crate::declarations::{Declaration, NameKind};

/// Retired names of one kind in one package, each with the name to write instead.
struct RetiredNames {
    package: &'static str,
    kinds: &'static [NameKind],
    names: &'static [(&'static str, &'static str)],
}

const TYPES: &[NameKind] = &[NameKind::Type, NameKind::Variant];
const MODULES: &[NameKind] = &[NameKind::Module];
const VALUES: &[NameKind] = &[NameKind::Function, NameKind::Field, NameKind::Constant, NameKind::Macro];

const RETIRED: &[RetiredNames] = &[
    RetiredNames {
        package: "engine",
        kinds: TYPES,
        names: &[
            ("Chosen", "PlannedTensor"),
            ("Colours", "ChannelsFirst"),
            ("Cut", "Truncate"),
            ("Described", "TensorInfo"),
            ("Desk", "WorkerScratch"),
            ("Filled", "ZeroPad"),
            ("Form", "TensorTransform"),
            ("Found", "ExportStats"),
            ("Given", "ExtraTensor"),
            ("Heard", "AudioEncoder"),
            ("Homeless", "UnmatchedModules"),
            ("Image", "ImageInput"),
            ("Job", "Chunk"),
            ("Kept", "FactorCache or KvCache"),
            ("Made", "EncodedRows"),
            ("Making", "ReportContext"),
            ("Names", "TensorNameMap"),
            ("Part", "TensorMap"),
            ("Piece", "RowSource"),
            ("Place", "Mapped"),
            ("Plus", "Add"),
            ("Refused", "Reject"),
            ("Step", "ReadUnit"),
            ("Stored", "AdapterTensor"),
            ("Surplus", "VocabMismatch"),
            ("Tally", "ErrorStats"),
            ("Turned", "Transpose"),
        ],
    },
    RetiredNames {
        package: "engine",
        kinds: MODULES,
        names: &[
            ("arch", "gemma"),
            ("attend", "attention"),
            ("checkpointed", "reference_weights"),
            ("choose", "select_tensors"),
            ("chosen", "planned_tensor"),
            ("feed", "mlp"),
            ("form", "tensor_transform"),
            ("found", "stats"),
            ("head", "header"),
            ("homes", "targets"),
            ("hyper", "hparams"),
            ("k", "k_quants"),
            ("kept", "factor_cache"),
            ("logits", "forward"),
            ("lora", "peft"),
            ("mixture", "tensor_types"),
            ("normal", "normal_icdf"),
            ("ordered", "parallel"),
            ("pending", "atomic_file"),
            ("pipeline", "export"),
            ("placed", "positioned"),
            ("product", "delta"),
            ("small", "read_whole"),
            ("steps", "schedule"),
            ("tally", "error_stats"),
            ("towers", "mmproj"),
            ("wide", "simd"),
        ],
    },
    RetiredNames {
        package: "engine",
        kinds: VALUES,
        names: &[
            ("HEARD", "AUDIO_PROJECTOR"),
            ("SEEN", "VISION_PROJECTOR"),
            ("around", "tensors"),
            ("borrows", "shares_kv"),
            ("brakes", "rope_freq_factors"),
            ("given", "extra_tensors"),
            ("judge", "check_effect"),
            ("look_up", "embed"),
            ("some_around", "optional_tensors"),
            ("stretch", "rope_scale"),
            ("turned", "apply_rope"),
            ("wide", "multiversion"),
        ],
    },
    RetiredNames { package: "job", kinds: TYPES, names: &[("Shelf", "ArtifactFolder")] },
    RetiredNames {
        package: "job",
        kinds: MODULES,
        names: &[("blocks", "chunks"), ("shelf", "artifact_folder")],
    },
    RetiredNames {
        package: "job",
        kinds: VALUES,
        names: &[("discard", "rollback"), ("seal", "commit"), ("tuned", "fine_tune")],
    },
    RetiredNames { package: "cli", kinds: MODULES, names: &[("place", "paths"), ("watch", "progress")] },
    RetiredNames { package: "local", kinds: MODULES, names: &[("interrupted", "recovery")] },
    RetiredNames { package: "shared", kinds: MODULES, names: &[("to_the_end", "uncancelled")] },
    RetiredNames { package: "shared", kinds: VALUES, names: &[("to_the_end", "uncancelled")] },
];

/// British spellings and the American ones, which the field writes.
const SPELLINGS: &[(&str, &str)] = &[
    ("behaviour", "behavior"),
    ("centre", "center"),
    ("colour", "color"),
    ("initialis", "initializ"),
    ("licence", "license"),
    ("neighbour", "neighbor"),
    ("normalis", "normaliz"),
    ("optimis", "optimiz"),
    ("quantis", "quantiz"),
    ("serialis", "serializ"),
];

/// What to write in a name's place, as a phrase; nothing if the name may stay.
pub(crate) fn better_name(package: &str, declaration: &Declaration) -> Option<String> {
    retired(package, declaration).or_else(|| respelled(&declaration.name))
}

fn retired(package: &str, declaration: &Declaration) -> Option<String> {
    let concerns = |list: &&RetiredNames| list.package == package && list.kinds.contains(&declaration.kind);
    let mut names = RETIRED.iter().filter(concerns).flat_map(|list| list.names);
    names.find(|(retired, _)| *retired == declaration.name).map(|(_, better)| (*better).to_owned())
}

fn respelled(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let (british, american) = SPELLINGS.iter().find(|(british, _)| name.contains(british))?;
    Some(format!("{american}… for {british}…"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declarations::declarations_of;
    use crate::testing::crate_of;

    fn found(package: &str, code: &str) -> Vec<String> {
        declarations_of(&crate_of(&[("lib.rs", code)]))
            .iter()
            .filter_map(|declared| Some(format!("{}: {}", declared.name, better_name(package, declared)?)))
            .collect()
    }

    #[test]
    fn a_declared_name_is_compared_whole_in_its_package_and_with_its_kind() {
        let code = "struct Homeless; struct HomelessShelter; fn judge(form: u8) {} struct Row { form: u8 }";
        assert_eq!(found("engine", code), ["Homeless: UnmatchedModules", "judge: check_effect"]);
        assert!(found("shared", code).is_empty());
    }

    #[test]
    fn a_spelling_is_found_in_every_package_and_case() {
        let code = "enum Kind { Quantised } const MAX_COLOURS: u8 = 1; struct Quantized { serialiser: u8 }";
        let expected = [
            "Quantised: quantiz… for quantis…",
            "MAX_COLOURS: color… for colour…",
            "serialiser: serializ… for serialis…",
        ];
        assert_eq!(found("local", code), expected);
    }

    #[test]
    fn text_and_uses_are_no_declarations() {
        assert!(found("engine", "/// A Tally.\nfn f() { other::judge(\"Homeless\") }").is_empty());
    }
}
