//! The order of the work: every tensor and file is read once, in chunks, for all files it becomes part of.

use kernels::numerics::Dtype;

use crate::merge::Model;
use crate::plan::{ExportPlan, PartContent};

/// A file or tensor that is read from beginning to end, and the parts of output files that it becomes.
pub(super) struct ReadUnit {
    /// Numbers of file and part. Never empty.
    pub(super) parts: Vec<(usize, usize)>,
    /// The model's tensor.
    pub(super) tensor: Option<usize>,
    pub(super) dtype: Option<Dtype>,
    /// The length: bytes of a file, elements of a tensor, repetitions of known values.
    pub(super) length: u64,
    /// Chunks are multiples of this length.
    multiple: u64,
    /// Bytes per unit of length, before it is encoded.
    width: u64,
}

/// A range of a unit that is processed at once.
pub(super) struct Chunk {
    pub(super) unit: usize,
    /// In the unit's length.
    pub(super) first: u64,
    pub(super) count: u64,
    /// Whether it is the unit's last.
    pub(super) last: bool,
}

/// One unit for each tensor, in the order of the first file that has it, and one for each file that is copied and for known
/// values. The parts of files with their tensors in the same order come in each file's order.
pub(super) fn read_units(plan: &ExportPlan) -> Vec<ReadUnit> {
    let mut units: Vec<ReadUnit> = Vec::new();
    for report in &plan.reports {
        // where the next part of this export's files belongs
        let mut next = 0;
        let parts = report.files.clone().flat_map(|file| {
            plan.files[file].parts.iter().enumerate().map(move |(number, part)| (file, number, part))
        });
        for (file, number, part) in parts {
            let new = read_unit(&plan.model, &part.content, (file, number));
            let is_known = |unit: &ReadUnit| {
                unit.tensor.is_some()
                    && (unit.tensor, unit.length) == (new.tensor, new.length)
                    && unit.parts.iter().all(|(other, _)| *other != file)
            };
            // most often the next one
            let known = units.iter().skip(next).position(is_known).map(|at| at + next);
            match known.or_else(|| units.iter().position(is_known)) {
                Some(at) => {
                    units[at].parts.push((file, number));
                    next = at + 1;
                }
                None => {
                    units.insert(next, new);
                    next += 1;
                }
            }
        }
    }
    units
}

fn read_unit(model: &Model, content: &PartContent, part: (usize, usize)) -> ReadUnit {
    let parts = vec![part];
    let tensor_unit = |number: usize, length, multiple: u64| {
        let dtype = model.tensors()[number].info.dtype;
        let (width, multiple) = (dtype.bytes(), multiple.max(1));
        ReadUnit { parts: parts.clone(), tensor: Some(number), dtype: Some(dtype), length, multiple, width }
    };
    let other_unit = |length, width: u64| {
        let (parts, width) = (parts.clone(), width.max(1));
        ReadUnit { parts, tensor: None, dtype: None, length, multiple: 1, width }
    };
    match content {
        PartContent::File(source) => other_unit(source.size(), 1),
        PartContent::Values { values, times, .. } => other_unit(*times, values.len() as u64 * 4),
        PartContent::Stored(number) => {
            tensor_unit(*number, model.tensors()[*number].info.elements(), model.chunk_multiple(*number))
        }
        // the errors of encoded values are summed by rows
        PartContent::Encoded { tensor, elements, transform, .. } => tensor_unit(
            *tensor,
            *elements,
            transform.granule(model.tensors()[*tensor].row_length(), *elements),
        ),
    }
}

/// The units in chunks of about `size` bytes.
pub(super) fn chunks(units: &[ReadUnit], size: u64) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    for (number, unit) in units.iter().enumerate() {
        let most = (size / unit.width / unit.multiple).max(1) * unit.multiple;
        let mut first = 0;
        while first < unit.length {
            let count = most.min(unit.length - first);
            chunks.push(Chunk { unit: number, first, count, last: first + count == unit.length });
            first += count;
        }
    }
    chunks
}
