//! Reverse-mode differentiation (Linnainmaa 1970) of dual numbers: forward over reverse, so that one sweep back makes gradient and
//! Hessian-vector product, both exact.

use std::cell::{Cell, RefCell};
use std::ops::{Add, Div, Mul, Sub};

use super::dual::{Dual, Number};

/// What was computed, operation by operation.
#[derive(Debug)]
pub struct Tape {
    operations: RefCell<Vec<Operation>>,
    margin: Cell<f64>,
}

/// Of each operand where on the tape it is, if it is there, and the derivative with respect to it.
type Operation = [Option<(usize, Dual)>; 2];

/// A number on a tape, or a constant.
#[derive(Clone, Copy, Debug)]
pub struct Variable<'t> {
    number: Dual,
    place: Option<(&'t Tape, usize)>,
}

impl Tape {
    /// An empty one.
    pub fn new() -> Self {
        Self { operations: RefCell::default(), margin: Cell::new(f64::INFINITY) }
    }

    /// A number to differentiate by, whose slope is its part of the direction.
    pub fn variable(&self, number: Dual) -> Variable<'_> {
        self.record(number, [None; 2])
    }

    /// The derivative of `result` by each of the first `count` numbers that came onto this tape, and the slope of that derivative.
    pub fn derivatives(&self, result: Variable<'_>, count: usize) -> Vec<Dual> {
        let operations = self.operations.borrow();
        let mut derivatives = vec![Dual::default(); operations.len()];
        if let Some((_, last)) = result.place {
            derivatives[last] = Dual::constant(1.0);
        }
        for (place, operation) in operations.iter().enumerate().rev() {
            for (operand, partial) in operation.iter().flatten() {
                derivatives[*operand] = derivatives[*operand] + derivatives[place] * *partial;
            }
        }
        derivatives.truncate(count);
        derivatives
    }

    /// How near two numbers were that [`Number::above`] was asked about, at the nearest; infinite if it was not asked.
    ///
    /// What is computed has no kink where no number moves by half of this.
    pub fn margin(&self) -> f64 {
        self.margin.get()
    }

    fn record(&self, number: Dual, operation: Operation) -> Variable<'_> {
        let mut operations = self.operations.borrow_mut();
        operations.push(operation);
        Variable { number, place: Some((self, operations.len() - 1)) }
    }
}

impl<'t> Variable<'t> {
    /// The result `number` of this one alone.
    fn of_one(self, number: Dual, partial: Dual) -> Self {
        match self.place {
            Some((tape, operand)) => tape.record(number, [Some((operand, partial)), None]),
            None => Self { number, place: None },
        }
    }

    /// The result `number` of this one and `other`.
    fn of_two(self, other: Self, number: Dual, partials: [Dual; 2]) -> Self {
        let operand = |variable: Self, partial| variable.place.map(|(_, operand)| (operand, partial));
        match self.place.or(other.place) {
            Some((tape, _)) => tape.record(number, [operand(self, partials[0]), operand(other, partials[1])]),
            None => Self { number, place: None },
        }
    }
}

impl Number for Variable<'_> {
    fn constant(value: f64) -> Self {
        Self { number: Dual::constant(value), place: None }
    }
    fn value(self) -> f64 {
        self.number.value
    }
    fn exp(self) -> Self {
        let e = self.number.exp();
        self.of_one(e, e)
    }
    fn ln(self) -> Self {
        self.of_one(self.number.ln(), Dual::constant(1.0) / self.number)
    }
    fn sqrt(self) -> Self {
        let root = self.number.sqrt();
        self.of_one(root, Dual::constant(0.5) / root)
    }
    fn tanh(self) -> Self {
        let t = self.number.tanh();
        self.of_one(t, Dual::constant(1.0) - t * t)
    }
    fn above(self, other: Self) -> bool {
        // Constants stay on their sides, and two that are equal and move alike, as where a norm follows a rectifier's zeros, are one.
        if let Some((tape, _)) = self.place.or(other.place)
            && self.number != other.number
        {
            tape.margin.set(tape.margin.get().min((self.value() - other.value()).abs()));
        }
        self.value() > other.value()
    }
}

impl Add for Variable<'_> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.of_two(other, self.number + other.number, [Dual::constant(1.0); 2])
    }
}
impl Sub for Variable<'_> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.of_two(other, self.number - other.number, [1.0, -1.0].map(Dual::constant))
    }
}
impl Mul for Variable<'_> {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        self.of_two(other, self.number * other.number, [other.number, self.number])
    }
}
impl Div for Variable<'_> {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let quotient = self.number / other.number;
        let by_divisor = Dual::constant(0.0) - quotient / other.number;
        self.of_two(other, quotient, [Dual::constant(1.0) / other.number, by_divisor])
    }
}
