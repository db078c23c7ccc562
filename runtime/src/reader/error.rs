//! Why a bundle was refused.

use core::fmt;

use sinew_models::bundle::{ABOUT_KEY, FORMAT, MAX_METADATA, METADATA_KEY};
use sinew_models::layout::{Part, Place};
use sinew_models::rule::RuleError;
use sinew_models::spec::SpecError;

/// A tensor that a bundle must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorId {
    /// One of the names in [`sinew_models::bundle`].
    Named(&'static str),
    /// A weight or a bias of the network.
    Slot {
        /// Backbone, or the head with this index.
        place: Place,
        /// Which layer there.
        index: usize,
        /// Weight or bias.
        part: Part,
    },
}

/// The shape of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How many lengths it has.
    pub rank: usize,
    /// The first four of them, at most `u32::MAX`; 0 where there are fewer.
    pub lengths: [u32; 4],
}

impl Shape {
    /// A shape of up to four lengths.
    // One copy for all callers, to save flash.
    #[inline(never)]
    pub(super) fn of(shape: &[usize]) -> Self {
        let mut lengths = [0; 4];
        lengths.iter_mut().zip(shape).for_each(|(to, length)| *to = u32::try_from(*length).unwrap_or(u32::MAX));
        Shape { rank: shape.len(), lengths }
    }

    /// Values in all.
    pub(super) fn len(&self) -> usize {
        self.lengths.iter().take(self.rank).fold(1, |product: usize, length| product.saturating_mul(*length as usize))
    }
}

/// Why bytes are no bundle that this version can run. Places are bytes from the file's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleError {
    /// The file is shorter than the header that it announces, or than the 8 bytes that announce one.
    Header {
        /// Bytes that the header should have; 0 if even their number is missing.
        expected: u64,
        /// Bytes of the file after the first 8.
        got: usize,
    },
    /// The header is not UTF-8 from this place on.
    Utf8(usize),
    /// The header is not the JSON of a `.safetensors` file from this place on, or is nested too deep.
    Json(usize),
    /// The entry of a tensor, which ends at this place, lacks `dtype`, `shape` or two `data_offsets`.
    Entry(usize),
    /// A tensor, whose entry ends at this place, does not lie within the data.
    Bounds {
        /// Where the entry ends.
        at: usize,
        /// Where the tensor should begin in the data.
        begin: usize,
        /// Where it should end.
        end: usize,
        /// Bytes of data.
        data: usize,
    },
    /// The header has no `__metadata__` with `sinew` in it: this is no bundle.
    NoMetadata,
    /// `__metadata__`, or `sinew` in it, is there twice.
    MetadataTwice,
    /// The JSON under `sinew` is larger than [`MAX_METADATA`].
    MetadataTooLong,
    /// The text under `sinew` is not JSON, or has no `format`.
    MetadataJson,
    /// The bundle has this version of the format; [`FORMAT`] is expected. The largest `usize` stands for all that are larger.
    Format(usize),
    /// The network or the rule is not one that this version knows, has too many parts or misses a field, at this byte of
    /// the (unescaped) JSON under `sinew`.
    Unknown(usize),
    /// The network cannot be.
    Network(SpecError),
    /// The rule does not fit the network.
    Rule(RuleError),
    /// A tensor is missing.
    Missing(TensorId),
    /// A tensor is there twice.
    Twice(TensorId),
    /// A tensor has other values than F32, F16 or BF16.
    Dtype {
        /// The tensor.
        tensor: TensorId,
        /// What it has, padded with zeros.
        got: [u8; 8],
    },
    /// A tensor has another shape than the network and the rule ask for.
    Shape {
        /// The tensor.
        tensor: TensorId,
        /// What it should have.
        expected: Shape,
        /// What it has.
        got: Shape,
    },
    /// A tensor has another number of bytes than its shape and type make.
    Size {
        /// The tensor.
        tensor: TensorId,
        /// Bytes that it should have.
        expected: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// A value is infinite or no number, or a scale is not above 0.
    Value {
        /// The tensor.
        tensor: TensorId,
        /// Which value.
        index: usize,
    },
}

impl fmt::Display for TensorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &TensorId::Slot { place, index, part } = self else {
            let TensorId::Named(name) = self else { return Ok(()) };
            return write!(f, "tensor {name}");
        };
        let part = match part {
            Part::Weight => "weight",
            Part::Bias => "bias",
            Part::Context => "context",
        };
        match place {
            Place::Backbone => write!(f, "tensor backbone.{index}.{part}"),
            Place::Head(head) => write!(f, "tensor {index}.{part} of head {head}"),
        }
    }
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            BundleError::Header { expected: 0, .. } => {
                f.write_str("expected 8 bytes and a header, the file is shorter")
            }
            BundleError::Header { expected, got } => {
                write!(f, "expected a header of {expected} bytes, got {got} bytes after the first 8")
            }
            BundleError::Utf8(at) => write!(f, "byte {at}: the header is not UTF-8"),
            BundleError::Json(at) => write!(f, "byte {at}: the header is not the JSON of a .safetensors file"),
            BundleError::Entry(at) => {
                write!(f, "byte {at}: expected dtype, shape and two data_offsets in the entry that ends here")
            }
            BundleError::Bounds { at, begin, end, data } => {
                write!(f, "byte {at}: a tensor from {begin} to {end} does not lie within {data} bytes of data")
            }
            BundleError::NoMetadata => {
                write!(f, "no {METADATA_KEY} in the file's __metadata__: this is not a sinew bundle")
            }
            BundleError::MetadataTwice => write!(f, "expected one {METADATA_KEY} in one __metadata__, got two"),
            BundleError::MetadataTooLong => write!(
                f,
                "expected at most {MAX_METADATA} bytes under {METADATA_KEY}, got more; what people read goes to {ABOUT_KEY}"
            ),
            BundleError::MetadataJson => {
                write!(f, "expected a JSON object with a format number under {METADATA_KEY}, got something else")
            }
            BundleError::Format(got) => {
                write!(f, "expected format {FORMAT}, got {got}: export the bundle again, or update the runtime")
            }
            BundleError::Unknown(at) => write!(
                f,
                "byte {at} under {METADATA_KEY}: a part of a network or rule that this version does not know, or too many, or too few"
            ),
            BundleError::Network(error) => write!(f, "the network: {error}"),
            BundleError::Rule(error) => write!(f, "the rule: {error}"),
            BundleError::Missing(tensor) => write!(f, "{tensor} is missing"),
            BundleError::Twice(tensor) => write!(f, "{tensor} is there twice"),
            BundleError::Dtype { tensor, got } => {
                let got = core::str::from_utf8(&got).unwrap_or("?").trim_end_matches('\0');
                write!(f, "{tensor}: expected F32, F16 or BF16, got {got}")
            }
            BundleError::Shape { tensor, expected, got } => {
                write!(f, "{tensor}: expected shape {expected}, got {got}")
            }
            BundleError::Size { tensor, expected, got } => {
                write!(f, "{tensor}: expected {expected} bytes for its shape, got {got}")
            }
            BundleError::Value { tensor, index } => {
                write!(
                    f,
                    "{tensor}: value {index} is not finite, or outside of what it can be: scales and variances are above 0"
                )
            }
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (place, length) in self.lengths.iter().take(self.rank).enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{length}")?;
        }
        if self.rank > self.lengths.len() { write!(f, ", ..] of rank {}", self.rank) } else { f.write_str("]") }
    }
}

impl core::error::Error for BundleError {}

/// A slice has another length than what is to be written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthError {
    /// Values that it should have.
    pub expected: usize,
    /// Values that it has.
    pub got: usize,
}

impl LengthError {
    /// Compares the two.
    pub(crate) fn check(expected: usize, got: usize) -> Result<(), Self> {
        if expected == got { Ok(()) } else { Err(Self { expected, got }) }
    }
}

impl fmt::Display for LengthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a slice of {} values, got {}", self.expected, self.got)
    }
}

impl core::error::Error for LengthError {}
