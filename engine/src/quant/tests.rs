//! What is stored, read back.

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
fn stored_blocks_stand_for_what_gguf_py_says() {
    let cases = include_str!("../../tests/fixtures/dequantised.json");
    let cases: BTreeMap<String, Case> = serde_json::from_str(cases).unwrap();
    let quantised = TensorType::ALL.into_iter().filter(|t| t.block() > 1);
    assert_eq!(cases.len(), quantised.clone().count());
    for stored in quantised {
        let case = &cases[stored.as_str()];
        let bytes = unhex(&case.bytes);
        let mut values = vec![0.0; bytes.len() / stored.block_bytes() as usize * stored.block() as usize];
        stored.decode(&bytes, &mut values);
        let back: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(hex(&Sha256::digest(&back)), case.sha256, "{stored}");
    }
}

/// The largest error over a block, as a part of its range; about half a step, and more where scales are rounded.
fn ceiling(stored: TensorType) -> f32 {
    match stored {
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

proptest! {
    #[test]
    fn what_comes_back_is_near(values in prop::collection::vec(-1.0_f32..1.0, 512), important in any::<bool>()) {
        let importance = vec![1.0; 256];
        for stored in TensorType::ALL {
            let mut bytes = vec![0; stored.bytes(512) as usize];
            // importances are of one row
            let rows = bytes.chunks_mut(stored.bytes(256) as usize);
            for (values, bytes) in values.chunks(256).zip(rows) {
                stored.encode(values, important.then_some(&importance[..]), bytes);
            }
            let mut back = vec![0.0; 512];
            stored.decode(&bytes, &mut back);
            let most = values.iter().zip(&back).map(|(v, b)| (v - b).abs()).fold(0.0, f32::max);
            prop_assert!(most <= 2.0 * ceiling(stored), "{stored}: {most}");
        }
    }
}
