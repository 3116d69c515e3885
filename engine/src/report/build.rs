//! From what came to light to the report.

use super::{Change, FORMAT, Inputs, Kind, MadeBy, Making, OutputFile, Proof, ReadBytes, Report};
use super::{StoredAs, TensorReport, pairs};
use crate::model::{Effect, Model};
use crate::pipeline::found::{Found, FoundTensor};
use crate::pipeline::layout::{Content, Layout};
use crate::pipeline::{Summary, WrittenFile};
use crate::report::tally::Total;

impl Report {
    #[expect(clippy::too_many_arguments, reason = "everything an export knows comes together here")]
    pub(crate) fn new(
        model: &Model,
        files: &[Layout],
        numbers: std::ops::Range<usize>,
        making: &Making,
        inputs: Inputs,
        found: &Found,
        summary: Summary,
        written: &[WrittenFile],
    ) -> Self {
        let stored = stored(model, files, numbers, found);
        let tensors = model.tensors().iter().zip(&found.tensors).zip(&stored);
        Self {
            format: FORMAT,
            made_by: MadeBy {
                engine: env!("CARGO_PKG_VERSION").to_owned(),
                gguf: (making.kind == Kind::Gguf).then_some(3),
            },
            kind: making.kind,
            options: making.options.clone(),
            summary: proof(making.kind, found, &stored, summary),
            outputs: written.iter().map(output).collect(),
            inputs,
            pairs: pairs::of(model),
            tensors: tensors.map(|((tensor, found), stored)| report(model, tensor, found, stored)).collect(),
        }
    }
}

fn output(file: &WrittenFile) -> OutputFile {
    OutputFile { name: file.name.clone(), bytes: file.size, sha256: file.sha256.clone() }
}

/// How the files of these numbers store each tensor of the model.
fn stored<'a>(
    model: &Model,
    files: &'a [Layout],
    numbers: std::ops::Range<usize>,
    found: &Found,
) -> Vec<Option<(&'a str, &'static str, Total)>> {
    let mut stored = vec![None; model.tensors().len()];
    for number in numbers {
        for (part, error) in files[number].parts.iter().zip(&found.errors[number]) {
            if let Content::Encoded { tensor, as_type, .. } = &part.content {
                stored[*tensor] = Some((part.name.as_str(), as_type.as_str(), *error));
            }
        }
    }
    stored
}

fn proof(kind: Kind, found: &Found, stored: &[Option<(&str, &str, Total)>], summary: Summary) -> Proof {
    let (mut change, mut error) = (Total::default(), Total::default());
    found.tensors.iter().for_each(|tensor| change.join(&tensor.change));
    stored.iter().flatten().for_each(|(_, _, total)| error.join(total));
    let of_gguf = kind == Kind::Gguf;
    Proof {
        pairs: summary.pairs,
        tensors_changed: summary.changed,
        tensors_zero: summary.zero,
        tensors_unchanged: summary.unchanged,
        elements_changed: change.changed,
        largest_change: change.largest,
        mean_change: change.mean(),
        rmse: of_gguf.then(|| error.mean().sqrt()),
        largest_error: of_gguf.then_some(error.largest),
    }
}

fn report(
    model: &Model,
    tensor: &crate::model::Tensor,
    found: &FoundTensor,
    stored: &Option<(&str, &'static str, Total)>,
) -> TensorReport {
    let FoundTensor { base, effect, change } = found;
    TensorReport {
        name: tensor.info.name.clone(),
        file: model.base().shards()[tensor.info.shard].name.clone(),
        dtype: tensor.info.dtype.as_str(),
        shape: tensor.info.shape.clone(),
        base: base.as_ref().map(|read| ReadBytes { bytes: read.bytes, blake3: read.blake3.clone() }),
        effect: match effect {
            Effect::Untouched => "none",
            Effect::Zero => "zero",
            Effect::Lost => "lost",
            Effect::Changed => "changed",
        },
        change: (*effect != Effect::Untouched).then(|| Change {
            elements: change.changed,
            largest: change.largest,
            mean: change.mean(),
        }),
        stored: stored.map(|(name, stored_type, error)| StoredAs {
            name: name.to_owned(),
            stored_type,
            rmse: error.mean().sqrt(),
            largest_error: error.largest,
        }),
    }
}
