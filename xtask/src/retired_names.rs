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

const TYPES: &[NameKind] = &[NameKind::Type];
const VARIANTS: &[NameKind] = &[NameKind::Variant];
const MODULES: &[NameKind] = &[NameKind::Module];
const VALUES: &[NameKind] = &[NameKind::Function, NameKind::Field, NameKind::Constant, NameKind::Macro];

const RETIRED: &[RetiredNames] = &[
    RetiredNames {
        package: "engine",
        kinds: TYPES,
        names: &[
            ("Chosen", "PlannedTensor"),
            ("Described", "TensorInfo"),
            ("Desk", "WorkerScratch"),
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
            ("Step", "ReadUnit"),
            ("Stored", "AdapterTensor"),
            ("Surplus", "VocabMismatch"),
            ("Tally", "ErrorStats"),
        ],
    },
    RetiredNames {
        package: "engine",
        kinds: VARIANTS,
        names: &[
            ("Colours", "ChannelsFirst"),
            ("Cut", "Truncate"),
            ("Filled", "ZeroPad"),
            ("Plus", "Add"),
            ("Refused", "Reject"),
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
    ("optimisa", "optimiza"),
    ("optimise", "optimize"),
    ("quantis", "quantiz"),
    ("serialis", "serializ"),
];

/// What is wrong with a declared name and what to write in its place; nothing if it may stay.
pub(crate) fn objection(package: &str, declaration: &Declaration) -> Option<String> {
    retired(package, declaration).or_else(|| british(&declaration.name))
}

fn retired(package: &str, declaration: &Declaration) -> Option<String> {
    let name = &declaration.name;
    let concerns = |list: &&RetiredNames| list.package == package && list.kinds.contains(&declaration.kind);
    let mut names = RETIRED.iter().filter(concerns).flat_map(|list| list.names);
    let (_, better) = names.find(|(retired, _)| retired == name)?;
    Some(format!("`{name}` is a retired name; write {better}"))
}

fn british(name: &str) -> Option<String> {
    let small = name.to_lowercase();
    let (british, american) = SPELLINGS.iter().find(|(british, _)| small.contains(british))?;
    Some(format!("`{name}` has the British spelling {british}; write {american}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::declarations::declarations_of;
    use crate::testing::crate_of;

    fn found(package: &str, code: &str) -> Vec<String> {
        declarations_of(&crate_of(&[("lib.rs", code)]))
            .iter()
            .filter_map(|declared| objection(package, declared))
            .collect()
    }

    #[test]
    fn a_declared_name_is_compared_whole_in_its_package_and_with_its_kind() {
        let code = "struct Homeless; struct HomelessShelter; fn judge(form: u8) {} struct Row { form: u8 }";
        assert_eq!(
            found("engine", code),
            [
                "`Homeless` is a retired name; write UnmatchedModules",
                "`judge` is a retired name; write check_effect",
            ]
        );
        assert!(found("shared", code).is_empty());
    }

    #[test]
    fn a_spelling_is_found_in_every_package_and_case() {
        let code = "enum Kind { Quantised } const MAX_COLOURS: u8 = 1; struct Quantized { serialiser: u8 }";
        let expected = [
            "`Quantised` has the British spelling quantis; write quantiz",
            "`MAX_COLOURS` has the British spelling colour; write color",
            "`serialiser` has the British spelling serialis; write serializ",
        ];
        assert_eq!(found("local", code), expected);
    }

    #[test]
    fn text_and_uses_are_no_declarations() {
        assert!(found("engine", "/// A Tally.\nfn f() { other::judge(\"Homeless\") }").is_empty());
    }
}
