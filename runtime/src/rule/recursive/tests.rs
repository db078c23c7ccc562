use nalgebra::{DMatrix, DVector};
use std::vec::Vec;

use super::*;

fn random(seed: &mut u64) -> f32 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    (*seed >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
}

fn many(len: usize, seed: u64) -> Vec<f32> {
    let mut seed = seed;
    (0..len).map(|_| random(&mut seed)).collect()
}

/// The same regression by its normal equations in f64.
struct Batch {
    gamma: f64,
    unknowns: usize,
    samples: DMatrix<f64>,
    right: DMatrix<f64>,
    /// How much each row of the prior counts.
    counts: Vec<f64>,
    factor: DMatrix<f64>,
    weight: DMatrix<f64>,
    taken: usize,
}

impl Batch {
    fn new(gamma: f32, outputs: usize, prior: &Prior<'_>) -> Self {
        let n = prior.weight.len() / outputs;
        let factor = match prior.precision {
            Precision::Scaled(lambda) => DMatrix::identity(n, n) * f64::from(lambda).sqrt(),
            Precision::Factor(r) => DMatrix::from_fn(n, n, |k, i| if i < k { 0.0 } else { f64::from(r[k * n + i]) }),
        };
        let place = |i: usize, o: usize| if i + 1 < n { o * (n - 1) + i } else { outputs * (n - 1) + o };
        let weight = DMatrix::from_fn(n, outputs, |i, o| f64::from(prior.weight[place(i, o)]));
        let (samples, right) = (DMatrix::zeros(n, n), DMatrix::zeros(n, outputs));
        let gamma = f64::from(gamma);
        Self { gamma, unknowns: n, samples, right, counts: std::vec![1.0; n], factor, weight, taken: 0 }
    }

    fn update(&mut self, phi: &[f32], y: &[f32]) {
        let one = core::iter::once(1.0);
        let x = DVector::from_iterator(self.unknowns, phi.iter().map(|x| f64::from(*x)).chain(one));
        let y = DVector::from_iterator(y.len(), y.iter().map(|y| f64::from(*y)));
        let error = y - self.weight.transpose() * &x;
        self.samples *= self.gamma;
        self.right *= self.gamma;
        self.samples.ger(1.0, &x, &x, 1.0);
        self.right.ger(1.0, &x, &error, 1.0);
        self.counts.iter_mut().for_each(|count| *count *= self.gamma);
        let turn = self.taken % self.unknowns;
        let age = self.unknowns.min(self.taken + 1);
        self.counts[turn] += 1.0 - self.gamma.powi(age as i32);
        self.taken += 1;
    }

    fn precision(&self) -> DMatrix<f64> {
        let counts = DMatrix::from_diagonal(&DVector::from_column_slice(&self.counts));
        self.factor.transpose() * counts * &self.factor + &self.samples
    }

    /// The weights in PyTorch's order.
    fn weights(&self) -> Vec<f64> {
        let w = &self.weight + self.precision().cholesky().unwrap().solve(&self.right);
        let (n, outputs) = w.shape();
        let inner = (0..outputs).flat_map(|o| (0..n - 1).map(move |i| (i, o)));
        inner.chain((0..outputs).map(|o| (n - 1, o))).map(|place| w[place]).collect()
    }

    fn variance_factor(&self, phi: &[f32]) -> f64 {
        let one = core::iter::once(1.0);
        let x = DVector::from_iterator(self.unknowns, phi.iter().map(|x| f64::from(*x)).chain(one));
        x.dot(&self.precision().cholesky().unwrap().solve(&x))
    }
}

struct Rig<'a> {
    prior: Prior<'a>,
    filter: Recursive,
    state: Vec<f32>,
    scratch: Vec<f32>,
    weight: Vec<f32>,
    batch: Batch,
}

impl<'a> Rig<'a> {
    fn new(path: Path, features: usize, outputs: usize, gamma: f32, prior: Prior<'a>) -> Self {
        let mut state = std::vec![f32::NAN; Recursive::state_len(path, features, outputs)];
        let scratch = std::vec![f32::NAN; Recursive::scratch_len(path, features, outputs)];
        let filter = Recursive::new(path, features, outputs, gamma, &prior, &mut state).unwrap();
        let weight = std::vec![f32::NAN; prior.weight.len()];
        Self { prior, filter, state, scratch, weight, batch: Batch::new(gamma, outputs, &prior) }
    }

    fn update(&mut self, phi: &[f32], y: &[f32]) {
        assert!(self.filter.update(&self.prior, phi, y, &mut self.state, &mut self.scratch));
        self.batch.update(phi, y);
    }

    /// The largest error of a weight, and the largest relative error of the variance factors of some features.
    fn errors(&mut self, probes: &[Vec<f32>]) -> (f64, f64) {
        assert!(self.filter.weights(&self.prior, &self.state, &mut self.weight, &mut self.scratch));
        let want = self.batch.weights();
        let weight = self.weight.iter().zip(want).fold(0.0, |worst: f64, (got, want)| {
            let error = (f64::from(*got) - want).abs();
            if error <= worst { worst } else { error }
        });
        let mut variance = 0.0;
        for phi in probes {
            let got = self.filter.variance_factor(&self.state, phi, &mut self.scratch).unwrap();
            assert!(got > 0.0);
            let error = (f64::from(got) / self.batch.variance_factor(phi) - 1.0).abs();
            variance = if error <= variance { variance } else { error };
        }
        (weight, variance)
    }
}

fn triangle(n: usize, seed: u64) -> Vec<f32> {
    // What stands below the diagonal is not to be read.
    let mut factor = std::vec![f32::NAN; n * n];
    let from = many(n * n, seed);
    for k in 0..n {
        (k..n).for_each(|i| factor[k * n + i] = from[k * n + i]);
        factor[k * n + k] = 1.0 + from[k * n + k].abs();
    }
    factor
}

#[test]
fn sample_by_sample_is_the_batch_solution_on_every_path() {
    for path in Path::available() {
        for (features, outputs) in [(1, 1), (3, 2), (15, 1), (16, 4), (40, 4), (20, 19)] {
            let n = features + 1;
            let (weight, factor) = (many(n * outputs, 3), triangle(n, 5));
            for precision in [Precision::Scaled(0.5), Precision::Factor(&factor)] {
                for gamma in [1.0, 0.9] {
                    let prior = Prior { weight: &weight, precision };
                    let mut rig = Rig::new(path, features, outputs, gamma, prior);
                    let probes = [many(features, 21), many(features, 22)];
                    for i in 0..3 * n {
                        let (weight, variance) = rig.errors(&probes);
                        let at = std::format!("{} {features} {outputs} {gamma} {i}", path.name());
                        assert!(weight <= 2e-4 && variance <= 1e-4, "{at}: {weight} {variance}");
                        rig.update(&many(features, 100 + i as u64), &many(outputs, 900 + i as u64));
                    }
                }
            }
        }
    }
}

/// A million samples. One feature is never excited, one only once in 5,000 samples, two are nearly the same, and their sizes
/// differ a hundredfold.
#[test]
fn a_million_updates_leave_it_sound() {
    const FEATURES: usize = 8;
    const OUTPUTS: usize = 2;
    let weight = many((FEATURES + 1) * OUTPUTS, 3);
    let factor = triangle(FEATURES + 1, 5);
    for path in Path::available() {
        for (gamma, precision) in [(1.0, Precision::Scaled(1.0)), (0.99, Precision::Factor(&factor))] {
            let prior = Prior { weight: &weight, precision };
            let mut rig = Rig::new(path, FEATURES, OUTPUTS, gamma, prior);
            let mut seed = 77;
            let probes = [many(FEATURES, 21), many(FEATURES, 22)];
            let (mut worst_weight, mut worst_variance) = (0.0_f64, 0.0_f64);
            for i in 0..1_000_000_u32 {
                let mut phi = [0.0; FEATURES];
                phi.iter_mut().for_each(|phi| *phi = random(&mut seed));
                phi[0] = 0.0;
                phi[1] = if i % 5000 == 4999 { phi[1] } else { 0.0 };
                phi[3] = phi[2] + 1e-3 * phi[3];
                phi[4] *= 10.0;
                phi[5] *= 0.1;
                let noise = 0.1 * random(&mut seed);
                let y = [phi[2] - phi[4] + 0.5 + noise, 3.0 * phi[5] + phi[6] * phi[7] - noise];
                rig.update(&phi, &y);
                if i % 50_000 == 49_999 || i % 100_000 == 1_234 {
                    let (weight, variance) = rig.errors(&probes);
                    let worst = |so_far: f64, now: f64| if now <= so_far { so_far } else { now };
                    (worst_weight, worst_variance) = (worst(worst_weight, weight), worst(worst_variance, variance));
                    let stride = rig.filter.system().stride(path);
                    assert!((0..=FEATURES).all(|k| rig.state[k * stride + k] > 0.0));
                }
            }
            let (weight, variance) = if gamma < 1.0 { (1e-4, 1e-4) } else { (0.01, 0.03) };
            assert!(worst_weight <= weight, "{} {gamma}: {worst_weight}", path.name());
            assert!(worst_variance <= variance, "{} {gamma}: {worst_variance}", path.name());
        }
    }
}

#[test]
fn directions_without_samples_keep_their_prior() {
    let weight = [0.25, -0.5, 0.75, 1.0];
    for path in Path::available() {
        let prior = Prior { weight: &weight, precision: Precision::Scaled(4.0) };
        let mut rig = Rig::new(path, 3, 1, 0.9, prior);
        for i in 0..10_000 {
            let x = many(1, 50 + i)[0];
            rig.update(&[x, 0.0, 0.0], &[x]);
        }
        let (error, _) = rig.errors(&[]);
        assert!(error <= 1e-4);
        assert_eq!(rig.weight[1..3], weight[1..3], "{}", path.name());
        // 1/λ, up to what has been forgotten since the prior's last turn.
        let alone = rig.filter.variance_factor(&rig.state, &[0.0, 1.0, 0.0], &mut rig.scratch).unwrap();
        let bias = rig.filter.variance_factor(&rig.state, &[0.0; 3], &mut rig.scratch).unwrap();
        let own = alone - bias;
        assert!((0.25 * 0.99..=0.25 * 1.01 / 0.9_f32.powi(4)).contains(&own), "{}: {own}", path.name());
    }
}

#[test]
fn faults_change_nothing() {
    let weight = many(8, 3);
    for path in Path::available() {
        let prior = Prior { weight: &weight, precision: Precision::Scaled(1.0) };
        let mut rig = Rig::new(path, 3, 2, 0.99, prior);
        rig.update(&[0.1, 0.2, 0.3], &[1.0, 2.0]);
        let (filter, state) = (rig.filter, rig.state.clone());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e13] {
            for (phi, y) in [([0.0, bad, 0.0], [0.0; 2]), ([0.0; 3], [0.0, bad])] {
                assert!(!rig.filter.update(&prior, &phi, &y, &mut rig.state, &mut rig.scratch), "{bad}");
            }
        }
        assert!(!rig.filter.update(&prior, &[0.0; 2], &[0.0; 2], &mut rig.state, &mut rig.scratch));
        assert!(!rig.filter.update(&prior, &[0.0; 3], &[0.0; 2], &mut rig.state, &mut []));
        assert!(rig.filter == filter && rig.state == state);

        let mut new = |gamma: f32, precision: Precision<'_>| {
            Recursive::new(path, 3, 2, gamma, &Prior { weight: &weight, precision }, &mut rig.state).is_some()
        };
        assert!(new(0.5, Precision::Scaled(1.0)));
        for gamma in [0.0, -1.0, 1.1, f32::NAN, 1e-9] {
            assert!(!new(gamma, Precision::Scaled(1.0)), "{gamma}");
        }
        for lambda in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-30] {
            assert!(!new(1.0, Precision::Scaled(lambda)), "{lambda}");
        }
        let mut factor = triangle(4, 5);
        assert!(new(1.0, Precision::Factor(&factor)) && !new(1.0, Precision::Factor(&factor[1..])));
        for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            factor[10] = bad;
            assert!(!new(1.0, Precision::Factor(&factor)), "{bad}");
        }
    }
}
