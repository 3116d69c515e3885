//! 4-bit weights of bitsandbytes (NF4, FP4), as QLoRA's base models store them, read as floats.
//!
//! Two codes per byte, the high half first, and a scale (`absmax`) per block of the flat tensor. A value is
//! table\[code\] · scale in `f32`, rounded once to the dtype of the weight. With double quantization ("nested"), scales are
//! bytes: map\[byte\] · scale of its block + offset. Layout: `QuantState.as_dict` of bitsandbytes.

use std::collections::HashMap;

use kernels::numerics::Dtype;
use serde::Deserialize;

use super::FactorCache;
use super::{ModelConfig, Shard, TensorInfo};
use crate::error::{Error, Result};
use crate::io::json;

/// In the name of a quant state, between the name of the weight and its type.
const STATE_INFIX: &str = ".quant_state.bitsandbytes__";
/// Suffixes of the other tensors of a weight.
const PART_SUFFIXES: [&str; 4] = [".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map"];
/// The maximum size of a quant state; bitsandbytes writes about 160 bytes.
const MAX_STATE_BYTES: u64 = 64 << 10;
/// Quant states read in parallel: there is one per weight, and object stores have a high latency.
const PARALLEL_READS: usize = 16;
/// Values decoded at a time.
const DECODED_VALUES: usize = 8 << 10;

const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];
const FP4: [f32; 16] = [
    0.0,
    0.005_208_333_5,
    0.666_666_7,
    1.0,
    0.333_333_34,
    0.5,
    0.166_666_67,
    0.25,
    0.0,
    -0.005_208_333_5,
    -0.666_666_7,
    -1.0,
    -0.333_333_34,
    -0.5,
    -0.166_666_67,
    -0.25,
];

/// The quant state of a weight, as stored.
#[derive(Deserialize)]
struct QuantState {
    quant_type: String,
    blocksize: u64,
    dtype: String,
    shape: Vec<u64>,
    nested_blocksize: Option<u64>,
    nested_dtype: Option<String>,
    nested_offset: Option<f64>,
}

/// A 4-bit weight.
pub(super) struct PackedWeight {
    table: &'static [f32; 16],
    blocksize: u64,
    codes: TensorInfo,
    absmax: TensorInfo,
    nested: Option<NestedState>,
    /// The type of the decoded values.
    dtype: Dtype,
}

/// The double quantization of scales.
struct NestedState {
    map: TensorInfo,
    absmax: TensorInfo,
    blocksize: u64,
    offset: f32,
}

/// Refuses base models that are quantized by another method.
pub(super) fn check_method(config: &ModelConfig) -> Result<()> {
    let quantization = config.top_level("quantization_config");
    if quantization.object()?.is_none_or(serde_json::Map::is_empty) {
        return Ok(());
    }
    let method = quantization.field("quant_method")?.str()?.unwrap_or("bitsandbytes");
    for field in ["load_in_4bit", "_load_in_4bit"] {
        if method == "bitsandbytes" && quantization.field(field)?.bool()? == Some(true) {
            return Ok(());
        }
    }
    let bits = if method == "bitsandbytes" { " in 8 bits (llm_int8)" } else { "" };
    let error = Error::unsupported(config.file(), format!("a base model quantized with {method}{bits}"));
    Err(error.advise("use the 16-bit model that it was quantized from"))
}

/// Replaces the tensors of each 4-bit weight by one float tensor.
pub(super) fn unpack_tensors(
    shards: &[Shard],
    tensors: Vec<TensorInfo>,
) -> Result<(Vec<TensorInfo>, HashMap<String, PackedWeight>)> {
    let state_infos: Vec<&TensorInfo> = tensors.iter().filter(|t| t.name.contains(STATE_INFIX)).collect();
    if state_infos.is_empty() {
        return Ok((tensors, HashMap::new()));
    }
    let states = read_states(shards, &state_infos)?;
    let by_name: HashMap<&str, &TensorInfo> = tensors.iter().map(|t| (t.name.as_str(), t)).collect();
    let mut packed = HashMap::new();
    let mut floats = HashMap::new();
    for (info, state) in state_infos.iter().zip(&states) {
        let parts =
            WeightParts { file: shards[info.shard].source.location(), state: info, tensors: &by_name };
        let (weight, float) = PackedWeight::new(&parts, state)?;
        floats.insert(weight.codes.name.clone(), float);
        packed.insert(weight.codes.name.clone(), weight);
    }
    let is_part = |name: &str| {
        let weight = name.split_once(STATE_INFIX).map(|(weight, _)| weight);
        let weight = weight.or_else(|| PART_SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)));
        weight.is_some_and(|weight| packed.contains_key(weight))
    };
    let remaining = tensors.into_iter().filter(|t| !is_part(&t.name));
    let tensors = remaining.map(|t| floats.remove(&t.name).unwrap_or(t)).collect();
    Ok((tensors, packed))
}

fn read_states(shards: &[Shard], infos: &[&TensorInfo]) -> Result<Vec<QuantState>> {
    let read = |infos: &[&TensorInfo]| -> Result<Vec<QuantState>> {
        infos.iter().map(|info| read_state(shards, info)).collect()
    };
    let share = infos.len().div_ceil(PARALLEL_READS);
    std::thread::scope(|scope| {
        let threads: Vec<_> = infos.chunks(share).map(|infos| scope.spawn(move || read(infos))).collect();
        let mut states = Vec::with_capacity(infos.len());
        for thread in threads {
            match thread.join() {
                Ok(read) => states.extend(read?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(states)
    })
}

fn read_state(shards: &[Shard], info: &TensorInfo) -> Result<QuantState> {
    let file = shards[info.shard].source.location();
    if info.bytes > MAX_STATE_BYTES {
        let problem = format!("is a quant state of {} bytes; the maximum is {MAX_STATE_BYTES}", info.bytes);
        return Err(Error::tensor(file, &info.name, problem));
    }
    let mut text = vec![0; info.bytes as usize];
    read(shards, info, 0, &mut text)?;
    json::parse(&format!("{file}, tensor {}", info.name), &text)
}

/// The tensors that a 4-bit weight consists of, and where to find them.
struct WeightParts<'a> {
    file: &'a str,
    state: &'a TensorInfo,
    tensors: &'a HashMap<&'a str, &'a TensorInfo>,
}

impl WeightParts<'_> {
    fn invalid(&self, problem: String) -> Error {
        Error::tensor(self.file, &self.state.name, problem)
    }

    fn name(&self, suffix: &str) -> String {
        let weight = self.state.name.split_once(STATE_INFIX).map_or("", |(weight, _)| weight);
        format!("{weight}{suffix}")
    }

    fn has(&self, suffix: &str) -> bool {
        self.tensors.contains_key(self.name(suffix).as_str())
    }

    fn tensor(&self, suffix: &str) -> Result<TensorInfo> {
        let name = self.name(suffix);
        let tensor = self.tensors.get(name.as_str()).copied().cloned();
        tensor.ok_or_else(|| self.invalid(format!("describes a weight whose tensor {name} is missing")))
    }

    fn check_length(&self, tensor: &TensorInfo, bytes: u64) -> Result<()> {
        if tensor.bytes == bytes {
            return Ok(());
        }
        let problem = format!("is {} bytes, but {} needs {bytes}", tensor.bytes, self.state.name);
        Err(Error::tensor(self.file, &tensor.name, problem))
    }

    /// The double quantization, if the scales have one.
    fn nested(&self, state: &QuantState) -> Result<Option<NestedState>> {
        let Some(blocksize) = state.nested_blocksize.filter(|_| self.has(".nested_absmax")) else {
            return Ok(None);
        };
        if state.nested_dtype.as_deref() != Some("float32") || blocksize == 0 {
            return Err(self.invalid("has nested scales that are not float32".to_owned()));
        }
        let (map, absmax) = (self.tensor(".nested_quant_map")?, self.tensor(".nested_absmax")?);
        let offset = state.nested_offset.unwrap_or(0.0) as f32;
        Ok(Some(NestedState { map, absmax, blocksize, offset }))
    }
}

impl QuantState {
    fn table(&self) -> Result<&'static [f32; 16], String> {
        match self.quant_type.as_str() {
            "nf4" => Ok(&NF4),
            "fp4" => Ok(&FP4),
            other => Err(format!("has the unknown quant_type {other:?}")),
        }
    }

    fn dtype(&self) -> Result<Dtype, String> {
        match self.dtype.as_str() {
            "bfloat16" => Ok(Dtype::Bf16),
            "float16" => Ok(Dtype::F16),
            "float32" => Ok(Dtype::F32),
            other => Err(format!("has the dtype {other:?}, which is not a float")),
        }
    }
}

impl PackedWeight {
    /// The weight, and the info of the float tensor that replaces it.
    fn new(parts: &WeightParts<'_>, state: &QuantState) -> Result<(Self, TensorInfo)> {
        let invalid = |problem| parts.invalid(problem);
        let (table, dtype) = (state.table().map_err(invalid)?, state.dtype().map_err(invalid)?);
        let elements = state.shape.iter().try_fold(1_u64, |product, n| product.checked_mul(*n));
        let (Some(elements), 1..) = (elements, state.blocksize) else {
            return Err(invalid(format!(
                "has the shape {:?} and blocksize {}",
                state.shape, state.blocksize
            )));
        };
        let (codes, absmax, nested) = (parts.tensor("")?, parts.tensor(".absmax")?, parts.nested(state)?);
        let scales = elements.div_ceil(state.blocksize);
        let scale_bytes = if nested.is_some() { 1 } else { 4 };
        parts.check_length(&codes, elements.div_ceil(2))?;
        parts.check_length(&absmax, scales * scale_bytes)?;
        if let Some(nested) = &nested {
            parts.check_length(&nested.map, 256 * 4)?;
            parts.check_length(&nested.absmax, scales.div_ceil(nested.blocksize) * 4)?;
        }
        let bytes = elements.checked_mul(dtype.bytes());
        let bytes = bytes.ok_or_else(|| invalid(format!("has the shape {:?}", state.shape)))?;
        let float = TensorInfo { dtype, shape: state.shape.clone(), bytes, ..codes.clone() };
        Ok((Self { table, blocksize: state.blocksize, codes, absmax, nested, dtype }, float))
    }

    /// Fills `buffer` with decoded elements from `first` on.
    pub(super) fn read(
        &self,
        shards: &[Shard],
        scales: &FactorCache,
        first: u64,
        buffer: &mut [u8],
    ) -> Result<()> {
        let width = self.dtype.bytes();
        let end = first + buffer.len() as u64 / width;
        let mut codes = vec![0; (end.div_ceil(2) - first / 2) as usize];
        read(shards, &self.codes, first / 2, &mut codes)?;
        let scales = scales.get(&self.codes.name, || self.scales(shards))?;
        let mut values = [0.0_f32; DECODED_VALUES];
        let mut element = first;
        for buffer in buffer.chunks_mut(DECODED_VALUES * width as usize) {
            let values = &mut values[..buffer.len() / width as usize];
            for value in values.iter_mut() {
                let byte = codes[(element / 2 - first / 2) as usize];
                let code = if element.is_multiple_of(2) { byte >> 4 } else { byte & 15 };
                *value = self.table[usize::from(code)] * scales[(element / self.blocksize) as usize];
                element += 1;
            }
            self.dtype.narrow(values, buffer);
        }
        Ok(())
    }

    /// The scale of each block.
    fn scales(&self, shards: &[Shard]) -> Result<Vec<f32>> {
        let Some(nested) = &self.nested else { return read_floats(shards, &self.absmax) };
        let mut bytes = vec![0; self.absmax.bytes as usize];
        read(shards, &self.absmax, 0, &mut bytes)?;
        let (map, scales) = (read_floats(shards, &nested.map)?, read_floats(shards, &nested.absmax)?);
        let value = |(i, byte): (usize, &u8)| {
            let product = map[usize::from(*byte)] * scales[i / nested.blocksize as usize];
            product + nested.offset
        };
        Ok(bytes.iter().enumerate().map(value).collect())
    }
}

fn read_floats(shards: &[Shard], tensor: &TensorInfo) -> Result<Vec<f32>> {
    let mut bytes = vec![0; tensor.bytes as usize];
    read(shards, tensor, 0, &mut bytes)?;
    let mut values = vec![0.0; bytes.len() / 4];
    Dtype::F32.widen(&bytes, &mut values);
    Ok(values)
}

fn read(shards: &[Shard], tensor: &TensorInfo, offset: u64, buffer: &mut [u8]) -> Result<()> {
    let source = &shards[tensor.shard].source;
    source.read_at(tensor.offset + offset, buffer).map_err(|e| Error::read(source.location(), e))
}
