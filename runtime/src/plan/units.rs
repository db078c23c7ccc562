//! Costs as whole numbers, so that sums, ties and the heuristic are exact and the same on every processor.
//!
//! Repair relies on it: with rounding, a cell could be expanded before the one on whose outdated cost it rests.

use super::Cell;

/// Units of the cheapest straight step. Each step is rounded to half a unit, 5·10⁻⁷ of the cheapest step.
const STRAIGHT: u64 = 1 << 20;

/// Units of the cheapest diagonal step: √2 of it, rounded down.
const DIAGONAL: u64 = 1_482_910;

/// Bits below a key's cost that decide between equal costs.
const TIE_BITS: u32 = 12;

/// How many units make an inflation of 1.
pub(super) const INFLATION_ONE: u64 = 1 << 8;

/// Turns costs into whole numbers of units, and bounds them from below.
#[derive(Clone, Copy, Debug)]
pub(super) struct Units {
    /// Units per cost.
    scale: f32,
    /// How far a heuristic is shifted to fit the tie bits.
    shift: u32,
}

impl Units {
    /// Units for a cheapest straight step of `least`, on a grid of at most `widest` columns and rows; `None` where `least` is no
    /// positive number that has an inverse.
    pub fn new(least: f32, widest: u16) -> Option<Self> {
        let scale = STRAIGHT as f32 / least;
        if !(least > 0.0 && scale > 0.0 && scale.is_finite()) {
            return None;
        }
        let farthest = u64::from(widest) * (STRAIGHT + DIAGONAL);
        Some(Self { scale, shift: (u64::BITS - farthest.leading_zeros()).saturating_sub(TIE_BITS) + 1 })
    }

    /// A step of `cost`, at least as many units as the heuristic says; `None` where the step is blocked.
    #[inline(always)]
    pub fn step(&self, cost: f32, diagonal: bool) -> Option<u64> {
        // The cast saturates: what is negative becomes the least step, what is huge can not be reached.
        cost.is_finite().then(|| ((cost * self.scale + 0.5) as u64).max(if diagonal { DIAGONAL } else { STRAIGHT }))
    }

    /// The least cost of a way from `a` to `b`: octile distance times the lowest cost.
    #[inline(always)]
    pub fn least(&self, a: Cell, b: Cell) -> u64 {
        let (diagonal, straight) = a.steps_to(b);
        diagonal * DIAGONAL + straight * STRAIGHT
    }

    /// The key of a cell whose cost has fallen since its last expansion (overconsistent): g + ε h, and among equals the one
    /// nearest to the start.
    #[inline(always)]
    pub fn inflated_key(&self, g: u64, h: u64, inflation: u64) -> u64 {
        ((g + ((h * inflation) >> INFLATION_ONE.trailing_zeros())) << TIE_BITS) | (1 + (h >> self.shift))
    }

    /// The key of a cell whose cost has risen (underconsistent): v + h, before all others of that cost.
    #[inline(always)]
    pub fn key(&self, v: u64, h: u64) -> u64 {
        (v + h) << TIE_BITS
    }

    /// Units as a cost.
    pub fn cost(&self, units: u64) -> f32 {
        units as f32 / self.scale
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_is_no_cost() {
        for least in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40] {
            assert!(Units::new(least, 10).is_none(), "{least}");
        }
    }

    #[test]
    fn ties_and_costs_do_not_mix() {
        let units = Units::new(1.0, u16::MAX).unwrap();
        let far = units.least(Cell::new(0, 0), Cell::new(u16::MAX, u16::MAX));
        assert!(1 + (far >> units.shift) < 1 << TIE_BITS);
        let top = units.inflated_key(super::super::node::UNREACHED, far, 255 * INFLATION_ONE);
        assert!(top >> TIE_BITS >= super::super::node::UNREACHED);
    }

    proptest! {
        #[test]
        fn the_heuristic_is_consistent(x in 1u16..60, y in 1u16..60, to in (0u16..60, 0u16..60), direction in 0u32..8, cost in -1f32..3.0) {
            let units = Units::new(1.0, 61).unwrap();
            let grid = super::super::Grid { width: 61, height: 61, side: 1.0 };
            let (from, to) = (Cell::new(x, y), Cell::new(to.0, to.1));
            let next = grid.neighbour(from, direction).unwrap();
            let step = units.step(cost, direction >= 4).unwrap();
            prop_assert!(units.least(from, to) <= step + units.least(next, to));
        }
    }
}
