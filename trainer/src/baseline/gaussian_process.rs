//! Exact Gaussian process regression, in f64 (Rasmussen and Williams 2006, *Gaussian Processes for Machine Learning*): the kernel, the
//! posterior mean and variance of equations 2.25 and 2.26, and the marginal likelihood of equation 2.30 with its gradient,
//! equation 5.9.
//!
//! Outputs are independent of each other and share one kernel. A support set of some hundred rows is as much as this is made for.

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

/// Rows that are predicted at once.
const ROWS: usize = 256;

/// k(x, x') = amplitude² exp(−½ Σᵢ (xᵢ − x'ᵢ)² / lengthᵢ²) + Σᵢ linearᵢ² xᵢ x'ᵢ + constant², and noise² between a row and itself.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// How far the smooth part goes.
    pub amplitude: f64,
    /// How far a constant (a random intercept) goes.
    pub constant: f64,
    /// The standard deviation of the noise.
    pub noise: f64,
    /// How far the smooth part reaches, in the units of presented inputs: `[input]`.
    pub lengths: Vec<f64>,
    /// How far the slope of each input goes: `[input]`.
    pub linear: Vec<f64>,
}

/// What a process knows after its support rows.
#[derive(Clone, Debug)]
pub struct Posterior<'a> {
    kernel: &'a Kernel,
    x: DMatrix<f64>,
    /// K + noise² I.
    factored: Cholesky<f64, Dyn>,
    /// (K + noise² I)⁻¹ y: `[row, output]`.
    weights: DMatrix<f64>,
}

/// The negative log marginal likelihood of some rows, and what it is built of.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The negative log marginal likelihood, summed over outputs.
    pub negative_log: f64,
    /// (K + noise² I)⁻¹ y: `[row, output]`; also the derivative at the targets.
    pub weights: DMatrix<f64>,
    /// The derivative by the logarithm of each number of the kernel.
    pub slopes: KernelSlopes,
}

/// Derivatives by the logarithms of a kernel's numbers.
#[derive(Clone, Debug)]
pub struct KernelSlopes {
    /// By ln amplitude, ln constant and ln noise.
    pub scalars: [f64; 3],
    /// By ln lengths: `[input]`.
    pub lengths: DVector<f64>,
    /// By ln linear: `[input]`.
    pub linear: DVector<f64>,
}

fn scaled(x: &DMatrix<f64>, factor: impl Fn(usize) -> f64) -> DMatrix<f64> {
    let mut scaled = x.clone();
    for (column, mut values) in scaled.column_iter_mut().enumerate() {
        values *= factor(column);
    }
    scaled
}

impl Kernel {
    /// The smooth part alone, as far in every direction.
    pub fn isotropic(inputs: usize, length: f64, amplitude: f64, noise: f64) -> Self {
        Self { amplitude, constant: 0.0, noise, lengths: vec![length; inputs], linear: vec![0.0; inputs] }
    }

    /// The smooth part between rows `a` and rows `b`: `[a, b]`.
    fn smooth(&self, a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<f64> {
        let (a, b) = (scaled(a, |i| 1.0 / self.lengths[i]), scaled(b, |i| 1.0 / self.lengths[i]));
        let squares = |x: &DMatrix<f64>| -> Vec<f64> { x.row_iter().map(|row| row.norm_squared()).collect() };
        let (of_a, of_b) = (squares(&a), squares(&b));
        let mut between = &a * b.transpose();
        for (column, mut values) in between.column_iter_mut().enumerate() {
            for (value, of_a) in values.iter_mut().zip(&of_a) {
                // Rounding can make the distance of equal rows negative.
                let distance = (of_a + of_b[column] - 2.0 * *value).max(0.0);
                *value = self.amplitude * self.amplitude * (-0.5 * distance).exp();
            }
        }
        between
    }

    /// All of it but the noise: `[a, b]`.
    fn between(&self, a: &DMatrix<f64>, b: &DMatrix<f64>) -> DMatrix<f64> {
        let mut between = self.smooth(a, b);
        self.add_rest(&mut between, a, b);
        between
    }

    fn add_rest(&self, smooth: &mut DMatrix<f64>, a: &DMatrix<f64>, b: &DMatrix<f64>) {
        if self.linear.iter().any(|linear| *linear != 0.0) {
            smooth.gemm(1.0, &scaled(a, |i| self.linear[i].powi(2)), &b.transpose(), 1.0);
        }
        smooth.add_scalar_mut(self.constant * self.constant);
    }

    /// K + noise² I, factored; `None` where numbers run out.
    fn factored(&self, mut between: DMatrix<f64>) -> Option<Cholesky<f64, Dyn>> {
        for row in 0..between.nrows() {
            between[(row, row)] += self.noise * self.noise;
        }
        Cholesky::new(between)
    }

    /// The posterior after rows `x [row, input]` with values `y [row, output]`. `None` where the kernel's matrix is not positive definite
    /// in f64, for example because a value is not finite.
    pub fn posterior(&self, x: DMatrix<f64>, y: &DMatrix<f64>) -> Option<Posterior<'_>> {
        let factored = self.factored(self.between(&x, &x))?;
        let weights = factored.solve(y);
        Some(Posterior { kernel: self, x, factored, weights })
    }

    /// The marginal likelihood of values `y [row, output]` at rows `x [row, input]`, with its gradient; `None` as for
    /// [`Kernel::posterior`].
    pub fn evidence(&self, x: &DMatrix<f64>, y: &DMatrix<f64>) -> Option<Evidence> {
        let (rows, outputs) = y.shape();
        let smooth = self.smooth(x, x);
        let mut between = smooth.clone();
        self.add_rest(&mut between, x, x);
        let factored = self.factored(between)?;
        let weights = factored.solve(y);
        let half_log_determinant: f64 = factored.l_dirty().diagonal().iter().map(|value| value.ln()).sum();
        let half_log_of_turn = 0.5 * std::f64::consts::TAU.ln();
        let negative_log =
            0.5 * weights.dot(y) + outputs as f64 * (half_log_determinant + rows as f64 * half_log_of_turn);
        // The derivative by the matrix: ½ (K⁻¹ − α αᵀ), summed over outputs.
        let by_matrix = (factored.inverse() * outputs as f64 - &weights * weights.transpose()) * 0.5;
        let by_smooth = by_matrix.component_mul(&smooth);
        let scalars = [
            2.0 * by_smooth.sum(),
            2.0 * self.constant.powi(2) * by_matrix.sum(),
            2.0 * self.noise.powi(2) * by_matrix.trace(),
        ];
        // Σ over pairs of W (xᵢ − x'ᵢ)² is 2 Σ (W 1) xᵢ² − 2 xᵢᵀ W xᵢ, for a symmetric W.
        let (sums, product) = (by_smooth.column_sum(), &by_smooth * x);
        let linear_product = &by_matrix * x;
        let inputs = x.ncols();
        let lengths = DVector::from_fn(inputs, |i, _| {
            let column = x.column(i);
            let own: f64 = column.iter().zip(sums.iter()).map(|(x, sum)| sum * x * x).sum();
            2.0 * (own - column.dot(&product.column(i))) / self.lengths[i].powi(2)
        });
        let linear =
            DVector::from_fn(inputs, |i, _| 2.0 * self.linear[i].powi(2) * x.column(i).dot(&linear_product.column(i)));
        Some(Evidence { negative_log, weights, slopes: KernelSlopes { scalars, lengths, linear } })
    }
}

impl Posterior<'_> {
    /// The posterior mean at rows `x [row, input]`: `[row, output]`.
    pub fn mean(&self, x: &DMatrix<f64>) -> DMatrix<f64> {
        let mut mean = DMatrix::zeros(x.nrows(), self.weights.ncols());
        for from in (0..x.nrows()).step_by(ROWS) {
            let rows = ROWS.min(x.nrows() - from);
            let between = self.kernel.between(&x.rows(from, rows).into_owned(), &self.x);
            mean.rows_mut(from, rows).copy_from(&(between * &self.weights));
        }
        mean
    }

    /// The predictive variance of a value at rows `x [row, input]`, noise and all: `[row]`; the same for every output.
    pub fn variance(&self, x: &DMatrix<f64>) -> Vec<f64> {
        let kernel = self.kernel;
        let mut variance = Vec::with_capacity(x.nrows());
        for from in (0..x.nrows()).step_by(ROWS) {
            let rows = x.rows(from, ROWS.min(x.nrows() - from)).into_owned();
            let mut known = kernel.between(&self.x, &rows);
            // The diagonal is above 0, so it can be solved.
            let solved = self.factored.l_dirty().solve_lower_triangular_mut(&mut known);
            debug_assert!(solved);
            for (row, known) in rows.row_iter().zip(known.column_iter()) {
                let slope: f64 = row.iter().zip(&kernel.linear).map(|(x, linear)| (linear * x).powi(2)).sum();
                let before = kernel.amplitude.powi(2) + slope + kernel.constant.powi(2);
                // Rounding can take more away than there was.
                variance.push((before - known.norm_squared()).max(0.0) + kernel.noise.powi(2));
            }
        }
        variance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> (Kernel, DMatrix<f64>, DMatrix<f64>) {
        let kernel = Kernel {
            amplitude: 0.8,
            constant: 0.4,
            noise: 0.3,
            lengths: vec![0.7, 1.9, 1.2],
            linear: vec![0.5, 0.1, 0.9],
        };
        let x = DMatrix::from_fn(9, 3, |row, column| ((row * 7 + column * 5 + row * column) % 11) as f64 / 5.0 - 1.0);
        let y = DMatrix::from_fn(9, 2, |row, column| (row as f64 * 0.9 + column as f64).sin());
        (kernel, x, y)
    }

    fn entry(kernel: &Kernel, a: usize, b: usize, x: &DMatrix<f64>) -> f64 {
        let square: f64 = (0..3).map(|i| ((x[(a, i)] - x[(b, i)]) / kernel.lengths[i]).powi(2)).sum();
        let slope: f64 = (0..3).map(|i| kernel.linear[i].powi(2) * x[(a, i)] * x[(b, i)]).sum();
        kernel.amplitude.powi(2) * (-0.5 * square).exp() + slope + kernel.constant.powi(2)
    }

    /// Against the formulas, entry by entry, with an explicit inverse.
    #[test]
    fn the_posterior_is_that_of_the_book() {
        let (kernel, x, y) = problem();
        let noise = |a, b| if a == b { kernel.noise.powi(2) } else { 0.0 };
        let seen = x.rows(0, 6).into_owned();
        let k = DMatrix::from_fn(6, 6, |a, b| entry(&kernel, a, b, &x) + noise(a, b));
        let cross = DMatrix::from_fn(9, 6, |a, b| entry(&kernel, a, b, &x));
        let inverse = k.try_inverse().unwrap();
        let want = &cross * &inverse * y.rows(0, 6);
        let posterior = kernel.posterior(seen, &y.rows(0, 6).into_owned()).unwrap();
        assert!((posterior.mean(&x) - want).amax() <= 1e-10);
        let known = &cross * inverse * cross.transpose();
        for (row, variance) in posterior.variance(&x).into_iter().enumerate() {
            let want = entry(&kernel, row, row, &x) - known[(row, row)] + kernel.noise.powi(2);
            assert!((variance - want).abs() <= 1e-10, "{variance} and {want}");
        }
        // Blocks of rows make no difference.
        let many = DMatrix::from_fn(600, 3, |row, column| x[(row % 9, column)]);
        let posterior = kernel.posterior(x.clone(), &y).unwrap();
        let (blocks, once) = (posterior.mean(&many), posterior.mean(&x));
        assert!((0..600).all(|row| (blocks.row(row) - once.row(row % 9)).amax() <= 1e-12));
        let (blocks, once) = (posterior.variance(&many), posterior.variance(&x));
        assert!(blocks.len() == 600 && (0..600).all(|row| (blocks[row] - once[row % 9]).abs() <= 1e-12));
    }

    #[test]
    fn the_evidence_is_the_density_and_its_gradient() {
        let (kernel, x, y) = problem();
        let k =
            DMatrix::from_fn(9, 9, |a, b| entry(&kernel, a, b, &x) + if a == b { kernel.noise.powi(2) } else { 0.0 });
        let inverse = k.clone().try_inverse().unwrap();
        let density: f64 = (0..2)
            .map(|output| {
                let y = y.column(output);
                0.5 * (y.dot(&(&inverse * y)) + k.determinant().ln() + 9.0 * std::f64::consts::TAU.ln())
            })
            .sum();
        let evidence = kernel.evidence(&x, &y).unwrap();
        assert!((evidence.negative_log - density).abs() <= 1e-9 * density.abs());

        let value = |kernel: &Kernel| kernel.evidence(&x, &y).unwrap().negative_log;
        let check = |slope: f64, at: &dyn Fn(&mut Kernel) -> &mut f64| {
            let moved = |by: f64| {
                let mut moved = kernel.clone();
                *at(&mut moved) *= by.exp();
                value(&moved)
            };
            let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((numeric - slope).abs() <= 1e-6 * (1.0 + slope.abs()), "{numeric} and {slope}");
        };
        let KernelSlopes { scalars, lengths, linear } = &evidence.slopes;
        check(scalars[0], &|kernel| &mut kernel.amplitude);
        check(scalars[1], &|kernel| &mut kernel.constant);
        check(scalars[2], &|kernel| &mut kernel.noise);
        for i in 0..3 {
            check(lengths[i], &|kernel| &mut kernel.lengths[i]);
            check(linear[i], &|kernel| &mut kernel.linear[i]);
        }
        for (row, output) in [(0, 0), (4, 1)] {
            let moved = |by: f64| {
                let mut y = y.clone();
                y[(row, output)] += by;
                kernel.evidence(&x, &y).unwrap().negative_log
            };
            let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((numeric - evidence.weights[(row, output)]).abs() <= 1e-6);
        }
    }

    #[test]
    fn what_is_not_finite_gives_nothing() {
        let (kernel, mut x, y) = problem();
        x[(2, 1)] = f64::NAN;
        assert!(kernel.evidence(&x, &y).is_none() && kernel.posterior(x, &y).is_none());
    }
}
