//! What the firmware does. A test on the host does the same, so that both are held to the same bits.

use core::fmt;

use sinew_runtime::{AdaptError, Adapter, Bundle, BundleError, LengthError, ObserveError, Path, SetupError};

/// Support samples.
pub const SHOTS: usize = 8;
/// Values of memory that the scenarios need at most.
pub const MEMORY: usize = 2312;

/// A network of 8-32-1 units, for a robot's arm.
pub const ARM: &[u8] = include_bytes!("../bundles/arm.safetensors");
/// A small network with every activation and every loss.
pub const ALL_KINDS: &[u8] = include_bytes!("../bundles/all_kinds.safetensors");

/// What came of it, to the bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// Support loss before and after.
    pub losses: [u32; 2],
    /// The first adapted parameters.
    pub parameters: [u32; 4],
    /// A checksum of all of them (FNV-1a over their bits, Fowler, Noll and Vo).
    pub checksum: u32,
    /// Outputs for one new input, the first head's first.
    pub prediction: [u32; 2],
    /// The same after a reset.
    pub start: [u32; 2],
}

/// Why there are no bits.
#[derive(Clone, Copy, Debug)]
pub enum Failure {
    /// The bundle.
    Bundle(BundleError),
    /// The set-up.
    Setup(SetupError),
    /// A sample.
    Observe(ObserveError),
    /// The adaptation.
    Adapt(AdaptError),
    /// A prediction.
    Length(LengthError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Bundle(error) => error.fmt(f),
            Failure::Setup(error) => error.fmt(f),
            Failure::Observe(error) => error.fmt(f),
            Failure::Adapt(error) => error.fmt(f),
            Failure::Length(error) => error.fmt(f),
        }
    }
}

/// Loads a bundle, observes, adapts, predicts and resets, on the path whose bits are the same everywhere.
///
/// `after` is told the name of every part when it is done.
pub fn play(bytes: &[u8], memory: &mut [f32], mut after: impl FnMut(&'static str)) -> Result<Bits, Failure> {
    let bundle = Bundle::parse(bytes).map_err(Failure::Bundle)?;
    after("parse");
    let mut adapter = Adapter::new_on(Path::SCALAR, &bundle, SHOTS, memory).map_err(Failure::Setup)?;
    after("set up");
    let (mut x, mut y) = ([0.0; 8], [0.0; 8]);
    let x = &mut x[..adapter.input_len()];
    let y = &mut y[..adapter.output_len()];
    for shot in 0..SHOTS {
        sample(&adapter, shot, x, y);
        after("");
        adapter.observe(x, y).map_err(Failure::Observe)?;
        after("observe");
    }
    let report = adapter.adapt(|| false).map_err(Failure::Adapt)?;
    after("adapt");
    sample(&adapter, SHOTS, x, y);
    after("");
    adapter.predict(x, y).map_err(Failure::Length)?;
    after("predict");
    let prediction = first(y);
    let (parameters, checksum) = (first(adapter.parameters()), checksum(adapter.parameters()));
    after("");
    adapter.reset();
    after("reset");
    adapter.predict(x, y).map_err(Failure::Length)?;
    Ok(Bits {
        losses: [report.loss_before.to_bits(), report.loss_after.to_bits()],
        parameters,
        checksum,
        prediction,
        start: first(y),
    })
}

/// An input, and a target that follows from it; of classes, one in three in turn.
fn sample(adapter: &Adapter<'_>, shot: usize, x: &mut [f32], y: &mut [f32]) {
    for (column, x) in x.iter_mut().enumerate() {
        // Whole numbers and a power of two: exact on every target.
        *x = ((shot * 37 + column * 53 + 11) % 64) as f32 * 0.03125 - 1.0;
    }
    for (column, y) in y.iter_mut().enumerate() {
        *y = if adapter.network().is_classification(column) {
            if shot % 3 == column % 3 { 1.0 } else { 0.0 }
        } else {
            x[0] * x[1] - x[2]
        };
    }
}

fn first<const N: usize>(values: &[f32]) -> [u32; N] {
    core::array::from_fn(|index| values.get(index).map_or(0, |value| value.to_bits()))
}

fn checksum(values: &[f32]) -> u32 {
    values
        .iter()
        .flat_map(|value| value.to_bits().to_le_bytes())
        .fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
