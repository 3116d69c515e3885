//! What a pass is made of and makes, to tell whether a draft of an earlier run is of the same one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::OUTPUT_REVISION;
use crate::error::first_names;
use crate::plan::{ExportPlan, FileLayout, PartContent};
use crate::progress::RunOptions;
use crate::report::{InputFile, InputFiles};

/// Descriptions by what they describe, as messages name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct PassFingerprint(BTreeMap<String, String>);

impl PassFingerprint {
    /// `None` if an input's weights have no [version](crate::Source::version): they may change unnoticed.
    pub(super) fn of(plan: &ExportPlan, inputs: &InputFiles, run: &RunOptions<'_>) -> Option<Self> {
        let options: Vec<_> =
            plan.reports.iter().map(|report| (report.context.kind, &report.context.options)).collect();
        let engine = format!("{} (output revision {OUTPUT_REVISION})", env!("CARGO_PKG_VERSION"));
        let mut parts = BTreeMap::from([
            ("the engine's version".to_owned(), engine),
            ("the options".to_owned(), serde_json::to_string(&(options, run.allow_non_finite)).ok()?),
            ("the base's revision".to_owned(), inputs.base_revision.clone().unwrap_or_default()),
        ]);
        for (owner, files) in
            [("base", &inputs.base), ("adapter", &inputs.adapter), ("target model", &inputs.target)]
        {
            parts.extend(files.iter().map(|file| (format!("the {owner}'s {}", file.name), content(file))));
        }
        for shard in plan.model.base().shards() {
            let version = shard.source.version()?;
            parts.entry(format!("the base's {}", shard.name)).or_default().push_str(&version);
        }
        parts.extend(plan.files.iter().map(|file| (format!("the output {}", file.name), layout(file))));
        Some(Self(parts))
    }

    /// What differs from a pass of an earlier run, in a few words.
    pub(super) fn differences(&self, earlier: &Self) -> String {
        let names = self.0.keys().chain(earlier.0.keys().filter(|name| !self.0.contains_key(*name)));
        let differing = names.filter(|name| self.0.get(*name) != earlier.0.get(*name));
        first_names(&differing.cloned().collect::<Vec<_>>())
    }
}

fn content(file: &InputFile) -> String {
    let hash = file.sha256.as_ref().or(file.header_sha256.as_ref());
    format!("{} bytes, {}, ", file.bytes, hash.map_or("", String::as_str))
}

/// The size and a hash of the layout: the header, and how each part is made.
fn layout(file: &FileLayout) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(&file.header);
    for part in &file.parts {
        hash.update(format!("{part:?}").as_bytes());
        match &part.content {
            PartContent::File(source) => {
                hash.update(format!("{:?}", source.version()).as_bytes());
            }
            PartContent::Stored(tensor) => {
                hash.update(&tensor.to_le_bytes());
            }
            PartContent::Encoded {
                tensor,
                elements,
                transform,
                as_type,
                through_f16,
                importance,
                on_grid,
            } => {
                let made = (tensor, elements, transform, as_type, through_f16, on_grid);
                hash.update(format!("{made:?}").as_bytes());
                let values = importance.iter().flat_map(|importance| importance.values.iter());
                values.for_each(|value| {
                    hash.update(&value.to_le_bytes());
                });
            }
            PartContent::Values { values, times, as_type } => {
                hash.update(format!("{:?}", (values, times, as_type)).as_bytes());
            }
        }
    }
    format!("{} bytes, {}", file.size(), hash.finalize().to_hex())
}
