//! Weights in bitsandbytes' 4-bit types, as QLoRA's bases are stored, read as the floats they were made from.
//!
//! Two codes a byte, the upper half first; a scale for every block of the flat tensor. A value is table\[code\] · scale
//! in `f32`, rounded once to the type the weight had. With double quantisation a scale is a byte itself:
//! map\[byte\] · scale of its block + offset. Layout: `QuantState.as_dict` of bitsandbytes.

use std::collections::HashMap;

use serde::Deserialize;

use super::FactorCache;
use super::{ModelConfig, Shard, TensorInfo};
use crate::error::{Error, Result};
use crate::io::json;
use crate::numerics::Dtype;

/// What comes between a weight's name and its type in the name of the tensor that describes it.
const STATE: &str = ".quant_state.bitsandbytes__";
/// Endings of the tensors that belong to a weight.
const PARTS: [&str; 4] = [".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map"];
/// Bytes a description may take; bitsandbytes writes about 160.
const MOST_STATE: u64 = 64 << 10;
/// Descriptions asked for at a time: there is one for each weight, and stores are slow to answer.
const AT_ONCE: usize = 16;

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

/// The description of a weight.
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

/// A weight in four bits.
pub(super) struct PackedWeight {
    table: &'static [f32; 16],
    blocksize: u64,
    codes: TensorInfo,
    absmax: TensorInfo,
    nested: Option<NestedState>,
}

/// How scales that are bytes get their values.
struct NestedState {
    map: TensorInfo,
    absmax: TensorInfo,
    blocksize: u64,
    offset: f32,
}

/// A base may be quantised in this way and in no other.
pub(super) fn check_method(config: &ModelConfig) -> Result<()> {
    let Some(quantised) = config.top("quantization_config") else { return Ok(()) };
    let is = |key: &str| quantised.get(key).and_then(serde_json::Value::as_bool) == Some(true);
    let method = quantised.get("quant_method").and_then(serde_json::Value::as_str).unwrap_or("bitsandbytes");
    if method == "bitsandbytes" && (is("load_in_4bit") || is("_load_in_4bit")) {
        return Ok(());
    }
    let eight = if method == "bitsandbytes" { " in 8 bits (llm_int8)" } else { "" };
    let error = Error::unsupported(config.file(), format!("a base quantised with {method}{eight}"));
    Err(error.advise("use the 16-bit model that it was made from"))
}

/// Puts a float for each weight that is described as packed, in the place of the tensors that it is made of.
pub(super) fn unpack(
    shards: &[Shard],
    tensors: Vec<TensorInfo>,
) -> Result<(Vec<TensorInfo>, HashMap<String, PackedWeight>)> {
    let described: Vec<&TensorInfo> = tensors.iter().filter(|t| t.name.contains(STATE)).collect();
    if described.is_empty() {
        return Ok((tensors, HashMap::new()));
    }
    let states = read_states(shards, &described)?;
    let by_name: HashMap<&str, &TensorInfo> = tensors.iter().map(|t| (t.name.as_str(), t)).collect();
    let mut packed = HashMap::new();
    let mut floats = HashMap::new();
    for (tensor, state) in described.iter().zip(&states) {
        let (weight, float) = PackedWeight::new(shards, &by_name, tensor, state)?;
        floats.insert(weight.codes.name.clone(), float);
        packed.insert(weight.codes.name.clone(), weight);
    }
    let is_part = |name: &str| {
        let weight = name.split_once(STATE).map(|(weight, _)| weight);
        let weight = weight.or_else(|| PARTS.iter().find_map(|part| name.strip_suffix(part)));
        weight.is_some_and(|weight| packed.contains_key(weight))
    };
    let kept = tensors.into_iter().filter(|t| !is_part(&t.name));
    let tensors = kept.map(|t| floats.remove(&t.name).unwrap_or(t)).collect();
    Ok((tensors, packed))
}

fn read_states(shards: &[Shard], described: &[&TensorInfo]) -> Result<Vec<QuantState>> {
    let read = |tensors: &[&TensorInfo]| -> Result<Vec<QuantState>> {
        tensors.iter().map(|tensor| read_state(shards, tensor)).collect()
    };
    let share = described.len().div_ceil(AT_ONCE);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            described.chunks(share).map(|tensors| scope.spawn(move || read(tensors))).collect();
        let mut states = Vec::with_capacity(described.len());
        for thread in threads {
            match thread.join() {
                Ok(read) => states.extend(read?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(states)
    })
}

fn read_state(shards: &[Shard], tensor: &TensorInfo) -> Result<QuantState> {
    let file = shards[tensor.shard].source.location();
    if tensor.bytes > MOST_STATE {
        return Err(Error::tensor(
            file,
            &tensor.name,
            format!("is {} bytes, too many for a description", tensor.bytes),
        ));
    }
    let mut text = vec![0; tensor.bytes as usize];
    read(shards, tensor, 0, &mut text)?;
    json::parse(&format!("{file}, tensor {}", tensor.name), &text)
}

impl PackedWeight {
    /// The weight, and what it looks like when it is read.
    fn new(
        shards: &[Shard],
        tensors: &HashMap<&str, &TensorInfo>,
        described: &TensorInfo,
        state: &QuantState,
    ) -> Result<(Self, TensorInfo)> {
        let file = shards[described.shard].source.location();
        let wrong = |problem: String| Error::tensor(file, &described.name, problem);
        let name = described.name.split_once(STATE).map_or("", |(name, _)| name);
        let part = |suffix: &str| {
            let part = tensors.get(format!("{name}{suffix}").as_str());
            part.copied().cloned().ok_or_else(|| wrong(format!("describes a weight without {name}{suffix}")))
        };
        let table = match state.quant_type.as_str() {
            "nf4" => &NF4,
            "fp4" => &FP4,
            other => return Err(wrong(format!("has the unknown quant_type {other:?}"))),
        };
        let dtype = match state.dtype.as_str() {
            "bfloat16" => Dtype::Bf16,
            "float16" => Dtype::F16,
            "float32" => Dtype::F32,
            other => return Err(wrong(format!("has the dtype {other:?}, no float"))),
        };
        let elements = state.shape.iter().try_fold(1_u64, |product, n| product.checked_mul(*n));
        let (Some(elements), 1..) = (elements, state.blocksize) else {
            return Err(wrong(format!("has the shape {:?} in blocks of {}", state.shape, state.blocksize)));
        };
        let (codes, absmax) = (part("")?, part(".absmax")?);
        let nested = match state.nested_blocksize {
            Some(blocksize) if tensors.contains_key(format!("{name}.nested_absmax").as_str()) => {
                if state.nested_dtype.as_deref() != Some("float32") || blocksize == 0 {
                    return Err(wrong("has nested scales that are no float32".to_owned()));
                }
                let (map, absmax) = (part(".nested_quant_map")?, part(".nested_absmax")?);
                let offset = state.nested_offset.unwrap_or(0.0) as f32;
                Some(NestedState { map, absmax, blocksize, offset })
            }
            Some(_) | None => None,
        };
        let scales = elements.div_ceil(state.blocksize);
        let scale = if nested.is_some() { 1 } else { 4 };
        let mut lengths = vec![(&codes, elements.div_ceil(2)), (&absmax, scales * scale)];
        if let Some(nested) = &nested {
            lengths.push((&nested.map, 256 * 4));
            lengths.push((&nested.absmax, scales.div_ceil(nested.blocksize) * 4));
        }
        if let Some((tensor, bytes)) = lengths.iter().find(|(tensor, bytes)| tensor.bytes != *bytes) {
            let problem = format!("is {} bytes, but {} needs {bytes}", tensor.bytes, described.name);
            return Err(Error::tensor(file, &tensor.name, problem));
        }
        let bytes = elements.checked_mul(dtype.bytes());
        let bytes = bytes.ok_or_else(|| wrong(format!("has the shape {:?}", state.shape)))?;
        let float = TensorInfo { dtype, shape: state.shape.clone(), bytes, ..codes.clone() };
        Ok((Self { table, blocksize: state.blocksize, codes, absmax, nested }, float))
    }

    /// Fills `buffer` with elements from `first` on, in the type of the float.
    pub(super) fn read(
        &self,
        shards: &[Shard],
        scales: &FactorCache,
        dtype: Dtype,
        first: u64,
        buffer: &mut [u8],
    ) -> Result<()> {
        const STEP: usize = 8 << 10;
        let width = dtype.bytes();
        let end = first + buffer.len() as u64 / width;
        let mut codes = vec![0; (end.div_ceil(2) - first / 2) as usize];
        read(shards, &self.codes, first / 2, &mut codes)?;
        let scales = scales.get(&self.codes.name, || self.scales(shards))?;
        let mut values = [0.0_f32; STEP];
        let mut at = first;
        for buffer in buffer.chunks_mut(STEP * width as usize) {
            let values = &mut values[..buffer.len() / width as usize];
            for value in values.iter_mut() {
                let byte = codes[(at / 2 - first / 2) as usize];
                let code = if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 };
                *value = self.table[usize::from(code)] * scales[(at / self.blocksize) as usize];
                at += 1;
            }
            dtype.narrow(values, buffer);
        }
        Ok(())
    }

    /// The scale of every block.
    fn scales(&self, shards: &[Shard]) -> Result<Vec<f32>> {
        let Some(nested) = &self.nested else { return floats(shards, &self.absmax) };
        let mut bytes = vec![0; self.absmax.bytes as usize];
        read(shards, &self.absmax, 0, &mut bytes)?;
        let (map, scales) = (floats(shards, &nested.map)?, floats(shards, &nested.absmax)?);
        let value = |(i, byte): (usize, &u8)| {
            let product = map[usize::from(*byte)] * scales[i / nested.blocksize as usize];
            product + nested.offset
        };
        Ok(bytes.iter().enumerate().map(value).collect())
    }
}

fn floats(shards: &[Shard], tensor: &TensorInfo) -> Result<Vec<f32>> {
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
