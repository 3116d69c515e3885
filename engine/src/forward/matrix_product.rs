//! Products with rows of weights.

use kernels::product;
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayViewMut2};

/// Up to this many rows the kernel is faster than the matrix library, which rearranges the weights first.
const FEW_ROWS: usize = 6;

/// x·Wᵀ into `out`. Weights have as many columns as `x`.
pub(super) fn multiply_into(x: &Array2<f32>, weights: &Array2<f32>, mut out: ArrayViewMut2<'_, f32>) {
    match (x.as_slice(), weights.as_slice()) {
        (Some(rows), Some(matrix)) if x.nrows() <= FEW_ROWS => {
            let mut products = Array2::zeros((x.nrows(), weights.nrows()));
            if let Some(products) = products.as_slice_mut() {
                product::with_transposed(x.ncols(), rows, matrix, products);
            }
            out.assign(&products);
        }
        _ => general_mat_mul(1.0, x, &weights.t(), 0.0, &mut out),
    }
}

/// x·Wᵀ. Weights have as many columns as `x`.
pub(super) fn multiply(x: &Array2<f32>, weights: &Array2<f32>) -> Array2<f32> {
    let mut out = Array2::zeros((x.nrows(), weights.nrows()));
    multiply_into(x, weights, out.view_mut());
    out
}
