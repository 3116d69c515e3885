//! Importance matrices of llama.cpp: mean squares of each column's inputs on some text.
//!
//! Reads both formats: GGUF (sums of squares and counts of each tensor) and the legacy one (`.dat`, means times the
//! number of calls). Lengths are checked against the size of the file before memory is allocated.

use std::collections::HashMap;

use kernels::quant::{ColumnImportance, TensorType};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::gguf::{GgufFile, GgufMetadata, GgufTensor};
use crate::io::{Source, read_source, refuse_lfs_pointer, sha256};
use crate::left_out::LeftOut;

/// The text that the importance matrix of an export was computed from, as the report has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CalibrationUse {
    /// The name of its file.
    pub file: String,
    /// The SHA-256 of its content.
    pub sha256: String,
    /// The tokens that were used, from its beginning.
    pub tokens: usize,
    /// The conversations of a training set that were left out, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
}

/// An importance matrix.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Imatrix {
    file: String,
    /// SHA-256 of the file, in lower-case hex.
    sha256: String,
    dataset: Option<String>,
    chunks: u32,
    /// Importances of columns by GGUF tensor name: \[experts, columns\].
    columns: HashMap<String, Vec<f32>>,
    /// The text that it was computed from for this export.
    calibration: Option<CalibrationUse>,
}

impl Imatrix {
    /// Reads an importance matrix. `name` becomes `quantize.imatrix.file` in the GGUF metadata.
    ///
    /// # Errors
    /// When the file has neither format, is truncated, or has a value that is not finite.
    pub fn open(source: &dyn Source, name: impl Into<String>) -> Result<Self> {
        refuse_lfs_pointer(source)?;
        let mut magic = [0; 4];
        if source.size() >= 4 {
            source.read_at(0, &mut magic).map_err(|e| Error::read(source.location(), e))?;
        }
        let mut matrix = if &magic == b"GGUF" { parse_gguf(source)? } else { parse_dat(source)? };
        matrix.file = name.into();
        matrix.sha256 = sha256(source, 0..source.size(), &|| false)?;
        for (tensor, values) in &matrix.columns {
            if values.iter().any(|v| !v.is_finite()) {
                return Err(Error::tensor(source.location(), tensor, "has a value that is not finite"));
            }
        }
        Ok(matrix)
    }

    /// An importance matrix that is to be computed from the text `dataset`. A plan with it has the sizes of the one with the
    /// computed matrix; columns are not weighted.
    #[must_use]
    pub fn not_computed(name: impl Into<String>, dataset: impl Into<String>) -> Self {
        Self { file: name.into(), dataset: Some(dataset.into()), chunks: 1, ..Self::default() }
    }

    /// The same matrix, with the text that it was computed from for the report.
    #[must_use]
    pub(crate) fn with_calibration(self, calibration: CalibrationUse) -> Self {
        Self { calibration: Some(calibration), ..self }
    }

    pub(crate) fn calibration(&self) -> Option<&CalibrationUse> {
        self.calibration.as_ref()
    }

    /// The SHA-256 of the file, in lower-case hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The number of tensors with importances.
    pub fn tensors(&self) -> usize {
        self.columns.len()
    }

    /// The importances of the columns of a tensor, by its GGUF name; per expert if it has experts.
    ///
    /// # Errors
    /// When their number is not that of the tensor's columns.
    pub(crate) fn importance(&self, tensor: &str, shape: &[u64]) -> Result<Option<ColumnImportance>> {
        let (Some(values), [experts @ .., rows, columns]) = (self.columns.get(tensor), shape) else {
            return Ok(None);
        };
        let experts: u64 = experts.iter().product();
        let importances = values.len() as u64;
        if importances != columns * experts {
            let (tensor, columns) = (tensor.to_owned(), *columns);
            return Err(Error::OtherImatrix { tensor, columns, experts, importances });
        }
        Ok(Some(ColumnImportance {
            values: values.as_slice().into(),
            columns: *columns as usize,
            rows: *rows,
        }))
    }

    /// Sets the metadata that `llama-quantize` sets.
    pub(crate) fn set_metadata(&self, out: &mut GgufMetadata) {
        out.set("quantize.imatrix.file", self.file.clone());
        if let Some(dataset) = &self.dataset {
            out.set("quantize.imatrix.dataset", dataset.clone());
        }
        out.set("quantize.imatrix.entries_count", self.columns.len() as u32);
        if self.chunks > 0 {
            out.set("quantize.imatrix.chunks_count", self.chunks);
        }
    }
}

/// Tensors `<name>.in_sum2` and `<name>.counts`.
fn parse_gguf(source: &dyn Source) -> Result<Imatrix> {
    let file = GgufFile::open(source)?;
    let mut matrix = Imatrix {
        dataset: file.strings("imatrix.datasets").and_then(|list| list.first().cloned()),
        chunks: file.u32("imatrix.chunk_count").unwrap_or(0),
        ..Imatrix::default()
    };
    if file.u32("imatrix.chunk_size").is_none() || file.strings("imatrix.datasets").is_none() {
        return Err(Error::invalid(
            source.location(),
            "is a GGUF file, but not an importance matrix: imatrix.datasets or imatrix.chunk_size is missing",
        ));
    }
    for sums in &file.tensors {
        let Some(name) = sums.name.strip_suffix(".in_sum2") else { continue };
        let counts = file.tensors.iter().find(|t| t.name.strip_suffix(".counts") == Some(name));
        let Some(counts) = counts else {
            return Err(Error::tensor(source.location(), &sums.name, "has no .counts tensor"));
        };
        let (mut values, counts) = (read_floats(source, sums)?, read_floats(source, counts)?);
        // one count, or one per expert
        let columns = values.len() / counts.len().max(1);
        if columns == 0 || columns * counts.len() != values.len() {
            let problem = format!(
                "has {} values, which is not a multiple of its {} counts",
                values.len(),
                counts.len()
            );
            return Err(Error::tensor(source.location(), &sums.name, problem));
        }
        for (values, count) in values.chunks_exact_mut(columns).zip(counts) {
            let count = count.round();
            values.iter_mut().for_each(|v| *v = if count > 0.0 { *v / count } else { 1.0 });
        }
        matrix.columns.insert(name.to_owned(), values);
    }
    if matrix.columns.is_empty() {
        return Err(Error::invalid(source.location(), "has no importances"));
    }
    Ok(matrix)
}

fn read_floats(source: &dyn Source, tensor: &GgufTensor) -> Result<Vec<f32>> {
    if tensor.tensor_type != Some(TensorType::F32) {
        return Err(Error::tensor(source.location(), &tensor.name, "is not F32"));
    }
    let mut bytes = vec![0; (tensor.byte_range.end - tensor.byte_range.start) as usize];
    source.read_at(tensor.byte_range.start, &mut bytes).map_err(|e| Error::read(source.location(), e))?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

/// i32 entries; for each: i32 length, name, i32 calls, i32 values, `f32`s; then i32 chunks, i32 length, dataset.
fn parse_dat(source: &dyn Source) -> Result<Imatrix> {
    let bytes = read_source(source)?;
    let mut reader = DatReader { bytes: &bytes, position: 0 };
    let invalid = |position: usize| {
        Error::invalid(source.location(), format!("is not an importance matrix: invalid at byte {position}"))
    };
    let mut matrix = Imatrix::default();
    let entries = reader.int().filter(|n| *n > 0).ok_or_else(|| invalid(0))?;
    for _ in 0..entries {
        let (name, values) = reader.entry().ok_or_else(|| invalid(reader.position))?;
        matrix.columns.insert(name, values);
    }
    if let Some(chunks) = reader.int() {
        matrix.chunks = u32::try_from(chunks).unwrap_or(0);
        matrix.dataset = reader.text().filter(|text| !text.is_empty());
    }
    Ok(matrix)
}

struct DatReader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> DatReader<'a> {
    fn entry(&mut self) -> Option<(String, Vec<f32>)> {
        let name = self.text()?;
        let calls = self.int()?;
        let count = usize::try_from(self.int()?).ok().filter(|n| *n > 0)?;
        let bytes = self.take(count.checked_mul(4)?)?;
        let divisor = if calls > 0 { calls as f32 } else { 1.0 };
        let value = |b: &[u8; 4]| f32::from_le_bytes(*b) / divisor;
        Some((name, bytes.as_chunks::<4>().0.iter().map(value).collect()))
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.int()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    fn int(&mut self) -> Option<i32> {
        Some(i32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.position.checked_add(length)?;
        let bytes = self.bytes.get(self.position..end)?;
        self.position = end;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    struct Bytes(Vec<u8>);

    impl Source for Bytes {
        fn location(&self) -> &str {
            "imatrix.dat"
        }

        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            let start = offset as usize;
            buffer.copy_from_slice(
                self.0.get(start..start + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?,
            );
            Ok(())
        }
    }

    fn dat() -> Vec<u8> {
        let mut out = 1_i32.to_le_bytes().to_vec();
        out.extend(1_i32.to_le_bytes());
        out.push(b't');
        out.extend([2_i32, 2].iter().flat_map(|n| n.to_le_bytes()));
        out.extend([4.0_f32, 6.0].iter().flat_map(|n| n.to_le_bytes()));
        out.extend([7_i32, 4].iter().flat_map(|n| n.to_le_bytes()));
        out.extend(b"wiki");
        out
    }

    #[test]
    fn the_legacy_format_has_means_times_calls() {
        let matrix = Imatrix::open(&Bytes(dat()), "m.dat").unwrap();
        assert_eq!(matrix.columns["t"], [2.0, 3.0]);
        assert_eq!((matrix.chunks, matrix.dataset.as_deref()), (7, Some("wiki")));
    }

    #[test]
    fn rows_of_an_expert_have_the_importances_of_its_columns() {
        let matrix = Imatrix::open(&Bytes(dat()), "m.dat").unwrap();
        let alone = matrix.importance("t", &[5, 2]).unwrap().unwrap();
        assert_eq!([0, 4].map(|row| alone.for_row(row)), [[2.0, 3.0]; 2]);
        let two = matrix.importance("t", &[2, 5, 1]).unwrap().unwrap();
        assert_eq!([0, 4, 5, 9].map(|row| two.for_row(row)[0]), [2.0, 2.0, 3.0, 3.0]);
        assert!(matrix.importance("other", &[5, 2]).unwrap().is_none());
        let error = matrix.importance("t", &[5, 3]).unwrap_err().to_string();
        assert!(error.contains("3 columns") && error.contains("2 importances"), "{error}");
    }

    #[test]
    fn truncation_is_an_error_except_in_the_optional_end() {
        let whole = dat();
        for end in 0..whole.len() {
            let read = Imatrix::open(&Bytes(whole[..end].to_vec()), "m");
            assert_eq!(read.is_ok(), end >= 25, "{end}");
        }
    }

    #[test]
    fn values_that_are_not_finite_are_an_error() {
        let mut bytes = dat();
        bytes[17..21].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(Imatrix::open(&Bytes(bytes), "m").unwrap_err().to_string().contains("not finite"));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            drop(Imatrix::open(&Bytes(bytes), "m"));
        }
    }
}
