//! Reads a bundle where it lies, without memory of its own, and trusts none of it.
//!
//! A bundle is a `.safetensors` file; `docs/bundle.md` specifies it. Everything is checked in [`Bundle::parse`], once:
//! what comes after it cannot fail on account of the file.

mod error;
mod fields;
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
use sinew_models::layout::Part;
use sinew_models::rule::{Domain, Rule};
use sinew_models::spec::{Loss, NetworkSpec};

pub use error::{BundleError, LengthError, Shape, TensorId};
use fields::Fields;
use json::{Cursor, Inside, Raw, Read, Wrong, utf8_len};
use view::DTYPES;
pub(crate) use view::Tensors;
pub use view::View;

/// A bundle, checked, in the bytes that it came in.
#[derive(Clone, Debug)]
pub struct Bundle<'a> {
    network: NetworkSpec,
    rule: Rule,
    tensors: Tensors<'a>,
}

/// The tensors that say how values are scaled, for inputs and then for outputs.
const SCALES: [(&str, Domain); view::SCALES] = [
    (INPUT_MEAN, Domain::Finite),
    (INPUT_SCALE, Domain::Positive),
    (INPUT_RELATIVE_SCALE, Domain::Positive),
    (OUTPUT_MEAN, Domain::Finite),
    (OUTPUT_SCALE, Domain::Positive),
];
/// How many of them are for inputs.
const INPUT_SCALES: usize = 3;

impl<'a> Bundle<'a> {
    /// Reads the bytes of a whole file, and checks all that they say before any of it is used.
    ///
    /// # Errors
    /// The first of [`BundleError`] that applies.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BundleError> {
        // Filled in place, because to move a network about takes stack and flash.
        let mut bundle = Bundle { network: metadata::NO_NETWORK, rule: metadata::NO_RULE, tensors: Tensors::new() };
        let mut file = File { header: Cursor::new(&[]), data: &[], entry: Entry::NONE, refused: BundleError::Json(0) };
        match bundle.fill(bytes, &mut file) {
            Ok(()) => Ok(bundle),
            Err(Wrong) => {
                if let BundleError::Json(at) = &mut file.refused {
                    // The header begins after 8 bytes.
                    *at = file.header.at().saturating_add(8);
                }
                Err(file.refused)
            }
        }
    }

    // Inlined, it would leave large parts on the stack of the control loop.
    #[inline(never)]
    fn fill(&mut self, bytes: &'a [u8], file: &mut File<'a>) -> Read<()> {
        file.open(bytes)?;
        let Bundle { network, rule, tensors } = self;
        let text = file.metadata()?;
        file.refuse(metadata::read(text, network, rule))?;
        file.refuse(network.check().map_err(BundleError::Network))?;
        file.refuse(rule.check(network).map_err(BundleError::Rule))?;

        file.named(LOSS_CONSTANTS, &[network.heads.len(), 2], Domain::Finite, tensors)?;
        let constants = tensors.constants();
        for (index, head) in network.heads.iter_mut().enumerate() {
            head.weight = constants.get(2 * index).unwrap_or(f32::NAN);
            if let Loss::Huber { delta } = &mut head.loss {
                *delta = constants.get(2 * index + 1).unwrap_or(f32::NAN);
            }
        }
        file.refuse(network.check().map_err(BundleError::Network))?;

        for (layer, placed) in network.layers().enumerate() {
            for part in [Part::Weight, Part::Context, Part::Bias] {
                let slot = network.slot(layer, placed, part);
                if !slot.is_empty() {
                    let id = TensorId::Slot { place: placed.place, index: placed.index, part };
                    file.tensor(id, &slot.name_parts(), &slot.shape(), Domain::Finite, tensors)?;
                }
            }
        }
        tensors.end_slots();
        for tensor in &rule.tensors(network) {
            file.named(tensor.name, &tensor.shape, tensor.domain, tensors)?;
        }
        tensors.end_numbers();
        let (inputs, outputs) = (network.input.len, rule.output_len(network));
        for (index, (name, domain)) in SCALES.iter().enumerate() {
            file.named(name, &[if index < INPUT_SCALES { inputs } else { outputs }], *domain, tensors)?;
        }
        // The one tensor that may be left out.
        match file.named(SUPPORT_NOVELTY, &[2], Domain::Finite, tensors) {
            Err(Wrong) if matches!(file.refused, BundleError::Missing(_)) => Ok(()),
            read => read,
        }
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
        self.tensors.load(into)
    }

    /// Where its tensors are.
    pub(crate) fn tensors(&self) -> &Tensors<'a> {
        &self.tensors
    }

    /// The numbers of the rule: the tensors that [`Rule::tensors`] lists, in its order.
    pub fn numbers(&self) -> impl Iterator<Item = View<'a>> + '_ {
        self.tensors.numbers().iter().copied()
    }

    /// `[2]`: the median and the 99th percentile of what [`crate::Adapter::novelty`] gives for training tasks, if the bundle knows them.
    pub fn novelty(&self) -> Option<View<'a>> {
        self.tensors.novelty()
    }

    /// The tensor at this place of [`SCALES`].
    fn scale(&self, index: usize) -> View<'a> {
        self.tensors.scales().get(index).copied().unwrap_or(View::NONE)
    }

    /// `[input.len]`: mean of the training inputs.
    pub fn input_mean(&self) -> View<'a> {
        self.scale(0)
    }

    /// `[input.len]`: what the plain presentation of inputs is divided by; above 0.
    pub fn input_scale(&self) -> View<'a> {
        self.scale(1)
    }

    /// `[input.len]`: what the relative presentation of inputs is divided by; above 0.
    pub fn input_relative_scale(&self) -> View<'a> {
        self.scale(2)
    }

    /// `[output_len]`: a regression head's prediction is mean + scale · z.
    pub fn output_mean(&self) -> View<'a> {
        self.scale(3)
    }

    /// `[output_len]`: see [`Bundle::output_mean`]; above 0.
    pub fn output_scale(&self) -> View<'a> {
        self.scale(4)
    }
}

/// A `.safetensors` file: its header and its data.
struct File<'a> {
    /// Where in the header it is being read.
    header: Cursor<'a>,
    data: &'a [u8],
    /// What the header says of the tensor that was read last.
    entry: Entry<'a>,
    /// Why it was refused; [`BundleError::Json`] unless somebody said more.
    refused: BundleError,
}

/// What the header says of a tensor.
#[derive(Clone, Copy)]
struct Entry<'a> {
    dtype: Raw<'a>,
    shape: Lengths,
    bytes: &'a [u8],
}

impl Entry<'_> {
    /// A place for it.
    const NONE: Self = Entry { dtype: Raw::NONE, shape: (0, [0; 4]), bytes: &[] };
}

/// An array of whole numbers: how many, and the first of them.
type Lengths = (usize, [usize; 4]);

impl<'a> File<'a> {
    // One copy, of its own, on a microcontroller, to save flash.
    #[cfg_attr(target_os = "none", inline(never))]
    fn open(&mut self, bytes: &'a [u8]) -> Read<()> {
        let (len, rest) = bytes.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let len = u64::from_le_bytes(*len);
        let Some((header, data)) = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len)) else {
            return Err(self.wrong(BundleError::Header { expected: len, got: rest.len() }));
        };
        if bytes.len() < 8 {
            return Err(self.wrong(BundleError::Header { expected: 0, got: 0 }));
        }
        let valid = utf8_len(header);
        if valid < header.len() {
            return Err(self.wrong(BundleError::Utf8(8 + valid)));
        }
        (self.header, self.data) = (Cursor::new(header), data);
        Ok(())
    }

    /// Refuses the file.
    // One copy for all callers, to save flash.
    #[inline(never)]
    fn wrong(&mut self, error: BundleError) -> Wrong {
        self.refused = error;
        Wrong
    }

    fn refuse(&mut self, result: Result<(), BundleError>) -> Read<()> {
        result.map_err(|error| self.wrong(error))
    }

    /// The string under `sinew`; checks the whole header on its way.
    // One copy, of its own, on a microcontroller, to save flash.
    #[cfg_attr(target_os = "none", inline(never))]
    fn metadata(&mut self) -> Read<Raw<'a>> {
        let (mut found, mut seen) = (None, false);
        let mut members = Inside::object();
        while members.pass(&mut self.header)? {
            if !members.key.is("__metadata__") {
                self.entry()?;
                continue;
            }
            if replace(&mut seen, true) {
                return Err(self.wrong(BundleError::MetadataTwice));
            }
            let mut texts = Inside::object();
            while texts.pass(&mut self.header)? {
                let value = self.header.string()?;
                if texts.key.is(METADATA_KEY) && found.replace(value).is_some() {
                    return Err(self.wrong(BundleError::MetadataTwice));
                }
            }
        }
        self.header.end()?;
        match found {
            Some(found) => Ok(found),
            None => Err(self.wrong(BundleError::NoMetadata)),
        }
    }

    /// Passes the entry of a tensor, which must lie within the data.
    // One copy for all callers, to save flash.
    #[inline(never)]
    fn entry(&mut self) -> Read<()> {
        let Self { header: cursor, entry, .. } = self;
        let mut range = (0, [0; 4]);
        let mut fields = Fields::new(&["*dtype", "*shape", "*data_offsets"]);
        while let Some(field) = fields.pass(cursor)? {
            match field {
                0 => entry.dtype = cursor.string()?,
                1 => read_lengths(cursor, &mut entry.shape)?,
                _ => read_lengths(cursor, &mut range)?,
            }
        }
        let at = 8 + cursor.at();
        let (Ok(()), (2, [begin, end, ..])) = (fields.complete(), range) else {
            return Err(self.wrong(BundleError::Entry(at)));
        };
        match self.data.get(begin..end) {
            Some(bytes) => entry.bytes = bytes,
            None => return Err(self.wrong(BundleError::Bounds { at, begin, end, data: self.data.len() })),
        }
        Ok(())
    }

    /// Passes the whole header, up to the entry of the tensor `name` and behind it.
    fn find(&mut self, tensor: TensorId, name: &[&str]) -> Read<()> {
        let mut found = false;
        let mut members = Inside::object();
        self.header.rewind();
        while members.pass(&mut self.header)? {
            if !members.key.is_made_of(name) {
                self.header.skip()?;
                continue;
            }
            self.entry()?;
            if replace(&mut found, true) {
                return Err(self.wrong(BundleError::Twice(tensor)));
            }
        }
        if found { Ok(()) } else { Err(self.wrong(BundleError::Missing(tensor))) }
    }

    /// Adds the tensor `name`, which must have this shape and finite values of this domain.
    // One copy for all callers, to save flash.
    #[inline(never)]
    fn tensor(
        &mut self,
        tensor: TensorId,
        name: &[&str],
        shape: &[usize],
        domain: Domain,
        into: &mut Tensors<'a>,
    ) -> Read<()> {
        self.find(tensor, name)?;
        let Entry { dtype: kind, shape: (rank, lengths), bytes } = self.entry;
        let Some(&(_, dtype)) = DTYPES.iter().find(|(name, _)| kind.is(name)) else {
            let mut got = [0; 8];
            let _ = kind.unescape(&mut got);
            return Err(self.wrong(BundleError::Dtype { tensor, got }));
        };
        let (expected, got) = (Shape::of(shape), Shape { rank, ..Shape::of(&lengths) });
        if got != expected {
            return Err(self.wrong(BundleError::Shape { tensor, expected, got }));
        }
        let size = expected.len().saturating_mul(dtype.size());
        if bytes.len() != size {
            return Err(self.wrong(BundleError::Size { tensor, expected: size, got: bytes.len() }));
        }
        let view = View { dtype, bytes };
        let columns = shape.last().copied().unwrap_or(1);
        for index in 0..view.len() {
            if !view.get(index).is_some_and(|value| domain.has(value, index, columns)) {
                return Err(self.wrong(BundleError::Value { tensor, index }));
            }
        }
        // A network has no more tensors than there is room for, and a rule neither.
        into.push(view).ok_or(Wrong)
    }

    // One copy for all callers, to save flash.
    #[inline(never)]
    fn named(&mut self, name: &'static str, shape: &[usize], domain: Domain, into: &mut Tensors<'a>) -> Read<()> {
        self.tensor(TensorId::Named(name), &[name], shape, domain, into)
    }
}

/// Passes an array of whole numbers.
// One copy for all callers, to save flash.
#[inline(never)]
fn read_lengths(cursor: &mut Cursor<'_>, (rank, lengths): &mut Lengths) -> Read<()> {
    (*rank, *lengths) = (0, [0; 4]);
    let mut array = Inside::array();
    while array.pass(cursor)? {
        let length = cursor.whole()?;
        if let Some(place) = lengths.get_mut(*rank) {
            *place = length;
        }
        *rank += 1;
    }
    Ok(())
}
