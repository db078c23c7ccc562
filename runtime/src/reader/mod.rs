//! Reads a bundle where it lies, without memory of its own, and trusts none of it.
//!
//! A bundle is a `.safetensors` file; `docs/bundle.md` specifies it. Everything is checked in [`Bundle::parse`], once:
//! what comes after it cannot fail on account of the file.

mod error;
mod json;
mod metadata;
#[cfg(test)]
mod tests;
mod view;

use core::mem::replace;

use sinew_models::bundle::{
    INPUT_MEAN, INPUT_RELATIVE_SCALE, INPUT_SCALE, LOSS_CONSTANTS, METADATA_KEY, OUTPUT_MEAN, OUTPUT_SCALE,
    SUPPORT_NOVELTY,
};
use sinew_models::rule::{Domain, MAX_TENSORS, Rule};
use sinew_models::spec::{Loss, NetworkSpec};

pub use error::{BundleError, LengthError, Shape, TensorId};
use json::{Cursor, NotJson, Raw};
use view::Dtype;
pub(crate) use view::Parameters;
pub use view::View;

/// A bundle, checked, in the bytes that it came in.
#[derive(Clone, Debug)]
pub struct Bundle<'a> {
    network: NetworkSpec,
    rule: Rule,
    parameters: Parameters<'a>,
    numbers: [View<'a>; MAX_TENSORS],
    novelty: Option<View<'a>>,
    input_mean: View<'a>,
    input_scale: View<'a>,
    input_relative_scale: View<'a>,
    output_mean: View<'a>,
    output_scale: View<'a>,
}

impl<'a> Bundle<'a> {
    /// Reads the bytes of a whole file, and checks all that they say before any of it is used.
    ///
    /// # Errors
    /// The first of [`BundleError`] that applies.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BundleError> {
        let none = View::NONE;
        // Filled in place, because to move a network about takes stack and flash.
        let mut bundle = Bundle {
            network: metadata::NO_NETWORK,
            rule: metadata::NO_RULE,
            parameters: Parameters { slots: [none; _] },
            numbers: [none; _],
            novelty: None,
            input_mean: none,
            input_scale: none,
            input_relative_scale: none,
            output_mean: none,
            output_scale: none,
        };
        bundle.fill(&File::new(bytes)?)?;
        Ok(bundle)
    }

    // Inlined, it would leave large parts on the stack of the control loop.
    #[inline(never)]
    fn fill(&mut self, file: &File<'a>) -> Result<(), BundleError> {
        let Bundle { network, rule, parameters, numbers, novelty, .. } = self;
        metadata::read(file.metadata()?, network, rule)?;
        network.check().map_err(BundleError::Network)?;
        rule.check(network).map_err(BundleError::Rule)?;

        let constants = file.named(LOSS_CONSTANTS, Shape::matrix(network.heads.len(), 2))?;
        for (index, head) in network.heads.iter_mut().enumerate() {
            head.weight = constants.get(2 * index).unwrap_or(f32::NAN);
            if let Loss::Huber { delta } = &mut head.loss {
                *delta = constants.get(2 * index + 1).unwrap_or(f32::NAN);
            }
        }
        network.check().map_err(BundleError::Network)?;

        // A network has no more slots than there is room for.
        for (view, slot) in parameters.slots.iter_mut().zip(network.slots()) {
            let id = TensorId::Slot { place: slot.placed.place, index: slot.placed.index, part: slot.part };
            *view = file.tensor(id, &slot.name(), Shape::of(&slot.shape()))?;
        }
        for (view, tensor) in numbers.iter_mut().zip(rule.tensors(network)) {
            *view = file.named(tensor.name, Shape::of(&tensor.shape))?;
            if tensor.domain != Domain::Finite {
                let columns = tensor.shape.last().copied().unwrap_or(1);
                let has = |index, value| tensor.domain.has(value, index, columns);
                check(TensorId::Named(tensor.name), *view, has)?;
            }
        }
        *novelty = match file.named(SUPPORT_NOVELTY, Shape::vector(2)) {
            Err(BundleError::Missing(_)) => None,
            view => Some(view?),
        };
        let inputs = Shape::vector(network.input.len);
        let outputs = Shape::vector(rule.output_len(network));
        let Bundle { input_mean, input_scale, input_relative_scale, output_mean, output_scale, .. } = self;
        for (view, name, shape, scales) in [
            (input_mean, INPUT_MEAN, inputs, false),
            (input_scale, INPUT_SCALE, inputs, true),
            (input_relative_scale, INPUT_RELATIVE_SCALE, inputs, true),
            (output_mean, OUTPUT_MEAN, outputs, false),
            (output_scale, OUTPUT_SCALE, outputs, true),
        ] {
            *view = file.named(name, shape)?;
            if scales {
                check(TensorId::Named(name), *view, |_, value| value > 0.0)?;
            }
        }
        Ok(())
    }

    /// The network, with the λ and the Huber δ of its heads.
    pub fn network(&self) -> &NetworkSpec {
        &self.network
    }

    /// How it adapts.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Writes all weights and biases to `into`, in the order of [`NetworkSpec::slots`].
    ///
    /// # Errors
    /// If `into` has not [`NetworkSpec::param_len`] values; it is then left as it was.
    pub fn load_parameters(&self, into: &mut [f32]) -> Result<(), LengthError> {
        self.parameters.load(into)
    }

    /// Where the weights and biases are.
    pub(crate) fn parameters(&self) -> Parameters<'a> {
        self.parameters
    }

    /// The numbers of the rule: the tensors that [`Rule::tensors`] lists, in its order.
    pub fn numbers(&self) -> impl Iterator<Item = View<'a>> {
        self.numbers.into_iter().filter(|view| !view.is_empty())
    }

    /// `[2]`: the median and the 99th percentile of what [`crate::Adapter::novelty`] gives for training tasks, if the bundle knows them.
    pub fn novelty(&self) -> Option<View<'a>> {
        self.novelty
    }

    /// `[input.len]`: mean of the training inputs.
    pub fn input_mean(&self) -> View<'a> {
        self.input_mean
    }

    /// `[input.len]`: what the plain presentation of inputs is divided by; above 0.
    pub fn input_scale(&self) -> View<'a> {
        self.input_scale
    }

    /// `[input.len]`: what the relative presentation of inputs is divided by; above 0.
    pub fn input_relative_scale(&self) -> View<'a> {
        self.input_relative_scale
    }

    /// `[output_len]`: a regression head's prediction is mean + scale · z.
    pub fn output_mean(&self) -> View<'a> {
        self.output_mean
    }

    /// `[output_len]`: see [`Bundle::output_mean`]; above 0.
    pub fn output_scale(&self) -> View<'a> {
        self.output_scale
    }
}

/// A `.safetensors` file: its header and its data.
struct File<'a> {
    header: &'a [u8],
    data: &'a [u8],
}

/// What the header says of a tensor.
struct Entry<'a> {
    dtype: Raw<'a>,
    shape: Shape,
    bytes: &'a [u8],
}

impl<'a> File<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, BundleError> {
        let (&len, rest) = bytes.split_first_chunk().ok_or(BundleError::Header { expected: 0, got: 0 })?;
        let len = u64::from_le_bytes(len);
        let (header, data) = usize::try_from(len)
            .ok()
            .and_then(|len| rest.split_at_checked(len))
            .ok_or(BundleError::Header { expected: len, got: rest.len() })?;
        core::str::from_utf8(header).map_err(|error| BundleError::Utf8(8 + error.valid_up_to()))?;
        Ok(File { header, data })
    }

    /// The string under `sinew`; checks the whole header on its way.
    fn metadata(&self) -> Result<Raw<'a>, BundleError> {
        let mut cursor = Cursor::new(self.header);
        let (mut found, mut seen) = (None, false);
        cursor.object(&mut |cursor, name| {
            if !name.is("__metadata__") {
                self.entry(cursor)?;
                return Ok(true);
            }
            if replace(&mut seen, true) {
                return Err(BundleError::MetadataTwice);
            }
            cursor.object(&mut |cursor, key| {
                let value = cursor.string()?;
                if key.is(METADATA_KEY) && found.replace(value).is_some() {
                    return Err(BundleError::MetadataTwice);
                }
                Ok(true)
            })?;
            Ok(true)
        })?;
        cursor.end()?;
        found.ok_or(BundleError::NoMetadata)
    }

    /// Passes the entry of a tensor, which must lie within the data.
    fn entry(&self, cursor: &mut Cursor<'a>) -> Result<Entry<'a>, BundleError> {
        let (mut dtype, mut shape, mut range) = (None, None, None);
        cursor.object(&mut |cursor, key| {
            if key.is("dtype") {
                let new = cursor.string()?;
                cursor.once(&mut dtype, new)
            } else if key.is("shape") {
                let new = lengths(cursor)?;
                cursor.once(&mut shape, new)
            } else if key.is("data_offsets") {
                let new = lengths(cursor)?;
                cursor.once(&mut range, new)
            } else {
                Ok(false)
            }
        })?;
        let at = 8 + cursor.at();
        let (Some(dtype), Some(shape), Some((2, [begin, end, ..]))) = (dtype, shape, range) else {
            return Err(BundleError::Entry(at));
        };
        let bytes = self.data.get(begin..end).ok_or(BundleError::Bounds { at, begin, end, data: self.data.len() })?;
        let (rank, lengths) = shape;
        Ok(Entry { dtype, shape: Shape { rank, ..Shape::of(&lengths) }, bytes })
    }

    /// The tensor `name`, which must have this shape and finite values.
    fn tensor(&self, tensor: TensorId, name: &str, expected: Shape) -> Result<View<'a>, BundleError> {
        let mut found = None;
        Cursor::new(self.header).object(&mut |cursor, key| {
            if !key.is(name) {
                return Ok(false);
            }
            if found.replace(self.entry(cursor)?).is_some() {
                return Err(BundleError::Twice(tensor));
            }
            Ok(true)
        })?;
        let Entry { dtype, shape, bytes } = found.ok_or(BundleError::Missing(tensor))?;
        let dtype = if dtype.is("F32") {
            Dtype::F32
        } else if dtype.is("F16") {
            Dtype::F16
        } else if dtype.is("BF16") {
            Dtype::Bf16
        } else {
            let mut got = [0; 8];
            let _ = dtype.unescape(&mut got);
            return Err(BundleError::Dtype { tensor, got });
        };
        if shape != expected {
            return Err(BundleError::Shape { tensor, expected, got: shape });
        }
        let size = expected.len().saturating_mul(dtype.size());
        if bytes.len() != size {
            return Err(BundleError::Size { tensor, expected: size, got: bytes.len() });
        }
        let view = View { dtype, bytes };
        check(tensor, view, |_, value| value.is_finite())?;
        Ok(view)
    }

    fn named(&self, name: &'static str, shape: Shape) -> Result<View<'a>, BundleError> {
        self.tensor(TensorId::Named(name), name, shape)
    }
}

/// Passes an array of whole numbers.
fn lengths(cursor: &mut Cursor<'_>) -> Result<(usize, [usize; 4]), NotJson> {
    let (mut rank, mut lengths) = (0, [0; 4]);
    cursor.array(&mut |cursor| {
        let length = cursor.whole()?;
        if let Some(place) = lengths.get_mut(rank) {
            *place = length;
        }
        rank += 1;
        Ok(())
    })?;
    Ok((rank, lengths))
}

fn check(tensor: TensorId, view: View<'_>, good: impl Fn(usize, f32) -> bool) -> Result<(), BundleError> {
    match (0..view.len()).find(|&index| !view.get(index).is_some_and(|value| good(index, value))) {
        Some(index) => Err(BundleError::Value { tensor, index }),
        None => Ok(()),
    }
}
