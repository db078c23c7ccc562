//! The one type that a robot meets: observe, adapt, predict.

mod memory;
mod scales;

use core::fmt;

use sinew_models::rule::{Rate, Rule};
use sinew_models::spec::{InputForm, SpecError};

use crate::guard::{Guard, Outcome};
use crate::kernel::Path;
use crate::kernel::finite::all_finite;
use crate::network::{LayerSet, Network};
use crate::reader::{Bundle, LengthError, Parameters};
use crate::rule::gradient::{Pass, Rates};
use crate::support::Support;
use memory::{Memory, Sizes};
pub use scales::Norm;

/// A network that fits itself to the task at hand, in memory of the caller.
///
/// ```
/// # use sinew_runtime::{Adapter, Bundle};
/// # fn run(bytes: &[u8], x: &[f32], y: &[f32]) -> Result<(), Box<dyn std::error::Error>> {
/// let bundle = Bundle::parse(bytes)?;
/// let mut memory = vec![0.0; Adapter::memory_len(&bundle, 16)?];
/// let mut adapter = Adapter::new(&bundle, 16, &mut memory)?;
/// adapter.observe(x, y)?;
/// let report = adapter.adapt(|| false)?;
/// let mut answer = [0.0; 4];
/// adapter.predict(x, &mut answer)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Adapter<'m> {
    /// The meta-learned start, in the bundle.
    start: Parameters<'m>,
    form: InputForm,
    network: Network,
    adapted: LayerSet,
    rate: Rate,
    steps: usize,
    guard: Guard,
    memory: Memory<'m>,
    support: Support<'m>,
}

/// What an adaptation did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// What became of it.
    pub outcome: Outcome,
    /// Inner steps that were taken.
    pub steps: usize,
    /// Support loss of the meta-learned start, Σ λ L over heads.
    pub loss_before: f32,
    /// Support loss after the last step, with [`Guard::Improve`]; before the last step otherwise.
    pub loss_after: f32,
}

impl<'m> Adapter<'m> {
    /// Values of memory that an adapter of `bundle` with room for `capacity` support rows needs, on this processor's fastest path.
    ///
    /// # Errors
    /// If `capacity` is 0, or the sum passes `usize`.
    pub fn memory_len(bundle: &Bundle<'_>, capacity: usize) -> Result<usize, SetupError> {
        Self::memory_len_on(Path::detect(), bundle, capacity)
    }

    /// As [`Adapter::memory_len`], on `path`.
    ///
    /// With P parameters, I inputs, N presented inputs, O outputs, R rates, C capacity and the network's traces F and B and panel, it
    /// is `2P + R + (P for a rate for each parameter) + 4I + 2O + C(I + O + N) + F(C) + B(C) + panel`; a fast path rounds each part up
    /// to 16 values and adds 15, to align them.
    ///
    /// # Errors
    /// As [`Adapter::memory_len`].
    pub fn memory_len_on(path: Path, bundle: &Bundle<'_>, capacity: usize) -> Result<usize, SetupError> {
        let network = Network::new(bundle.network(), path)?;
        Sizes::of(bundle, &network, capacity).and_then(|sizes| sizes.total(path)).ok_or(SetupError::Capacity(capacity))
    }

    /// Sets up an adapter with room for `capacity` support rows, on this processor's fastest path.
    ///
    /// # Errors
    /// If `memory` is shorter than [`Adapter::memory_len`].
    pub fn new(bundle: &Bundle<'m>, capacity: usize, memory: &'m mut [f32]) -> Result<Self, SetupError> {
        Self::new_on(Path::detect(), bundle, capacity, memory)
    }

    /// As [`Adapter::new`], on `path`.
    ///
    /// # Errors
    /// As [`Adapter::new`].
    // Inlined, it would leave large parts on the stack of the control loop.
    #[inline(never)]
    pub fn new_on(path: Path, bundle: &Bundle<'m>, capacity: usize, memory: &'m mut [f32]) -> Result<Self, SetupError> {
        let network = Network::new(bundle.network(), path)?;
        let sizes = Sizes::of(bundle, &network, capacity).ok_or(SetupError::Capacity(capacity))?;
        let expected = sizes.total(path).ok_or(SetupError::Capacity(capacity))?;
        let got = memory.len();
        let Rule::Gradient { steps, rate, scope } = bundle.rule();
        let (mut memory, support) = sizes.carve(path, memory).ok_or(SetupError::Memory { expected, got })?;
        bundle.load_parameters(memory.params)?;
        bundle.rate().copy_to(memory.rates)?;
        memory.scales.load(bundle)?;
        Ok(Self {
            start: bundle.parameters(),
            form: bundle.network().input.form,
            adapted: network.adapted(scope),
            rate: *rate,
            steps: *steps,
            guard: Guard::default(),
            support: Support::new(support.inputs, support.targets, support.mean, network.output_len()),
            network,
            memory,
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The support rows that it holds.
    pub fn support(&self) -> &Support<'m> {
        &self.support
    }

    /// The parameters that predict now, in the layout of [`sinew_models::layout`].
    pub fn parameters(&self) -> &[f32] {
        self.memory.params
    }

    /// Values in one input row, as the caller gives it.
    pub fn input_len(&self) -> usize {
        self.memory.scales.input_mean.len()
    }

    /// Values in one output row.
    pub fn output_len(&self) -> usize {
        self.network.output_len()
    }

    /// Inner steps that [`Adapter::adapt`] takes; from the bundle unless set.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Takes `steps` inner steps from now on. Past the number that the bundle was trained for, they need not help.
    pub fn set_steps(&mut self, steps: usize) {
        self.steps = steps;
    }

    /// Commits updates as `guard` says from now on.
    pub fn set_guard(&mut self, guard: Guard) {
        self.guard = guard;
    }

    /// Puts one labelled sample into the support ring: `x` of [`Adapter::input_len`] and `y` of [`Adapter::output_len`] values, in the
    /// units of the bundle; a class is a row of zeros with a one. The oldest sample leaves if there is no room.
    ///
    /// # Errors
    /// If a length is wrong or a value is not finite; nothing is kept of such a sample.
    pub fn observe(&mut self, x: &[f32], y: &[f32]) -> Result<(), ObserveError> {
        LengthError::check(self.input_len(), x.len())?;
        LengthError::check(self.output_len(), y.len())?;
        if !(all_finite(self.network.path(), x) && all_finite(self.network.path(), y)) {
            return Err(ObserveError::NotFinite);
        }
        self.support.push(x, self.memory.scales.scaled(y));
        Ok(())
    }

    /// Fits the network to the support rows, from the meta-learned start, and commits the result if the guard lets it.
    ///
    /// `until` is asked before each inner step, whose cost is fixed, and ends the adaptation by returning true: the steps taken so far
    /// are then judged by the guard. All or nothing: whatever happens, predictions come from whole, finite, accepted parameters.
    ///
    /// # Errors
    /// If there are no support rows.
    pub fn adapt(&mut self, mut until: impl FnMut() -> bool) -> Result<Report, AdaptError> {
        let rows = self.support.rows();
        if rows == 0 {
            return Err(AdaptError::NoSupport);
        }
        let (network, memory) = (&self.network, &mut self.memory);
        // Lengths were checked at set-up, so this cannot fail.
        let loaded = self.start.load(memory.work);
        debug_assert!(loaded.is_ok());
        let x = &mut memory.presented[..rows * network.input_len()];
        memory.scales.norm(self.support.mean()).present(self.form, self.support.inputs(), x);
        let rates = Rates { kind: self.rate, values: memory.rates, adapted: self.adapted };
        let mut pass = Pass {
            x,
            y: self.support.targets(),
            rows,
            forward: &mut memory.forward[..network.forward_len(rows)],
            backward: &mut memory.backward[..network.backward_len(rows)],
            panel: memory.panel,
        };
        let features_stay = network.only_heads(self.adapted);
        let (mut steps, mut first, mut last) = (0, f32::NAN, f32::NAN);
        while steps < self.steps && !until() {
            forward(network, memory.work, &mut pass, features_stay && steps > 0);
            last = rates.step(steps, network, memory.work, &mut pass, memory.gradient);
            if steps == 0 {
                first = last;
            }
            steps += 1;
        }
        if steps > 0 && self.guard == Guard::Improve {
            forward(network, memory.work, &mut pass, features_stay);
            last = network.loss(pass.forward, rows, pass.y);
        }
        let outcome = if steps == 0 {
            Outcome::OutOfTime
        } else if !(first.is_finite() && last.is_finite() && all_finite(network.path(), memory.work)) {
            Outcome::NotFinite
        } else if self.guard == Guard::Improve && last > first {
            Outcome::Worse
        } else {
            core::mem::swap(&mut memory.params, &mut memory.work);
            Outcome::Committed
        };
        Ok(Report { outcome, steps, loss_before: first, loss_after: last })
    }

    /// The loss of the parameters that predict now, on the support rows: Σ λ L over heads.
    ///
    /// # Errors
    /// If there are no support rows.
    pub fn support_loss(&mut self) -> Result<f32, AdaptError> {
        let rows = self.support.rows();
        if rows == 0 {
            return Err(AdaptError::NoSupport);
        }
        let (network, memory) = (&self.network, &mut self.memory);
        let x = &mut memory.presented[..rows * network.input_len()];
        memory.scales.norm(self.support.mean()).present(self.form, self.support.inputs(), x);
        let trace = &mut memory.forward[..network.forward_len(rows)];
        network.forward(memory.params, x, rows, trace, memory.panel);
        Ok(network.loss(trace, rows, self.support.targets()))
    }

    /// Predicts for one input row or several, `x [rows, input_len]`, into `y [rows, output_len]`: values in the units of the bundle, or
    /// probabilities for classes.
    ///
    /// # Errors
    /// If `x` is not a whole number of rows, or `y` has not as many.
    pub fn predict(&mut self, x: &[f32], y: &mut [f32]) -> Result<(), LengthError> {
        let (input_len, output_len) = (self.input_len(), self.output_len());
        let rows = x.len() / input_len;
        LengthError::check(rows * input_len, x.len())?;
        LengthError::check(rows * output_len, y.len())?;
        let (network, memory) = (&self.network, &mut self.memory);
        let most = self.support.capacity();
        for (x, y) in x.chunks(most * input_len).zip(y.chunks_mut(most * output_len)) {
            let rows = x.len() / input_len;
            let presented = &mut memory.presented[..rows * network.input_len()];
            memory.scales.norm(self.support.mean()).present(self.form, x, presented);
            let trace = &mut memory.forward[..network.forward_len(rows)];
            network.forward(memory.params, presented, rows, trace, memory.panel);
            network.outputs(trace, rows, y);
            for row in y.chunks_exact_mut(output_len) {
                memory.scales.unscale(row);
                network.predict(row);
            }
        }
        Ok(())
    }

    /// Back to the meta-learned start; the support rows stay.
    pub fn rollback(&mut self) {
        // Lengths were checked at set-up, so this cannot fail.
        let loaded = self.start.load(self.memory.params);
        debug_assert!(loaded.is_ok());
    }

    /// A new task: back to the meta-learned start, without support rows.
    pub fn reset(&mut self) {
        self.rollback();
        self.support.clear();
    }
}

fn forward(network: &Network, params: &[f32], pass: &mut Pass<'_>, heads_alone: bool) {
    if heads_alone {
        network.forward_heads(params, pass.x, pass.rows, pass.forward, pass.panel);
    } else {
        network.forward(params, pass.x, pass.rows, pass.forward, pass.panel);
    }
}

/// Why an adapter could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// The network of the bundle cannot be.
    Network(SpecError),
    /// Room for so many support rows cannot be made; at least 1 is expected.
    Capacity(usize),
    /// The memory is too short.
    Memory {
        /// Values that are needed.
        expected: usize,
        /// Values that came.
        got: usize,
    },
    /// A tensor of the bundle has another length than its network says.
    Length(LengthError),
}

impl From<SpecError> for SetupError {
    fn from(error: SpecError) -> Self {
        Self::Network(error)
    }
}

impl From<LengthError> for SetupError {
    fn from(error: LengthError) -> Self {
        Self::Length(error)
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(error) => write!(f, "the network: {error}"),
            Self::Capacity(got) => {
                write!(f, "expected room for at least 1 support row that fits the address space, got {got}")
            }
            Self::Memory { expected, got } => write!(f, "expected memory of {expected} values, got {got}"),
            Self::Length(error) => write!(f, "a tensor of the bundle: {error}"),
        }
    }
}

impl core::error::Error for SetupError {}

/// Why a sample was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObserveError {
    /// A row has the wrong length.
    Length(LengthError),
    /// A value is NaN or infinite.
    NotFinite,
}

impl From<LengthError> for ObserveError {
    fn from(error: LengthError) -> Self {
        Self::Length(error)
    }
}

impl fmt::Display for ObserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(error) => error.fmt(f),
            Self::NotFinite => f.write_str("expected finite values, got NaN or infinity"),
        }
    }
}

impl core::error::Error for ObserveError {}

/// Why there was nothing to adapt to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdaptError {
    /// The support ring is empty.
    NoSupport,
}

impl fmt::Display for AdaptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected at least one support row, got none: observe before adapting")
    }
}

impl core::error::Error for AdaptError {}
