//! `torch.distributions.Normal(0, 1).icdf` in `f32`.

use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};

/// The inverse cumulative distribution function (quantile) of the standard normal distribution.
pub fn normal_icdf(probability: f32) -> f32 {
    let y = f64::from(2.0 * probability - 1.0);
    inverse_erf(y) as f32 * SQRT_2 as f32
}

fn inverse_erf(y: f64) -> f64 {
    if y == 0.0 {
        return 0.0;
    }
    if y.abs() >= 1.0 {
        return f64::INFINITY.copysign(y);
    }
    let (mut low, mut high) = (-6.0, 6.0);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if erf(middle) < y {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// The error function by its Taylor series, in the form whose terms all have one sign: 2/√π · e^(−x²) · Σ 2ⁿ x²ⁿ⁺¹ / (1·3·…·(2n+1)).
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, 0.0);
    for n in 1..400 {
        sum += term;
        term *= 2.0 * x * x / f64::from(2 * n + 1);
    }
    FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_torchs() {
        // bits of torch.distributions.Normal(0, 1).icdf(probability)
        for (probability, bits) in QUANTILES {
            let actual = normal_icdf(probability);
            assert_eq!(actual.to_bits(), bits, "{probability}: {actual} is not {}", f32::from_bits(bits));
        }
    }

    const QUANTILES: [(f32, u32); 10] = [
        (0.0, 0xff80_0000),
        (0.1, 0xbfa4_09e2),
        (0.5, 0),
        (0.6, 0x3e81_b6b8),
        (0.75, 0x3f2c_ab5c),
        (0.9, 0x3fa4_09e1),
        (0.95, 0x3fd2_8a90),
        (0.99, 0x4014_e2e4),
        (0.999, 0x4045_c66e),
        (1.0, 0x7f80_0000),
    ];
}
