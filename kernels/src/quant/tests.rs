//! Every type, encoded and decoded.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::TensorType;

#[derive(Deserialize)]
struct Case {
    bytes: String,
    sha256: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// The fixture that `tools/fixtures/dequantize.py` makes.
#[test]
fn decoded_blocks_are_those_of_gguf_py() {
    let cases = include_str!("../../tests/fixtures/dequantized.json");
    let cases: BTreeMap<String, Case> = serde_json::from_str(cases).unwrap();
    let quantized = TensorType::ALL.into_iter().filter(|t| t.block_size() > 1);
    assert_eq!(cases.len(), quantized.clone().count());
    for tensor_type in quantized {
        let case = &cases[tensor_type.as_str()];
        let bytes = unhex(&case.bytes);
        let mut values =
            vec![0.0; bytes.len() / tensor_type.block_bytes() as usize * tensor_type.block_size() as usize];
        tensor_type.decode(&bytes, &mut values);
        let back: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(hex(&Sha256::digest(&back)), case.sha256, "{tensor_type}");
    }
}

/// The largest error of a block as a share of its range: about half a step, more where scales are quantized.
fn ceiling(tensor_type: TensorType) -> f32 {
    match tensor_type {
        TensorType::F32 => 0.0,
        TensorType::F16 => 0.0003,
        TensorType::Bf16 | TensorType::Q8_0 => 0.003,
        TensorType::Q6K => 0.02,
        TensorType::Q5_0 | TensorType::Q5_1 | TensorType::Q5K => 0.04,
        TensorType::Q4_0 | TensorType::Q4_1 | TensorType::Q4K => 0.08,
        TensorType::Iq4Nl | TensorType::Iq4Xs => 0.1,
        TensorType::Q3K => 0.16,
        TensorType::Q2K => 0.3,
    }
}

#[test]
fn a_value_that_exceeds_the_range_of_a_type_is_found() {
    for tensor_type in TensorType::ALL {
        let is_wide = matches!(tensor_type, TensorType::F32 | TensorType::Bf16);
        for large in
            [65_536.0, 9e6, 1e9, 1e13, 1e20, f32::MAX * 0.99].map(|value: f32| [value, -value]).as_flattened()
        {
            let mut values: Vec<f32> = (0..2048).map(|i| (i as f32 * 0.37).sin()).collect();
            values[1500] = *large;
            let mut bytes = vec![0; tensor_type.bytes(2048) as usize];
            tensor_type.encode(&values, None, &mut bytes);
            let mut decoded = vec![0.0; 2048];
            tensor_type.decode(&bytes, &mut decoded);
            let is_near = (decoded[1500] - large).abs() < large.abs() * 0.2;
            let expected = if is_near { None } else { Some(1500) };
            assert_eq!(tensor_type.first_out_of_range(&values, &bytes), expected, "{tensor_type} {large}");
            assert!(is_near || !is_wide, "{tensor_type} {large}");
        }
    }
}

proptest! {
    #[test]
    fn decoded_values_are_near_the_originals(values in prop::collection::vec(-1.0_f32..1.0, 512), important in any::<bool>()) {
        let importance = vec![1.0; 256];
        for tensor_type in TensorType::ALL {
            let mut bytes = vec![0; tensor_type.bytes(512) as usize];
            // importances apply to one row
            let rows = bytes.chunks_mut(tensor_type.bytes(256) as usize);
            for (values, bytes) in values.chunks(256).zip(rows) {
                tensor_type.encode(values, important.then_some(&importance[..]), bytes);
            }
            let mut back = vec![0.0; 512];
            tensor_type.decode(&bytes, &mut back);
            let largest = values.iter().zip(&back).map(|(v, b)| (v - b).abs()).fold(0.0, f32::max);
            prop_assert!(largest <= 2.0 * ceiling(tensor_type), "{tensor_type}: {largest}");
        }
    }
}
