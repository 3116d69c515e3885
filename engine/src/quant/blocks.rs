//! Loops over the blocks of a type.
//!
//! They are macros because they belong into functions of [`multiversion!`](crate::simd::multiversion): a function that is handed to
//! another one is compiled by itself, without the vector instructions.

/// Writes what a function makes of each block of values and, where there are any, its weights.
macro_rules! each_block {
    ($values:expr, $bytes:expr, $encode:ident) => {
        for (values, place) in $values.as_chunks().0.iter().zip($bytes.as_chunks_mut().0) {
            $encode(values, place);
        }
    };
    // with an importance matrix, what each weight of a row matters goes along
    ($values:expr, $importance:expr, $bytes:expr, $plain:ident, $weighted:ident) => {
        match $importance {
            None => each_block!($values, $bytes, $plain),
            Some(importance) => {
                let weights = crate::quant::legacy::row_weights($values, importance);
                let blocks = $values.as_chunks().0.iter().zip(weights.as_chunks().0);
                for ((values, weights), place) in blocks.zip($bytes.as_chunks_mut().0) {
                    $weighted(values, weights, place);
                }
            }
        }
    };
    ($values:expr, $weights:expr, $bytes:expr, $encode:ident) => {{
        let weights: Option<&[f32]> = $weights;
        let mut weights = weights.map(|weights| weights.as_chunks().0.iter());
        for (values, place) in $values.as_chunks().0.iter().zip($bytes.as_chunks_mut().0) {
            $encode(values, weights.as_mut().and_then(Iterator::next), place);
        }
    }};
}

/// Writes what a function makes of each stored block.
macro_rules! each_stored {
    ($bytes:expr, $values:expr, $decode:ident) => {
        for (stored, values) in $bytes.as_chunks().0.iter().zip($values.as_chunks_mut().0) {
            $decode(stored, values);
        }
    };
}

pub(super) use {each_block, each_stored};

/// `values.map(make)`, in a form that is compiled where it stands.
#[inline(always)]
pub(super) fn mapped<T: Copy, U: Copy + Default, const N: usize>(
    values: &[T; N],
    make: impl Fn(T) -> U,
) -> [U; N] {
    let mut made = [U::default(); N];
    for (made, value) in made.iter_mut().zip(values) {
        *made = make(*value);
    }
    made
}
