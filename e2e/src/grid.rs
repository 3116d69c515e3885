//! Checkpoints whose weights lie on a grid of Q4_0, as those that were trained for it.

use std::{fs, io, path::Path};

use serde_json::Value;

/// Gives the matrices in the safetensors files of a folder, which have 16 bits, weights of −7 to 7 steps in bf16.
///
/// # Errors
/// When a file cannot be read or written, or is not a safetensors file.
pub fn put_on_grid(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            let mut file = fs::read(&path)?;
            fill_matrices(&mut file).ok_or_else(|| io::Error::other("no safetensors file"))?;
            fs::write(&path, file)?;
        }
    }
    Ok(())
}

fn fill_matrices(file: &mut [u8]) -> Option<()> {
    let data = 8 + u64::from_le_bytes(*file.first_chunk()?) as usize;
    let header: Value = serde_json::from_slice(file.get(8..data)?).ok()?;
    let is_matrix = |about: &&Value| about["shape"].as_array().is_some_and(|shape| shape.len() == 2);
    for about in header.as_object()?.values().filter(is_matrix) {
        let at = |end: usize| Some(data + about["data_offsets"][end].as_u64()? as usize);
        for (i, weight) in file.get_mut(at(0)?..at(1)?)?.chunks_exact_mut(2).enumerate() {
            let scattered = (i as u32).wrapping_mul(2_654_435_761) >> 16;
            let level = if i % 32 == 0 { 7 } else { scattered as i32 % 15 - 7 };
            let bits = (level as f32 * 0.013).to_bits() + 0x8000;
            weight.copy_from_slice(&((bits >> 16) as u16).to_le_bytes());
        }
    }
    Some(())
}
