//! The prediction half of an adapter, alone: predicts from a snapshot, wherever that was made.

use sinew_models::spec::InputForm;

use super::memory::{carve, total};
use super::plan::Plan;
#[cfg(feature = "rules")]
use super::predict::Knowledge;
use super::predict::{Fitted, Pass};
use super::scales::Scales;
use super::snapshot::Layout;
use super::{Adapter, SetupError, VarianceError};
use crate::network::Network;
use crate::reader::LengthError;
#[cfg(feature = "rules")]
use crate::rule::recursive::Recursive;

/// Parts of the memory.
const PARTS: usize = 10;

/// Predicts from snapshots of an adapter, in memory of its own: the same bits as that adapter when it made the snapshot.
///
/// ```
/// # use sinew_runtime::{Adapter, Bundle, Predictor};
/// # fn run(bytes: &[u8], x: &[f32], y: &[f32]) -> Result<(), Box<dyn std::error::Error>> {
/// let bundle = Bundle::parse(bytes)?;
/// let mut memory = vec![0.0; Adapter::memory_len(&bundle, 16)?];
/// let mut adapter = Adapter::new(&bundle, 16, &mut memory)?;
/// let mut memory = vec![0.0; Predictor::memory_len(&adapter)];
/// let mut predictor = Predictor::new(&adapter, &mut memory)?;
/// let mut snapshot = vec![0.0; adapter.snapshot_len()];
/// adapter.snapshot(&mut snapshot)?;
/// // From here on the two know nothing of each other.
/// let mut answer = [0.0; 4];
/// predictor.predict(&snapshot, x, &mut answer)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Predictor<'m> {
    plan: Plan,
    form: InputForm,
    layout: Layout,
    /// The shape of the posterior, whose numbers are in the snapshot; `None` where the rule knows no variance.
    #[cfg(feature = "rules")]
    filter: Option<Recursive>,
    #[cfg(feature = "rules")]
    compares: bool,
    scales: Scales<'m>,
    noise: &'m mut [f32],
    presented: &'m mut [f32],
    forward: &'m mut [f32],
    panel: &'m mut [f32],
    scratch: &'m mut [f32],
}

impl<'m> Predictor<'m> {
    /// Values of memory that a predictor beside `adapter` needs: with N presented inputs and U rows of one unit of work
    /// ([`Budget`](super::Budget)), U N, the forward trace of U rows, the panel, 3 values of each input and of each output, and the scratch
    /// of one prediction with the rule. A fast path rounds each part up to 16 values and adds 15, to align them.
    pub fn memory_len(adapter: &Adapter<'_>) -> usize {
        // All of it is in the adapter's memory too, so the sum is far from overflowing.
        total(adapter.plan.network.path(), Self::parts(adapter)).unwrap_or(usize::MAX)
    }

    fn parts(adapter: &Adapter<'_>) -> [usize; PARTS] {
        let (network, unit) = (&adapter.plan.network, adapter.plan.unit_rows);
        let (input, output) = (adapter.input_len(), adapter.output_len());
        [
            input,
            input,
            input,
            output,
            output,
            output,
            network.input_len() * unit,
            network.forward_len(unit),
            network.panel_len(),
            #[cfg(feature = "rules")]
            adapter.memory.rule.scratch.len(),
            #[cfg(not(feature = "rules"))]
            0,
        ]
    }

    /// A predictor for what `adapter` learns, which from here on need not be near.
    ///
    /// # Errors
    /// If `memory` is shorter than [`Predictor::memory_len`].
    // Inlined, it would leave large parts on the stack of the control loop.
    #[inline(never)]
    pub fn new(adapter: &Adapter<'_>, memory: &'m mut [f32]) -> Result<Self, SetupError> {
        let (expected, got) = (Self::memory_len(adapter), memory.len());
        let parts = carve(adapter.plan.network.path(), Self::parts(adapter), memory);
        let [
            input_mean,
            input_factor,
            relative_factor,
            output_mean,
            output_scale,
            noise,
            presented,
            forward,
            panel,
            scratch,
        ] = parts.ok_or(SetupError::Memory { expected, got })?;
        let from = &adapter.memory.scales;
        for (to, from) in [
            (&mut *input_mean, &*from.input_mean),
            (&mut *input_factor, &*from.input_factor),
            (&mut *relative_factor, &*from.relative_factor),
            (&mut *output_mean, &*from.output_mean),
            (&mut *output_scale, &*from.output_scale),
            #[cfg(feature = "rules")]
            (&mut *noise, adapter.learner.noise(adapter.memory.numbers)),
        ] {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
        Ok(Self {
            plan: adapter.plan.clone(),
            form: adapter.form,
            layout: adapter.layout,
            #[cfg(feature = "rules")]
            filter: adapter.learner.posterior(),
            #[cfg(feature = "rules")]
            compares: adapter.learner.compares(),
            scales: Scales { input_mean, input_factor, relative_factor, output_mean, output_scale },
            noise,
            presented,
            forward,
            panel,
            scratch,
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.plan.network
    }

    /// Values in one input row, as the caller gives it.
    pub fn input_len(&self) -> usize {
        self.scales.input_mean.len()
    }

    /// Values in one output row.
    pub fn output_len(&self) -> usize {
        self.scales.output_mean.len()
    }

    /// Values of a snapshot: [`Adapter::snapshot_len`].
    pub fn snapshot_len(&self) -> usize {
        self.layout.len()
    }

    /// As [`Adapter::predict`], from what the adapter knew when it made `snapshot`.
    ///
    /// # Errors
    /// As [`Adapter::predict`], or if the snapshot is not of [`Predictor::snapshot_len`] values. What is in it is not looked at: one of
    /// another bundle gives wrong numbers.
    pub fn predict(&mut self, snapshot: &[f32], x: &[f32], y: &mut [f32]) -> Result<(), LengthError> {
        self.predict_rows(snapshot, x, y, None)
    }

    /// As [`Adapter::predict_with_variance`], from what the adapter knew when it made `snapshot`.
    ///
    /// # Errors
    /// As [`Predictor::predict`], or if the rule knows no variance.
    pub fn predict_with_variance(
        &mut self,
        snapshot: &[f32],
        x: &[f32],
        y: &mut [f32],
        variance: &mut [f32],
    ) -> Result<(), VarianceError> {
        #[cfg(feature = "rules")]
        if self.filter.is_some() {
            LengthError::check(y.len(), variance.len())?;
            return Ok(self.predict_rows(snapshot, x, y, Some(variance))?);
        }
        let _ = (snapshot, x, y, variance);
        Err(VarianceError::NoVariance)
    }

    fn predict_rows(
        &mut self,
        snapshot: &[f32],
        x: &[f32],
        y: &mut [f32],
        variance: Option<&mut [f32]>,
    ) -> Result<(), LengthError> {
        let (fitted, state, features) = self.layout.read(snapshot)?;
        #[cfg(feature = "rules")]
        let knowledge = match self.filter {
            Some(filter) => Knowledge::Posterior { filter, state, noise: self.noise },
            None if self.compares => Knowledge::Rows { features, classes: state },
            None => Knowledge::Parameters,
        };
        #[cfg(not(feature = "rules"))]
        let _ = (state, features, &self.noise, &self.scratch);
        let fitted = Fitted {
            #[cfg(feature = "rules")]
            knowledge,
            ..fitted
        };
        let pass = Pass {
            plan: &self.plan,
            form: self.form,
            scales: &self.scales,
            presented: self.presented,
            forward: self.forward,
            panel: self.panel,
            #[cfg(feature = "rules")]
            scratch: self.scratch,
        };
        pass.predict(&fitted, x, y, variance)
    }
}
