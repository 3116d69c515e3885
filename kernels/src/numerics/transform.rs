//! Transforms of a tensor's values before they are encoded.

use super::Dtype;
use super::torch::softplus;

/// How llama.cpp's converter changes a checkpoint tensor's values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TensorTransform {
    /// Adds a constant.
    Add(f32),
    /// log(1 + e^x).
    Softplus,
    /// Permutes each row of pixels from channels-last to channels-first.
    ChannelsFirst,
    /// Swaps the first two dimensions; the value is the size of the second.
    Transpose(u64),
}

/// Color channels per pixel.
const CHANNELS: usize = 3;

impl TensorTransform {
    /// Leaves values unchanged.
    pub const IDENTITY: Self = Self::Add(0.0);

    /// The number of elements that must be transformed together: chunks of a tensor are multiples of it.
    pub fn granule(self, row: u64, elements: u64) -> u64 {
        match self {
            Self::Add(_) | Self::Softplus | Self::ChannelsFirst => row,
            Self::Transpose(_) => elements,
        }
    }

    /// Transforms whole granules in place. The converter has widened `bf16` by then, so only `f16` rounds.
    pub fn apply(self, dtype: Dtype, row: usize, values: &mut [f32]) {
        match self {
            Self::Add(0.0) => {}
            Self::Add(shift) => dtype.map_values(values, |value| value + shift),
            Self::Softplus => dtype.map_values(values, softplus),
            Self::ChannelsFirst => values.chunks_mut(row.max(1)).for_each(channels_first),
            Self::Transpose(second) => transpose(values, second as usize, row.max(1)),
        }
    }
}

fn channels_first(pixels: &mut [f32]) {
    let count = pixels.len() / CHANNELS;
    let interleaved = pixels.to_vec();
    for (number, pixel) in interleaved.chunks_exact(CHANNELS).enumerate() {
        pixel.iter().enumerate().for_each(|(channel, value)| pixels[channel * count + number] = *value);
    }
}

fn transpose(values: &mut [f32], second: usize, row: usize) {
    let first = values.len() / row / second.max(1);
    let original = values.to_vec();
    for (number, source) in original.chunks_exact(row).enumerate() {
        let start = (number % second * first + number / second) * row;
        values[start..start + row].copy_from_slice(source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(transform: TensorTransform, dtype: Dtype, row: usize, values: &[f32]) -> Vec<f32> {
        let mut values = values.to_vec();
        transform.apply(dtype, row, &mut values);
        values
    }

    #[test]
    fn pixels_become_channels_first() {
        let values = applied(
            TensorTransform::ChannelsFirst,
            Dtype::Bf16,
            6,
            &[1., 2., 3., 4., 5., 6., 11., 12., 13., 14., 15., 16.],
        );
        assert_eq!(values, [1., 4., 2., 5., 3., 6., 11., 14., 12., 15., 13., 16.]);
    }

    #[test]
    fn transpose_swaps_two_dimensions() {
        // 3 × 2 rows of 2
        let values = applied(
            TensorTransform::Transpose(2),
            Dtype::Bf16,
            2,
            &[0., 0., 1., 1., 10., 10., 11., 11., 20., 20., 21., 21.],
        );
        assert_eq!(values, [0., 0., 10., 10., 20., 20., 1., 1., 11., 11., 21., 21.]);
    }

    #[test]
    fn only_half_precision_rounds() {
        assert_eq!(applied(TensorTransform::Add(1.0), Dtype::Bf16, 1, &[1e-4]), [1.0001]);
        assert_eq!(applied(TensorTransform::Add(1.0), Dtype::F16, 1, &[1e-4]), [1.0]);
        assert_eq!(applied(TensorTransform::IDENTITY, Dtype::F16, 1, &[1e-4]), [1e-4]);
    }
}
