//! Numbers that a network can be computed with, and of these the dual ones (Clifford 1873).

use std::ops::{Add, Div, Mul, Sub};

/// A real number that knows more than its value.
pub trait Number: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> {
    /// A number that depends on nothing.
    fn constant(value: f64) -> Self;
    /// What it is.
    fn value(self) -> f64;
    /// e to its power.
    fn exp(self) -> Self;
    /// Its natural logarithm.
    fn ln(self) -> Self;
    /// Its square root.
    fn sqrt(self) -> Self;
    /// Its hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Whether it is above `other`. Every choice that makes a kink asks this, so that a number may watch for kinks nearby.
    fn above(self, other: Self) -> bool {
        self.value() > other.value()
    }
}

/// A number with a derivative: `value + slope ε`, ε² = 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dual {
    /// The number.
    pub value: f64,
    /// Its derivative.
    pub slope: f64,
}

impl Dual {
    /// A number whose derivative is 0.
    pub fn constant(value: f64) -> Self {
        Self { value, slope: 0.0 }
    }
    fn chain(self, value: f64, slope: f64) -> Self {
        Self { value, slope: slope * self.slope }
    }
}

impl Number for Dual {
    fn constant(value: f64) -> Self {
        Dual::constant(value)
    }
    fn value(self) -> f64 {
        self.value
    }
    fn exp(self) -> Self {
        let e = self.value.exp();
        self.chain(e, e)
    }
    fn ln(self) -> Self {
        self.chain(self.value.ln(), 1.0 / self.value)
    }
    fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        self.chain(root, 0.5 / root)
    }
    fn tanh(self) -> Self {
        let t = self.value.tanh();
        self.chain(t, 1.0 - t * t)
    }
}

impl Add for Dual {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { value: self.value + other.value, slope: self.slope + other.slope }
    }
}
impl Sub for Dual {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { value: self.value - other.value, slope: self.slope - other.slope }
    }
}
impl Mul for Dual {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self { value: self.value * other.value, slope: self.slope * other.value + self.value * other.slope }
    }
}
impl Div for Dual {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        Self { value, slope: (self.slope - value * other.slope) / other.value }
    }
}
