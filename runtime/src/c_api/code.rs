//! What the functions return: every error of the runtime as a number, and as a text.

use core::ffi::CStr;

use sinew_models::rule::RuleError;
use sinew_models::spec::SpecError;

use crate::adapter::{AdaptError, ObserveError, SetupError};
use crate::reader::{BundleError, LengthError};

/// What became of a call: 0, or why nothing was done. A hundred numbers are kept for each kind of reason; a number never changes its
/// meaning, and later versions may return new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum SinewCode {
    /// It was done.
    Ok = 0,

    /// A pointer is NULL.
    NullPointer = 1,
    /// A pointer is no multiple of the alignment of what it should point to.
    Misaligned = 2,
    /// An array has another length than the network asks for, or one that no array can have.
    Length = 3,
    /// The block holds no adapter: sinew_adapter_init has not succeeded on it, or it was moved or overwritten since.
    NotInitialised = 4,
    /// The adapter is adapting: it was called from its own deadline callback, or from another thread.
    InUse = 5,
    /// The block is smaller than sinew_adapter_size says.
    BlockTooSmall = 6,
    /// Arrays overlap where they must not: with the block, or what is read with what is written.
    Overlap = 7,
    /// This is no value of sinew_guard.
    UnknownGuard = 8,

    /// The file is shorter than the header that it announces.
    BundleHeader = 100,
    /// The header is not UTF-8.
    BundleUtf8 = 101,
    /// The header is not the JSON of a .safetensors file.
    BundleJson = 102,
    /// The entry of a tensor lacks dtype, shape or two data_offsets.
    BundleEntry = 103,
    /// A tensor does not lie within the data.
    BundleBounds = 104,
    /// The file is no sinew bundle.
    BundleNoMetadata = 105,
    /// The metadata is there twice.
    BundleMetadataTwice = 106,
    /// The metadata is too long.
    BundleMetadataTooLong = 107,
    /// The metadata is not JSON, or has no format.
    BundleMetadataJson = 108,
    /// The bundle has a version of the format that this library cannot read.
    BundleFormat = 109,
    /// The network or the rule has a part that this library does not know.
    BundleUnknown = 110,
    /// A tensor is missing.
    BundleMissing = 111,
    /// A tensor is there twice.
    BundleTwice = 112,
    /// A tensor has other values than F32, F16 or BF16.
    BundleDtype = 113,
    /// A tensor has another shape than the network and the rule ask for.
    BundleShape = 114,
    /// A tensor has another number of bytes than its shape and type make.
    BundleSize = 115,
    /// A value of a tensor is not finite, or is a scale that is not above 0.
    BundleValue = 116,

    /// The network: an input or a layer has no values or too many.
    NetworkUnits = 200,
    /// The network: too many layers or heads.
    NetworkTooMany = 201,
    /// The network: no head.
    NetworkNoHead = 202,
    /// The network: a head has a name that cannot be.
    NetworkHeadName = 203,
    /// The network: two heads have one name.
    NetworkHeadTwice = 204,
    /// The network: a head has no layer.
    NetworkHeadWithoutLayers = 205,
    /// The network: a head with a classification loss ends in an activation.
    NetworkNotLogits = 206,
    /// The network: a Huber delta is not a positive number.
    NetworkHuberDelta = 207,
    /// The network: the weight of a head's loss is not a number from 0 up.
    NetworkHeadWeight = 208,

    /// The rule: expected 1 to 1000 inner steps.
    RuleSteps = 300,
    /// The rule: the list of layers to adapt is empty.
    RuleNothingToAdapt = 301,
    /// The rule: a layer is to be adapted that the network does not have.
    RuleNoSuchLayer = 302,

    /// Set-up: expected room for at least 1 support row, and for so few that they fit the address space.
    SetupCapacity = 400,
    /// Set-up: a tensor of the bundle has another length than its network says.
    SetupTensorLength = 401,

    /// Observing: a value is NaN or infinite.
    ObserveNotFinite = 500,

    /// Adapting: there are no support rows.
    AdaptNoSupport = 600,
}

/// All codes. A test holds it against the committed header.
const ALL: [SinewCode; 42] = [
    SinewCode::Ok,
    SinewCode::NullPointer,
    SinewCode::Misaligned,
    SinewCode::Length,
    SinewCode::NotInitialised,
    SinewCode::InUse,
    SinewCode::BlockTooSmall,
    SinewCode::Overlap,
    SinewCode::UnknownGuard,
    SinewCode::BundleHeader,
    SinewCode::BundleUtf8,
    SinewCode::BundleJson,
    SinewCode::BundleEntry,
    SinewCode::BundleBounds,
    SinewCode::BundleNoMetadata,
    SinewCode::BundleMetadataTwice,
    SinewCode::BundleMetadataTooLong,
    SinewCode::BundleMetadataJson,
    SinewCode::BundleFormat,
    SinewCode::BundleUnknown,
    SinewCode::BundleMissing,
    SinewCode::BundleTwice,
    SinewCode::BundleDtype,
    SinewCode::BundleShape,
    SinewCode::BundleSize,
    SinewCode::BundleValue,
    SinewCode::NetworkUnits,
    SinewCode::NetworkTooMany,
    SinewCode::NetworkNoHead,
    SinewCode::NetworkHeadName,
    SinewCode::NetworkHeadTwice,
    SinewCode::NetworkHeadWithoutLayers,
    SinewCode::NetworkNotLogits,
    SinewCode::NetworkHuberDelta,
    SinewCode::NetworkHeadWeight,
    SinewCode::RuleSteps,
    SinewCode::RuleNothingToAdapt,
    SinewCode::RuleNoSuchLayer,
    SinewCode::SetupCapacity,
    SinewCode::SetupTensorLength,
    SinewCode::ObserveNotFinite,
    SinewCode::AdaptNoSupport,
];

impl SinewCode {
    /// The code with this number, if there is one.
    pub fn of(number: i32) -> Option<Self> {
        ALL.into_iter().find(|code| *code as i32 == number)
    }

    /// What it says, in one line.
    pub const fn text(self) -> &'static CStr {
        match self {
            Self::Ok => c"no error",
            Self::NullPointer => c"a pointer is NULL",
            Self::Misaligned => c"a pointer is not aligned to what it points to",
            Self::Length => c"an array has another length than the network asks for",
            Self::NotInitialised => c"the block holds no adapter: not initialised, moved, or overwritten",
            Self::InUse => c"the adapter is adapting: called from its own callback, or from another thread",
            Self::BlockTooSmall => c"the block is smaller than sinew_adapter_size says",
            Self::Overlap => c"arrays overlap with the block, or what is read with what is written",
            Self::UnknownGuard => c"no such guard",
            Self::BundleHeader => c"bundle: the file is shorter than the header that it announces",
            Self::BundleUtf8 => c"bundle: the header is not UTF-8",
            Self::BundleJson => c"bundle: the header is not the JSON of a .safetensors file",
            Self::BundleEntry => c"bundle: the entry of a tensor lacks dtype, shape or two data_offsets",
            Self::BundleBounds => c"bundle: a tensor does not lie within the data",
            Self::BundleNoMetadata => c"bundle: no sinew metadata: this is not a sinew bundle",
            Self::BundleMetadataTwice => c"bundle: the metadata is there twice",
            Self::BundleMetadataTooLong => c"bundle: the metadata is too long",
            Self::BundleMetadataJson => c"bundle: the metadata is not a JSON object with a format number",
            Self::BundleFormat => c"bundle: another version of the format: export it again, or update the library",
            Self::BundleUnknown => c"bundle: a part of a network or rule that this version does not know",
            Self::BundleMissing => c"bundle: a tensor is missing",
            Self::BundleTwice => c"bundle: a tensor is there twice",
            Self::BundleDtype => c"bundle: expected a tensor of F32, F16 or BF16",
            Self::BundleShape => c"bundle: a tensor has another shape than the network and the rule ask for",
            Self::BundleSize => c"bundle: a tensor has another number of bytes than its shape and type make",
            Self::BundleValue => c"bundle: a value is not finite, or is a scale that is not above 0",
            Self::NetworkUnits => c"network: an input or a layer has no values, or too many",
            Self::NetworkTooMany => c"network: too many layers or heads",
            Self::NetworkNoHead => c"network: expected at least one head",
            Self::NetworkHeadName => c"network: a head has an empty, too long or unusual name",
            Self::NetworkHeadTwice => c"network: two heads have one name",
            Self::NetworkHeadWithoutLayers => c"network: a head has no layer",
            Self::NetworkNotLogits => {
                c"network: a cross-entropy loss takes logits, but the last layer has an activation"
            }
            Self::NetworkHuberDelta => c"network: expected a positive Huber delta",
            Self::NetworkHeadWeight => c"network: expected a finite loss weight from 0 up",
            Self::RuleSteps => c"rule: expected 1 to 1000 inner steps",
            Self::RuleNothingToAdapt => c"rule: the list of layers to adapt is empty",
            Self::RuleNoSuchLayer => c"rule: a layer is to be adapted that the network does not have",
            Self::SetupCapacity => c"set-up: expected room for at least 1 support row that fits the address space",
            Self::SetupTensorLength => c"set-up: a tensor has another length than its network says",
            Self::ObserveNotFinite => c"observe: a value is NaN or infinite",
            Self::AdaptNoSupport => c"adapt: no support rows: observe before adapting",
        }
    }
}

// No wildcard in what follows: a new error of the runtime must get its number here before the crate builds.

impl From<BundleError> for SinewCode {
    fn from(error: BundleError) -> Self {
        match error {
            BundleError::Header { .. } => Self::BundleHeader,
            BundleError::Utf8(_) => Self::BundleUtf8,
            BundleError::Json(_) => Self::BundleJson,
            BundleError::Entry(_) => Self::BundleEntry,
            BundleError::Bounds { .. } => Self::BundleBounds,
            BundleError::NoMetadata => Self::BundleNoMetadata,
            BundleError::MetadataTwice => Self::BundleMetadataTwice,
            BundleError::MetadataTooLong => Self::BundleMetadataTooLong,
            BundleError::MetadataJson => Self::BundleMetadataJson,
            BundleError::Format(_) => Self::BundleFormat,
            BundleError::Unknown(_) => Self::BundleUnknown,
            BundleError::Network(error) => error.into(),
            BundleError::Rule(error) => error.into(),
            BundleError::Missing(_) => Self::BundleMissing,
            BundleError::Twice(_) => Self::BundleTwice,
            BundleError::Dtype { .. } => Self::BundleDtype,
            BundleError::Shape { .. } => Self::BundleShape,
            BundleError::Size { .. } => Self::BundleSize,
            BundleError::Value { .. } => Self::BundleValue,
        }
    }
}

impl From<SpecError> for SinewCode {
    fn from(error: SpecError) -> Self {
        match error {
            SpecError::Units(_) => Self::NetworkUnits,
            SpecError::TooMany => Self::NetworkTooMany,
            SpecError::NoHead => Self::NetworkNoHead,
            SpecError::HeadName(_) => Self::NetworkHeadName,
            SpecError::HeadTwice(_) => Self::NetworkHeadTwice,
            SpecError::HeadWithoutLayers(_) => Self::NetworkHeadWithoutLayers,
            SpecError::NotLogits(_) => Self::NetworkNotLogits,
            SpecError::HuberDelta(_) => Self::NetworkHuberDelta,
            SpecError::HeadWeight(_) => Self::NetworkHeadWeight,
        }
    }
}

impl From<RuleError> for SinewCode {
    fn from(error: RuleError) -> Self {
        match error {
            RuleError::Steps(_) => Self::RuleSteps,
            RuleError::NothingToAdapt => Self::RuleNothingToAdapt,
            RuleError::NoSuchLayer { .. } => Self::RuleNoSuchLayer,
        }
    }
}

impl From<SetupError> for SinewCode {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Network(error) => error.into(),
            SetupError::Capacity(_) => Self::SetupCapacity,
            SetupError::Memory { .. } => Self::BlockTooSmall,
            SetupError::Length(_) => Self::SetupTensorLength,
        }
    }
}

impl From<ObserveError> for SinewCode {
    fn from(error: ObserveError) -> Self {
        match error {
            ObserveError::Length(error) => error.into(),
            ObserveError::NotFinite => Self::ObserveNotFinite,
        }
    }
}

impl From<AdaptError> for SinewCode {
    fn from(error: AdaptError) -> Self {
        match error {
            AdaptError::NoSupport => Self::AdaptNoSupport,
        }
    }
}

impl From<LengthError> for SinewCode {
    fn from(LengthError { .. }: LengthError) -> Self {
        Self::Length
    }
}

impl From<Result<(), SinewCode>> for SinewCode {
    fn from(result: Result<(), SinewCode>) -> Self {
        result.err().unwrap_or(Self::Ok)
    }
}
