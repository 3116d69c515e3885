//! The order of the work: what is read once and becomes parts of one or more files, cut into blocks.

use std::collections::HashMap;

use crate::merge::Model;
use crate::numerics::Dtype;
use crate::plan::{ExportPlan, PartContent};

/// A file or tensor that is read from beginning to end, and the parts of output files that it becomes.
pub(super) struct ReadUnit {
    /// Numbers of file and part. Never empty.
    pub(super) parts: Vec<(usize, usize)>,
    /// The model's tensor.
    pub(super) tensor: Option<usize>,
    pub(super) dtype: Option<Dtype>,
    /// Bytes of a file, elements of a tensor, times over which there are values.
    pub(super) units: u64,
    /// Blocks are multiples of this many units.
    granule: u64,
    /// Bytes a unit has before it is encoded.
    width: u64,
}

/// A block of a step.
pub(super) struct Chunk {
    pub(super) unit: usize,
    /// In the step's units.
    pub(super) first: u64,
    pub(super) count: u64,
    /// It is the step's last.
    pub(super) last: bool,
}

/// One step for each tensor, in the order of the first file that has it, and for each file that is copied.
pub(super) fn read_units(plan: &ExportPlan) -> Vec<ReadUnit> {
    let mut units: Vec<ReadUnit> = Vec::new();
    let mut of_tensor = HashMap::new();
    for (file, layout) in plan.files.iter().enumerate() {
        for (number, part) in layout.parts.iter().enumerate() {
            let new = read_unit(&plan.model, &part.content, (file, number));
            let known = new.tensor.and_then(|tensor| of_tensor.get(&(tensor, new.units)).copied());
            if let Some(known) = known.and_then(|at: usize| units.get_mut(at))
                && known.parts.iter().all(|(other, _)| *other != file)
            {
                known.parts.push((file, number));
                continue;
            }
            if let Some(tensor) = new.tensor {
                of_tensor.insert((tensor, new.units), units.len());
            }
            units.push(new);
        }
    }
    units
}

fn read_unit(model: &Model, content: &PartContent, part: (usize, usize)) -> ReadUnit {
    let parts = vec![part];
    let of_tensor = |number: usize, units, granule: u64| {
        let dtype = model.tensors()[number].info.dtype;
        let (width, granule) = (dtype.bytes(), granule.max(1));
        ReadUnit { parts: parts.clone(), tensor: Some(number), dtype: Some(dtype), units, granule, width }
    };
    let without = |units, width: u64| {
        let (parts, width) = (parts.clone(), width.max(1));
        ReadUnit { parts, tensor: None, dtype: None, units, granule: 1, width }
    };
    match content {
        PartContent::File(source) => without(source.size(), 1),
        PartContent::Values { values, times, .. } => without(*times, values.len() as u64 * 4),
        PartContent::Stored(number) => {
            of_tensor(*number, model.tensors()[*number].info.elements(), model.chunk_multiple(*number))
        }
        // the errors of encoded values are summed by rows
        PartContent::Encoded { tensor, elements, transform, .. } => {
            of_tensor(*tensor, *elements, transform.granule(model.tensors()[*tensor].row_length(), *elements))
        }
    }
}

/// The steps in blocks of about `block` bytes.
pub(super) fn chunks(units: &[ReadUnit], size: u64) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    for (number, unit) in units.iter().enumerate() {
        let most = (size / unit.width / unit.granule).max(1) * unit.granule;
        let mut first = 0;
        while first < unit.units {
            let count = most.min(unit.units - first);
            chunks.push(Chunk { unit: number, first, count, last: first + count == unit.units });
            first += count;
        }
    }
    chunks
}
