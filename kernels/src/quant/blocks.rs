//! Loops over the quantization blocks of a row.
//!
//! They are macros because they must be expanded inside functions of [`multiversion!`](crate::numerics::simd): a
//! function that is passed as a value is compiled separately, without the vector instructions.

/// Encodes each block: `encode(values, out)`.
macro_rules! encode_blocks {
    ($values:expr, $bytes:expr, $encode:ident) => {
        for (values, out) in $values.as_chunks().0.iter().zip($bytes.as_chunks_mut().0) {
            $encode(values, out);
        }
    };
}

/// Encodes each block of a row: `unweighted(values, out)` without an importance matrix, else
/// `weighted(values, weights, out)` with the weights of [`row_weights`](crate::quant::importance::row_weights).
macro_rules! encode_weighted_blocks {
    ($values:expr, $importance:expr, $bytes:expr, $unweighted:ident, $weighted:ident) => {
        match $importance {
            None => crate::quant::blocks::encode_blocks!($values, $bytes, $unweighted),
            Some(importance) => {
                let weights = crate::quant::importance::row_weights($values, importance);
                let blocks = $values.as_chunks().0.iter().zip(weights.as_chunks().0);
                for ((values, weights), out) in blocks.zip($bytes.as_chunks_mut().0) {
                    $weighted(values, weights, out);
                }
            }
        }
    };
}

/// Encodes each block of a row with the importances of its columns, if there are any:
/// `encode(values, importance, out)`.
macro_rules! encode_blocks_with_importance {
    ($values:expr, $importance:expr, $bytes:expr, $encode:ident) => {{
        let importance: Option<&[f32]> = $importance;
        let mut importance = importance.map(|importance| importance.as_chunks().0.iter());
        for (values, out) in $values.as_chunks().0.iter().zip($bytes.as_chunks_mut().0) {
            $encode(values, importance.as_mut().and_then(Iterator::next), out);
        }
    }};
}

/// Decodes each block: `decode(block, values)`.
macro_rules! decode_blocks {
    ($bytes:expr, $values:expr, $decode:ident) => {
        for (block, values) in $bytes.as_chunks().0.iter().zip($values.as_chunks_mut().0) {
            $decode(block, values);
        }
    };
}

pub(super) use {decode_blocks, encode_blocks, encode_blocks_with_importance, encode_weighted_blocks};

/// `values.map(function)`, always inlined into the calling function.
#[inline(always)]
pub(super) fn map_array<T: Copy, U: Copy + Default, const N: usize>(
    values: &[T; N],
    function: impl Fn(T) -> U,
) -> [U; N] {
    let mut results = [U::default(); N];
    for (result, value) in results.iter_mut().zip(values) {
        *result = function(*value);
    }
    results
}
