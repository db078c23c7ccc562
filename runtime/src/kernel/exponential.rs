//! exp and ln(1 + x), with plain `+`, `*` and `/` in a fixed order: the same bits on every target, and the same work for every number.
//!
//! The way is that of `expf` in Moshier's Cephes and of `logf` and `log1pf` in FreeBSD's msun, whose coefficients these are, but without
//! their branches: those make the time of a loss depend on the data.

/// ln 2 in two parts, the first of few bits, so that its products with whole numbers are exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
/// As [`LN_2`], in msun's parts.
const LN_2_MSUN: [f32; 2] = [0.693_138_1, 9.058_001e-6];
/// exp(r) = 1 + r + r² · polynomial, for |r| up to ln(2) / 2; from the 5th power down.
const EXP: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
/// The remainder of ln((1 + s) / (1 − s)), in s²; from the 4th power down.
const LN: [f32; 4] = [0.242_790_79, 0.284_987_87, 0.400_009_72, 0.666_666_6];

/// exp(x): within 2 units in the last place, infinite where it passes f32, NaN for NaN.
pub fn exp(x: f32) -> f32 {
    // Beyond these it is infinite, and 0. Written so that NaN goes through.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    // To the nearest whole number: at 1.5 · 2²³ a unit in the last place is 1, and the low bits are the number.
    let shifted = x * core::f32::consts::LOG2_E + 12_582_912.0;
    let power = (shifted.to_bits() as i32).wrapping_sub(0x4b40_0000);
    let whole = shifted - 12_582_912.0;
    let r = (x - whole * LN_2[0]) - whole * LN_2[1];
    let polynomial = EXP.iter().fold(0.0, |sum, c| sum * r + c);
    // In two halves, for 2^power itself need not be a normal number.
    let half = power >> 1;
    (polynomial * (r * r) + r + 1.0) * two_to(half) * two_to(power.wrapping_sub(half))
}

/// 2^power, for a power from −126 to 127.
fn two_to(power: i32) -> f32 {
    f32::from_bits((power.wrapping_add(127) as u32) << 23)
}

/// ln(1 + x) for finite x from 0 up, within 2 units in the last place; NaN for NaN.
pub fn ln_1p(x: f32) -> f32 {
    let u = 1.0 + x;
    // What the sum lost.
    let lost = (x - (u - 1.0)) / u;
    // u = (1 + f) 2^power, with 1 + f from √½ to √2.
    let bits = (u.to_bits() as i32).wrapping_sub(0x3f35_04f3);
    let power = bits >> 23;
    let f = f32::from_bits((u.to_bits() as i32).wrapping_sub(power << 23) as u32) - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let half = 0.5 * f * f;
    let remainder = z * LN.iter().fold(0.0, |sum, c| sum * z + c);
    let power = power as f32;
    // `0 · x` is NaN where x is.
    s * (half + remainder) + (power * LN_2_MSUN[1] + lost) - half + f + (power * LN_2_MSUN[0] + 0.0 * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers over the whole range, close to each other.
    fn numbers(from: f32, to: f32) -> impl Iterator<Item = f32> {
        (0..=100_000).map(move |step| from + (to - from) * (step as f32 / 100_000.0))
    }

    /// In units in the last place of the nearest f32, or of the smallest normal one.
    fn error(got: f32, want: f64) -> f64 {
        let unit = f64::from((want.abs() as f32).max(f32::MIN_POSITIVE)) * f64::from(f32::EPSILON);
        (f64::from(got) - want).abs() / unit
    }

    #[test]
    fn exp_is_exp() {
        for x in numbers(-103.0, 88.7).chain(numbers(-1.0, 1.0)).chain([0.0, -0.0, 1e-40, -1e-40]) {
            let off = error(exp(x), f64::from(x).exp());
            assert!(off <= 2.0, "exp({x}) = {}, {off} units off", exp(x));
        }
        assert_eq!(exp(0.0), 1.0);
        for x in [-104.0, -1e9, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(exp(x), 0.0);
        }
        for x in [89.0, 1e9, f32::MAX, f32::INFINITY] {
            assert_eq!(exp(x), f32::INFINITY);
        }
        assert!(exp(f32::NAN).is_nan() && exp(-f32::NAN).is_nan());
    }

    #[test]
    fn ln_1p_is_ln_1p() {
        let powers = (0..1200).map(|step| (-30.0 + f64::from(step) / 10.0).exp2() as f32);
        let all = numbers(0.0, 1.0).chain(numbers(0.0, 5000.0)).chain(powers).chain([1e-40, f32::MAX]);
        for x in all {
            let off = error(ln_1p(x), f64::from(x).ln_1p());
            assert!(off <= 2.0, "ln_1p({x}) = {}, {off} units off", ln_1p(x));
        }
        assert_eq!(ln_1p(0.0), 0.0);
        assert!(ln_1p(f32::NAN).is_nan() && ln_1p(-f32::NAN).is_nan());
    }
}
