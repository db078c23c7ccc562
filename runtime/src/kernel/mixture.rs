//! Mixtures of experts (Jacobs, Jordan, Nowlan, Hinton, *Adaptive mixtures of local experts*, 1991; with several gates Ma et al. 2018).
//!
//! A row of x is `[experts, units]` and then the logits `[gates, experts]`. With a_e the activated values of expert e and p_g = softmax(l_g),
//! `z_g = Σ_e p_ge a_e` for each gate that is used, `[outputs, units]`. `d…` is a gradient of the loss, `r…` a derivative along a direction;
//! the layer has no parameters, so the direction is in x alone.
//!
//! Expert after expert is gone through, so that scratch holds the values of one of them and the shares of all. The products run on the
//! vectors of the path; a sum over units is the same on every path.

use core::array::from_fn;

use sinew_models::layout::PlacedLayer;
use sinew_models::spec::{Activation, Layer};

use super::dense::Update;
use super::scale::add_scaled;
use super::{Path, activation, arrange, loss};
use crate::part::{cut, part, part_mut};

/// A mixture.
#[derive(Clone, Copy, Debug)]
pub struct Mixture {
    experts: usize,
    gates: usize,
    first: usize,
    outputs: usize,
    units: usize,
    activation: Activation,
}

/// A row of x, or of what has its layout.
#[derive(Clone, Copy)]
struct Row<'a> {
    values: &'a [f32],
    logits: &'a [f32],
}

impl Mixture {
    /// That of a layer; `None` for another one, or where it does not take such an input.
    pub fn new(layer: &PlacedLayer) -> Option<Self> {
        let Layer::Mixture { experts, gates, first, outputs, activation } = layer.layer else { return None };
        let [experts, gates, first, outputs] = [experts, gates, first, outputs].map(usize::from);
        let units = layer.layer.units_of_expert(layer.input)?;
        Some(Self { experts, gates, first, outputs, units, activation })
    }

    /// Values of scratch that its passes need.
    pub const fn scratch_len(self) -> usize {
        4 * (self.units + self.shares())
    }

    /// Multiply-adds of mixing, for one row.
    pub const fn multiply_adds(self) -> u64 {
        self.shares() as u64 * self.units as u64
    }

    /// Shares of experts in the mixtures that are used.
    const fn shares(self) -> usize {
        self.outputs * self.experts
    }

    const fn inputs(self) -> usize {
        self.experts * self.units + self.gates * self.experts
    }

    fn rows(self, x: &[f32]) -> impl Iterator<Item = Row<'_>> {
        x.chunks_exact(self.inputs()).map(move |row| {
            let (values, logits) = row.split_at_checked(self.experts * self.units).unwrap_or_default();
            Row { values, logits: part(logits, self.first * self.experts, self.shares()) }
        })
    }

    /// Rows of gradients: those of the values, and of all logits.
    fn rows_mut(self, dx: &mut [f32]) -> impl Iterator<Item = (&mut [f32], &mut [f32])> {
        dx.chunks_exact_mut(self.inputs()).map(move |row| cut(row, self.experts * self.units))
    }

    /// Four vectors of one expert's values, and four of shares, in scratch.
    fn scratch(self, scratch: &mut [f32]) -> ([&mut [f32]; 4], [&mut [f32]; 4]) {
        let (of_units, of_shares) = cut(scratch, 4 * self.units);
        let mut of_units = of_units.chunks_exact_mut(self.units.max(1));
        let mut of_shares = of_shares.chunks_exact_mut(self.shares().max(1));
        (from_fn(|_| of_units.next().unwrap_or_default()), from_fn(|_| of_shares.next().unwrap_or_default()))
    }

    fn softmax(self, logits: &[f32], p: &mut [f32]) {
        let experts = self.experts.max(1);
        for (logits, p) in logits.chunks_exact(experts).zip(p.chunks_exact_mut(experts)) {
            loss::softmax(logits, p);
        }
    }

    /// The shares of one expert in the mixtures, and the values of the mixtures.
    fn of_expert<'a>(self, expert: usize, p: &'a [f32], z: &'a [f32]) -> impl Iterator<Item = (f32, &'a [f32])> {
        let shares = p.iter().skip(expert).step_by(self.experts.max(1));
        shares.copied().zip(z.chunks_exact(self.units.max(1)))
    }

    fn activate(self, path: Path, h: &[f32], a: &mut [f32]) {
        a.iter_mut().zip(h).for_each(|(a, h)| *a = *h);
        activation::forward(path, self.activation, a);
    }

    /// What the slope of the activation is told from.
    fn known<'a>(self, h: &'a [f32], a: &'a [f32]) -> &'a [f32] {
        if activation::needs_input(self.activation) { h } else { a }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}

/// `z_g = Σ_e p_ge a_e`
pub fn forward(path: Path, mixture: Mixture, x: &[f32], z: &mut [f32], scratch: &mut [f32]) {
    let Mixture { experts, units, outputs, .. } = mixture;
    let ([a, ..], [p, ..]) = mixture.scratch(scratch);
    for (row, z) in mixture.rows(x).zip(z.chunks_exact_mut((outputs * units).max(1))) {
        mixture.softmax(row.logits, p);
        z.fill(0.0);
        for (expert, h) in row.values.chunks_exact(units.max(1)).enumerate() {
            mixture.activate(path, h, a);
            for (z, p) in z.chunks_exact_mut(units.max(1)).zip(p.iter().skip(expert).step_by(experts.max(1))) {
                add_scaled(path, z, *p, a);
            }
        }
    }
}

/// `rz_g = Σ_e rp_ge a_e + p_ge ra_e` with `rp_ge = p_ge (rl_ge − Σ_k p_gk rl_gk)`.
pub fn forward_tangent(path: Path, mixture: Mixture, x: &[f32], rx: &[f32], rz: &mut [f32], scratch: &mut [f32]) {
    let Mixture { experts, units, outputs, activation, .. } = mixture;
    let ([a, ra, ..], [p, rp, ..]) = mixture.scratch(scratch);
    let rows = mixture.rows(x).zip(mixture.rows(rx));
    for ((row, r), rz) in rows.zip(rz.chunks_exact_mut((outputs * units).max(1))) {
        mixture.softmax(row.logits, p);
        along_softmax(experts, p, r.logits, rp);
        rz.fill(0.0);
        let values = row.values.chunks_exact(units.max(1)).zip(r.values.chunks_exact(units.max(1)));
        for (expert, (h, rh)) in values.enumerate() {
            mixture.activate(path, h, a);
            activation::backward(path, activation, mixture.known(h, a), rh, ra);
            let shares = p.iter().zip(&*rp).skip(expert).step_by(experts.max(1));
            for (rz, (p, rp)) in rz.chunks_exact_mut(units.max(1)).zip(shares) {
                add_scaled(path, rz, *rp, a);
                add_scaled(path, rz, *p, ra);
            }
        }
    }
}

/// `to = p ∘ (d − Σ_k p_k d_k)` for each gate: from logits to shares and, because the Jacobian of a softmax is symmetric, back.
fn along_softmax(experts: usize, p: &[f32], d: &[f32], to: &mut [f32]) {
    let gates = p.chunks_exact(experts.max(1)).zip(d.chunks_exact(experts.max(1)));
    for ((p, d), to) in gates.zip(to.chunks_exact_mut(experts.max(1))) {
        let mean = dot(p, d);
        to.iter_mut().zip(p.iter().zip(d)).for_each(|(to, (p, d))| *to = p * (d - mean));
    }
}

/// `dx (+)=` the gradient at values and logits; 0 at the logits of gates that are not used.
pub fn input_gradient(
    path: Path,
    mixture: Mixture,
    x: &[f32],
    dz: &[f32],
    (dx, update): (&mut [f32], Update),
    scratch: &mut [f32],
) {
    let Mixture { experts, units, outputs, activation, .. } = mixture;
    let ([a, da, ..], [p, dp, dl, _]) = mixture.scratch(scratch);
    let rows = mixture.rows(x).zip(dz.chunks_exact((outputs * units).max(1)));
    for ((row, dz), (dh, dlogits)) in rows.zip(mixture.rows_mut(dx)) {
        mixture.softmax(row.logits, p);
        let values = row.values.chunks_exact(units.max(1)).zip(dh.chunks_exact_mut(units.max(1)));
        for (expert, (h, dh)) in values.enumerate() {
            mixture.activate(path, h, a);
            da.fill(0.0);
            let by_share = dp.iter_mut().skip(expert).step_by(experts.max(1));
            for ((p, dz), dp) in mixture.of_expert(expert, p, dz).zip(by_share) {
                add_scaled(path, da, p, dz);
                *dp = dot(dz, a);
            }
            activation::backward_in_place(path, activation, mixture.known(h, a), da);
            arrange::put(path, dh, da, update);
        }
        along_softmax(experts, p, dp, dl);
        mixture.put_logits(path, dlogits, dl, update);
    }
}

/// The derivative of [`input_gradient`] along the direction `rx`, with gradients that move by `rdz`.
pub fn input_gradient_tangent(
    path: Path,
    mixture: Mixture,
    (x, rx): (&[f32], &[f32]),
    (dz, rdz): (&[f32], &[f32]),
    (rdx, update): (&mut [f32], Update),
    scratch: &mut [f32],
) {
    let Mixture { experts, units, outputs, activation, .. } = mixture;
    let ([a, ra, da, rda], [p, rp, dp, rdp]) = mixture.scratch(scratch);
    let gradients = dz.chunks_exact((outputs * units).max(1)).zip(rdz.chunks_exact((outputs * units).max(1)));
    let rows = mixture.rows(x).zip(mixture.rows(rx)).zip(gradients);
    for (((row, r), (dz, rdz)), (rdh, rdlogits)) in rows.zip(mixture.rows_mut(rdx)) {
        mixture.softmax(row.logits, p);
        along_softmax(experts, p, r.logits, rp);
        let values = row.values.chunks_exact(units.max(1)).zip(r.values.chunks_exact(units.max(1)));
        for (expert, ((h, rh), rdh)) in values.zip(rdh.chunks_exact_mut(units.max(1))).enumerate() {
            mixture.activate(path, h, a);
            let known = mixture.known(h, a);
            activation::backward(path, activation, known, rh, ra);
            da.fill(0.0);
            rda.fill(0.0);
            let gates = mixture.of_expert(expert, p, dz).zip(mixture.of_expert(expert, rp, rdz));
            let by_share = dp.iter_mut().zip(&mut *rdp).skip(expert).step_by(experts.max(1));
            for (((p, dz), (rp, rdz)), (dp, rdp)) in gates.zip(by_share) {
                add_scaled(path, da, p, dz);
                add_scaled(path, rda, rp, dz);
                add_scaled(path, rda, p, rdz);
                *dp = dot(dz, a);
                *rdp = dot(rdz, a) + dot(dz, ra);
            }
            activation::backward_tangent(path, activation, known, da, rh, rda);
            arrange::put(path, rdh, rda, update);
        }
        // The gradient at a logit is p (dp − m) with m = Σ p dp: it moves by rp (dp − m) + p (rdp − rm) with rm = Σ rp dp + p rdp.
        for gate in 0..outputs {
            let [p, rp, dp] = [&*p, &*rp, &*dp].map(|values| part(values, gate * experts, experts));
            let rdp = part_mut(rdp, gate * experts, experts);
            let (mean, moved) = (dot(p, dp), dot(rp, dp) + dot(p, rdp));
            for (((rdp, p), rp), dp) in rdp.iter_mut().zip(p).zip(rp).zip(dp) {
                *rdp = rp * (dp - mean) + p * (*rdp - moved);
            }
        }
        mixture.put_logits(path, rdlogits, rdp, update);
    }
}

impl Mixture {
    /// Puts gradients at the logits of the gates that are used, and 0 at those of the others.
    fn put_logits(self, path: Path, logits: &mut [f32], from: &[f32], update: Update) {
        if matches!(update, Update::Store) {
            logits.fill(0.0);
        }
        arrange::put(path, part_mut(logits, self.first * self.experts, self.shares()), from, update);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sinew_models::layout::Place;
    use sinew_models::spec::Shape;
    use std::vec;

    const NONE: f32 = -1e4;

    fn mixture(experts: u8, gates: u8, first: u8, outputs: u8, units: usize) -> Mixture {
        let layer = Layer::Mixture { experts, gates, first, outputs, activation: Activation::Relu };
        let input = Shape::vector(usize::from(experts) * (units + usize::from(gates)));
        let output = layer.output(input).unwrap();
        Mixture::new(&PlacedLayer { place: Place::Backbone, index: 0, layer, input, output, offset: 0 }).unwrap()
    }

    #[test]
    fn a_gate_weighs_experts_and_one_that_is_shut_out_counts_for_nothing() {
        let mixture = mixture(3, 2, 1, 1, 2);
        // Two expert's values, and one that is not a number worth having; the second gate is even between the first two.
        let x = [1.0, -2.0, 3.0, 4.0, 1e30, -1e30, 9.0, 9.0, 9.0, 0.5, 0.5, NONE];
        for path in Path::available() {
            let mut scratch = vec![f32::NAN; mixture.scratch_len()];
            let mut z = [f32::NAN; 2];
            forward(path, mixture, &x, &mut z, &mut scratch);
            assert!((z[0] - 2.0).abs() <= 1e-6 && (z[1] - 2.0).abs() <= 1e-6, "{} {z:?}", path.name());
            let mut dx = [f32::NAN; 12];
            input_gradient(path, mixture, &x, &[1.0, 1.0], (&mut dx, Update::Store), &mut scratch);
            // Nothing through the third expert or its logit, nor to the first gate, nor where the rectifier is off.
            assert_eq!([dx[1], dx[4], dx[5], dx[6], dx[7], dx[8], dx[11]], [0.0; 7], "{}", path.name());
            assert!((dx[0] - 0.5).abs() <= 1e-6 && (dx[9] + dx[10]).abs() <= 1e-6, "{} {dx:?}", path.name());
            // a_1 sums to 1 and a_2 to 7: dl_1 = ½ (1 − 4).
            assert!((dx[9] + 1.5).abs() <= 1e-5, "{} {dx:?}", path.name());
            let before = dx;
            input_gradient(path, mixture, &x, &[1.0, 1.0], (&mut dx, Update::Add(-1.0)), &mut scratch);
            assert!(dx.iter().all(|d| d.abs() <= 1e-6), "{} {before:?} {dx:?}", path.name());
        }
    }

    #[test]
    fn one_expert_is_its_activation() {
        let mixture = mixture(1, 1, 0, 1, 5);
        let x = [1.0, -1.0, 0.25, 1e-3, 7.0, 123.0];
        for path in Path::available() {
            let mut z = [f32::NAN; 5];
            forward(path, mixture, &x, &mut z, &mut vec![f32::NAN; mixture.scratch_len()]);
            assert_eq!(z, [1.0, 0.0, 0.25, 1e-3, 7.0]);
        }
    }

    #[test]
    fn what_does_not_fit_is_no_mixture() {
        let layer = |experts, gates, first, outputs| Layer::Mixture {
            experts,
            gates,
            first,
            outputs,
            activation: Activation::Identity,
        };
        let takes = |layer: Layer, len: usize| layer.output(Shape::vector(len)).map(Shape::len);
        assert_eq!(takes(layer(2, 3, 1, 2), 2 * 5 + 6), Some(10));
        for (layer, len) in [
            (layer(2, 3, 1, 2), 2 * 5 + 7),
            (layer(2, 3, 1, 2), 6),
            (layer(2, 3, 2, 2), 16),
            (layer(2, 3, 0, 0), 16),
            (layer(0, 3, 0, 1), 16),
        ] {
            assert_eq!(takes(layer, len), None, "{layer:?} {len}");
        }
    }
}
