//! What is done with a tensor's values before they are encoded.

use super::Dtype;
use super::torch::softplus;

/// How values of the checkpoint become those of the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum TensorTransform {
    /// As they are, plus this.
    Add(f32),
    /// The logarithm of 1 + e^x.
    Softplus,
    /// Each row is the pixels of a square, which stand colour by colour in the file instead of pixel by pixel.
    ChannelsFirst,
    /// The first two dimensions change places; this many of the second follow each of the first.
    Transpose(u64),
}

/// The colours of a pixel.
const COLOURS: usize = 3;

impl TensorTransform {
    /// The values unchanged.
    pub(crate) const IDENTITY: Self = Self::Add(0.0);

    /// Blocks of a tensor must be multiples of this many elements.
    pub(crate) fn granule(self, row: u64, elements: u64) -> u64 {
        match self {
            Self::Add(_) | Self::Softplus | Self::ChannelsFirst => row,
            Self::Transpose(_) => elements,
        }
    }

    /// Gives whole granules of values this form. The converter has widened `bf16` by then, so only `f16` rounds.
    pub(crate) fn apply(self, dtype: Dtype, row: usize, values: &mut [f32]) {
        match self {
            Self::Add(0.0) => {}
            Self::Add(shift) => dtype.each(values, |value| value + shift),
            Self::Softplus => dtype.each(values, softplus),
            Self::ChannelsFirst => values.chunks_mut(row.max(1)).for_each(by_colour),
            Self::Transpose(second) => turn(values, second as usize, row.max(1)),
        }
    }
}

fn by_colour(pixels: &mut [f32]) {
    let count = pixels.len() / COLOURS;
    let read = pixels.to_vec();
    for (at, pixel) in read.chunks_exact(COLOURS).enumerate() {
        pixel.iter().enumerate().for_each(|(colour, value)| pixels[colour * count + at] = *value);
    }
}

fn turn(values: &mut [f32], second: usize, row: usize) {
    let first = values.len() / row / second.max(1);
    let read = values.to_vec();
    for (number, from) in read.chunks_exact(row).enumerate() {
        let at = (number % second * first + number / second) * row;
        values[at..at + row].copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(form: TensorTransform, dtype: Dtype, row: usize, values: &[f32]) -> Vec<f32> {
        let mut values = values.to_vec();
        form.apply(dtype, row, &mut values);
        values
    }

    #[test]
    fn pixels_stand_colour_by_colour() {
        let values = applied(
            TensorTransform::ChannelsFirst,
            Dtype::Bf16,
            6,
            &[1., 2., 3., 4., 5., 6., 11., 12., 13., 14., 15., 16.],
        );
        assert_eq!(values, [1., 4., 2., 5., 3., 6., 11., 14., 12., 15., 13., 16.]);
    }

    #[test]
    fn two_dimensions_change_places() {
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
