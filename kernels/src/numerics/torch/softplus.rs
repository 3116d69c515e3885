//! Softplus in `f32`, bit for bit as torch computes it on whole vectors (SLEEF): the exponential by a polynomial, the
//! logarithm in double-float arithmetic.

/// log(1 + e^x).
pub fn softplus(x: f32) -> f32 {
    if x > 20.0 { x } else { log1p(exp(x)) }
}

/// e^x for x up to 20: a power of two times a polynomial in the remainder.
fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_145_75;
    const LN2_LOW: f32 = 1.428_606_8e-6;
    const TERMS: [f32; 6] =
        [0.000_198_527_62, 0.001_393_043_6, 0.008_333_361, 0.041_666_485, 0.166_666_67, 0.5];
    if x < -104.0 {
        return 0.0;
    }
    let power = (x * std::f32::consts::LOG2_E).round_ties_even();
    let remainder = power.mul_add(-LN2_LOW, power.mul_add(-LN2_HIGH, x));
    let sum = TERMS.iter().fold(0.0_f32, |sum, term| sum.mul_add(remainder, *term));
    let value = 1.0 + (remainder * remainder).mul_add(sum, remainder);
    // in two steps, because the smallest results are subnormal
    let half = power as i32 >> 1;
    value * power_of_two(half) * power_of_two(power as i32 - half)
}

/// log(1 + x) for x ≥ 0.
fn log1p(x: f32) -> f32 {
    const LN2: DoubleFloat = DoubleFloat(std::f32::consts::LN_2, -1.904_654_3e-9);
    const TERMS: [f32; 3] = [0.302_729_5, 0.399_610_82, 0.666_669_5];
    let exponent = ((((1.0 + x) * (1.0 / 0.75)).to_bits() >> 23) & 0xff) as i32 - 127;
    let scale = power_of_two(-exponent);
    let m = x.mul_add(scale, scale - 1.0);
    // atanh of m / (2 + m)
    let ratio = DoubleFloat(m, 0.0).divided_by(DoubleFloat::sum(2.0, m));
    let square = ratio.0 * ratio.0;
    let terms = TERMS.iter().fold(0.0_f32, |sum, term| sum.mul_add(square, *term));
    let log = LN2.times(exponent as f32).plus(DoubleFloat(ratio.0 * 2.0, ratio.1 * 2.0));
    let log = log.plus(DoubleFloat(square * ratio.0 * terms, 0.0));
    log.0 + log.1
}

/// 2^power, for exponents of normal numbers.
fn power_of_two(power: i32) -> f32 {
    f32::from_bits(((power + 127) as u32) << 23)
}

/// A double-float: the unevaluated sum of two floats, the second far smaller.
#[derive(Clone, Copy)]
struct DoubleFloat(f32, f32);

impl DoubleFloat {
    fn sum(a: f32, b: f32) -> Self {
        let sum = a + b;
        Self(sum, (a - sum) + b)
    }

    fn plus(self, other: Self) -> Self {
        let sum = self.0 + other.0;
        Self(sum, (self.0 - sum) + other.0 + self.1 + other.1)
    }

    fn times(self, factor: f32) -> Self {
        let product = self.0 * factor;
        Self(product, self.1.mul_add(factor, self.0.mul_add(factor, -product)))
    }

    fn divided_by(self, divisor: Self) -> Self {
        let inverse = 1.0 / divisor.0;
        let quotient = self.0 * inverse;
        let remainder = inverse.mul_add(self.0, -quotient);
        let error = (-divisor.1).mul_add(inverse, (-divisor.0).mul_add(inverse, 1.0));
        Self(quotient, quotient.mul_add(error, self.1.mul_add(inverse, remainder)))
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn every_bf16_gives_the_bits_of_torch() {
        let mut hash = Sha256::new();
        let numbers = (0..=u16::MAX).map(|bits| f32::from_bits(u32::from(bits) << 16));
        numbers.filter(|x| x.is_finite()).for_each(|x| hash.update(softplus(x).to_le_bytes()));
        let hex: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "5560e9b622a0bdb4cd1278bc699cd988fb3153698302115633172ccbf8b6fa81");
    }

    #[test]
    fn nan_stays_nan_and_infinities_have_their_limits() {
        assert!(softplus(f32::NAN).is_nan());
        assert_eq!((softplus(f32::INFINITY), softplus(f32::NEG_INFINITY)), (f32::INFINITY, 0.0));
    }
}
