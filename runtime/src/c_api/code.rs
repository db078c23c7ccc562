//! What the functions return: every error of the runtime as a number, and as a text.

use core::ffi::CStr;

use sinew_models::rule::RuleError;
use sinew_models::spec::SpecError;

use crate::adapter::{AdaptError, Corrupted, ObserveError, SetupError, VarianceError};
use crate::network::NetworkError;
use crate::reader::{BundleError, LengthError};

/// What became of a call: 0, or why it was not done. A hundred numbers are kept for each kind of reason; a number never changes its
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
    /// The guard cannot hold back so many rows: SINEW_GUARD_HELD_BACK takes 1 to one less than there is room for, another guard 0.
    HeldBack = 9,
    /// The trust radius is NaN or below 0.
    TrustRadius = 10,

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
    /// The network: a head does not end in a dense layer.
    NetworkHeadEnd = 205,
    /// The network: a head with a classification loss ends in an activation.
    NetworkNotLogits = 206,
    /// The network: a Huber delta is not a positive number.
    NetworkHuberDelta = 207,
    /// The network: the weight of a head's loss is not a number from 0 up.
    NetworkHeadWeight = 208,
    /// The network: the input has not as many values as its image, or is presented in both forms.
    NetworkImage = 209,
    /// The network: a layer cannot take what comes to it.
    NetworkLayer = 210,
    /// The network: too many parameters.
    NetworkParameters = 211,

    /// The rule: expected 1 to 1000 inner steps.
    RuleSteps = 300,
    /// The rule: no layer with parameters is to be adapted.
    RuleNothingToAdapt = 301,
    /// The rule: a layer is to be adapted that the network does not have.
    RuleNoSuchLayer = 302,
    /// The rule: too many hidden units in the LSTM.
    RuleHidden = 303,
    /// The rule: a closed form on too many features.
    RuleFeatures = 304,
    /// The rule: no classes, or too many.
    RuleClasses = 305,
    /// The rule: it takes a network with one head (of one output, for similarities).
    RuleOneHead = 306,
    /// The rule: it takes heads of one dense layer without activation.
    RuleHeadNotLinear = 307,

    /// Set-up: expected room for at least 1 support row, and for so few that they fit the address space.
    SetupCapacity = 400,
    /// Set-up: a tensor of the bundle has another length than its network says.
    SetupTensorLength = 401,
    /// Set-up: the library was built without the kind of a layer.
    SetupLayerLeftOut = 402,
    /// Set-up: the library was built without the rule, or its numbers cannot be worked with.
    SetupRule = 403,

    /// Observing: a value is NaN or infinite.
    ObserveNotFinite = 500,

    /// Observing: no head of the network is labelled.
    ObserveNoHead = 501,
    /// Observing: a label is missing, and the rule of the bundle fits all heads to the same rows.
    ObserveAllHeads = 502,

    /// Adapting: there are no support rows, or none besides those that are held back.
    AdaptNoSupport = 600,
    /// Adapting: no head has a label besides those that are held back.
    AdaptNoLabels = 601,
    /// Adapting: SINEW_GUARD_EACH_HEAD is for rules that take gradient steps, and that of the bundle takes none.
    AdaptGuardOfSteps = 602,

    /// Predicting: the rule of the bundle knows no variance; a Bayesian one does.
    PredictNoVariance = 700,

    /// Verifying: the parameters were changed by something other than an adaptation; the meta-learned start is back.
    VerifyCorrupted = 800,
}

/// All codes. A test holds it against the committed header.
const ALL: [SinewCode; 60] = [
    SinewCode::Ok,
    SinewCode::NullPointer,
    SinewCode::Misaligned,
    SinewCode::Length,
    SinewCode::NotInitialised,
    SinewCode::InUse,
    SinewCode::BlockTooSmall,
    SinewCode::Overlap,
    SinewCode::UnknownGuard,
    SinewCode::HeldBack,
    SinewCode::TrustRadius,
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
    SinewCode::NetworkHeadEnd,
    SinewCode::NetworkNotLogits,
    SinewCode::NetworkHuberDelta,
    SinewCode::NetworkHeadWeight,
    SinewCode::NetworkImage,
    SinewCode::NetworkLayer,
    SinewCode::NetworkParameters,
    SinewCode::RuleSteps,
    SinewCode::RuleNothingToAdapt,
    SinewCode::RuleNoSuchLayer,
    SinewCode::RuleHidden,
    SinewCode::RuleFeatures,
    SinewCode::RuleClasses,
    SinewCode::RuleOneHead,
    SinewCode::RuleHeadNotLinear,
    SinewCode::SetupCapacity,
    SinewCode::SetupTensorLength,
    SinewCode::SetupLayerLeftOut,
    SinewCode::SetupRule,
    SinewCode::ObserveNotFinite,
    SinewCode::ObserveNoHead,
    SinewCode::ObserveAllHeads,
    SinewCode::AdaptNoSupport,
    SinewCode::AdaptNoLabels,
    SinewCode::AdaptGuardOfSteps,
    SinewCode::PredictNoVariance,
    SinewCode::VerifyCorrupted,
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
            Self::HeldBack => c"the guard cannot hold back so many support rows",
            Self::TrustRadius => c"the trust radius is NaN or below 0",
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
            Self::NetworkHeadEnd => c"network: a head does not end in a dense layer",
            Self::NetworkNotLogits => {
                c"network: a cross-entropy loss takes logits, but the last layer has an activation"
            }
            Self::NetworkHuberDelta => c"network: expected a positive Huber delta",
            Self::NetworkHeadWeight => c"network: expected a finite loss weight from 0 up",
            Self::NetworkImage => {
                c"network: the input has not the values of its image, or is to be presented in both forms"
            }
            Self::NetworkLayer => c"network: a layer cannot take what comes to it",
            Self::NetworkParameters => c"network: too many parameters",
            Self::RuleSteps => c"rule: expected 1 to 1000 inner steps",
            Self::RuleNothingToAdapt => c"rule: no layer with parameters is to be adapted",
            Self::RuleNoSuchLayer => c"rule: a layer is to be adapted that the network does not have",
            Self::RuleHidden => c"rule: too many hidden units in the LSTM",
            Self::RuleFeatures => c"rule: too many features for a closed form",
            Self::RuleClasses => c"rule: no classes, or too many",
            Self::RuleOneHead => c"rule: expected a network with one head (of one output, for similarities)",
            Self::RuleHeadNotLinear => c"rule: expected heads of one dense layer without activation",
            Self::SetupCapacity => c"set-up: expected room for at least 1 support row that fits the address space",
            Self::SetupTensorLength => c"set-up: a tensor has another length than its network says",
            Self::SetupLayerLeftOut => c"set-up: the library was built without the kind of a layer",
            Self::SetupRule => c"set-up: the library was built without the rule, or its numbers cannot be worked with",
            Self::ObserveNotFinite => c"observe: a value is NaN or infinite",
            Self::ObserveNoHead => c"observe: no head of the network is labelled",
            Self::ObserveAllHeads => c"observe: a label is missing, and the rule fits all heads to the same rows",
            Self::AdaptNoLabels => c"adapt: no head has a label besides those held back: observe before adapting",
            Self::AdaptGuardOfSteps => c"adapt: the guard of each head is for rules that take gradient steps",
            Self::AdaptNoSupport => c"adapt: no support rows, or none besides those held back: observe before adapting",
            Self::PredictNoVariance => c"predict: the rule knows no variance; a Bayesian one does",
            Self::VerifyCorrupted => {
                c"verify: the parameters were changed from outside; the meta-learned start is back"
            }
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
            SpecError::Units { .. } => Self::NetworkUnits,
            SpecError::Image(_) => Self::NetworkImage,
            SpecError::Layer { .. } => Self::NetworkLayer,
            SpecError::Parameters => Self::NetworkParameters,
            SpecError::TooMany => Self::NetworkTooMany,
            SpecError::NoHead => Self::NetworkNoHead,
            SpecError::HeadName(_) => Self::NetworkHeadName,
            SpecError::HeadTwice(_) => Self::NetworkHeadTwice,
            SpecError::HeadEnd(_) => Self::NetworkHeadEnd,
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
            RuleError::Hidden(_) => Self::RuleHidden,
            RuleError::Features(_) => Self::RuleFeatures,
            RuleError::Classes(_) => Self::RuleClasses,
            RuleError::OneHead(_) => Self::RuleOneHead,
            RuleError::HeadNotLinear(_) => Self::RuleHeadNotLinear,
        }
    }
}

impl From<SetupError> for SinewCode {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Network(NetworkError::Spec(error)) => error.into(),
            SetupError::Network(NetworkError::NoSuchLayer(_)) => Self::SetupLayerLeftOut,
            SetupError::Rule => Self::SetupRule,
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
            ObserveError::NoHead => Self::ObserveNoHead,
            ObserveError::AllHeads => Self::ObserveAllHeads,
        }
    }
}

impl From<AdaptError> for SinewCode {
    fn from(error: AdaptError) -> Self {
        match error {
            AdaptError::NoSupport { .. } => Self::AdaptNoSupport,
            AdaptError::NoLabels { .. } => Self::AdaptNoLabels,
            AdaptError::GuardOfSteps => Self::AdaptGuardOfSteps,
        }
    }
}

impl From<VarianceError> for SinewCode {
    fn from(error: VarianceError) -> Self {
        match error {
            VarianceError::Length(error) => error.into(),
            VarianceError::NoVariance => Self::PredictNoVariance,
        }
    }
}

impl From<Corrupted> for SinewCode {
    fn from(Corrupted: Corrupted) -> Self {
        Self::VerifyCorrupted
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
