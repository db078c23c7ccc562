//! The tensors of a bundle, where they lie.

use half::f16;
use sinew_models::rule::MAX_TENSORS;
use sinew_models::spec::MAX_LAYERS;

use super::LengthError;

/// How the values of a tensor are written, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of binary32.
    Bf16,
}

/// The names of these in a file.
pub(super) const DTYPES: [(&str, Dtype); 3] = [("F32", Dtype::F32), ("F16", Dtype::F16), ("BF16", Dtype::Bf16)];

impl Dtype {
    /// Bytes of one value.
    pub const fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
        }
    }
}

/// How many tensors say how values are scaled.
pub(super) const SCALES: usize = 5;

/// One tensor of a bundle, read from where it lies; rows one after another.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(super) dtype: Dtype,
    /// As many whole values as there are.
    pub(super) bytes: &'a [u8],
}

impl View<'_> {
    /// A place for a view.
    pub(super) const NONE: Self = View { dtype: Dtype::F32, bytes: &[] };

    /// How many values it has.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Always false: a bundle has no tensor without values.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The value at `index`; `None` past the end.
    pub fn get(&self, index: usize) -> Option<f32> {
        Some(match self.dtype {
            Dtype::F32 => from_f32(self.bytes.as_chunks().0.get(index)?),
            Dtype::F16 => from_f16(self.bytes.as_chunks().0.get(index)?),
            Dtype::Bf16 => from_bf16(self.bytes.as_chunks().0.get(index)?),
        })
    }

    /// Writes all values to `into`.
    ///
    /// # Errors
    /// If `into` has another length than the tensor; it is then left as it was.
    pub fn copy_to(&self, into: &mut [f32]) -> Result<(), LengthError> {
        if into.len() != self.len() {
            return Err(LengthError { expected: self.len(), got: into.len() });
        }
        match self.dtype {
            Dtype::F32 => copy(self.bytes, into, from_f32),
            Dtype::F16 => copy(self.bytes, into, from_f16),
            Dtype::Bf16 => copy(self.bytes, into, from_bf16),
        }
        Ok(())
    }
}

/// Most tensors of a bundle.
const TENSORS: usize = 1 + 2 * MAX_LAYERS + MAX_TENSORS + SCALES + 1;

/// The tensors of a bundle, in the order in which they are read: [`LOSS_CONSTANTS`](sinew_models::bundle::LOSS_CONSTANTS); weights and
/// biases as [`NetworkSpec::slots`](sinew_models::spec::NetworkSpec::slots) has them; the numbers of the rule; scales; and the novelty,
/// if it is there. One list of all takes less flash than a list of each.
///
/// Not a vector of heapless, which is dropped: what it borrows would have to live until then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tensors<'a> {
    views: [View<'a>; TENSORS],
    len: usize,
    /// Where weights and biases end.
    slots: usize,
    /// Where the numbers of the rule end.
    numbers: usize,
}

impl<'a> Tensors<'a> {
    /// No tensors.
    pub fn new() -> Self {
        Self { views: [View::NONE; TENSORS], len: 0, slots: 0, numbers: 0 }
    }

    /// Puts one more behind the others; `None` if there is no room.
    pub(super) fn push(&mut self, view: View<'a>) -> Option<()> {
        *self.views.get_mut(self.len)? = view;
        self.len += 1;
        Some(())
    }

    /// All weights and biases are there.
    pub(super) fn end_slots(&mut self) {
        self.slots = self.len;
    }

    /// All numbers of the rule are there.
    pub(super) fn end_numbers(&mut self) {
        self.numbers = self.len;
    }

    /// The constants of the losses.
    pub(super) fn constants(&self) -> &View<'a> {
        let [constants, ..] = &self.views;
        constants
    }

    /// The numbers of the rule.
    pub fn numbers(&self) -> &[View<'a>] {
        self.views.get(self.slots..self.numbers).unwrap_or_default()
    }

    /// Mean, scale and relative scale of inputs, mean and scale of outputs.
    pub fn scales(&self) -> &[View<'a>] {
        self.views.get(self.numbers..).and_then(|rest| rest.get(..SCALES)).unwrap_or_default()
    }

    /// What novelties were in training, if the bundle knows them.
    pub fn novelty(&self) -> Option<View<'a>> {
        self.views.get(..self.len)?.get(self.numbers + SCALES).copied()
    }

    /// Writes all weights and biases, one after another.
    ///
    /// # Errors
    /// If `into` has not as many values as there are; it is then left as it was.
    pub fn load(&self, into: &mut [f32]) -> Result<(), LengthError> {
        let slots = self.views.get(1..self.slots).unwrap_or_default();
        LengthError::check(slots.iter().map(View::len).sum(), into.len())?;
        let mut rest = into;
        for view in slots {
            // As many as there are: the lengths add up.
            let (slot, tail) = crate::part::cut(rest, view.len());
            view.copy_to(slot)?;
            rest = tail;
        }
        Ok(())
    }
}

fn copy<const N: usize>(bytes: &[u8], into: &mut [f32], from: fn(&[u8; N]) -> f32) {
    for (into, value) in into.iter_mut().zip(bytes.as_chunks().0) {
        *into = from(value);
    }
}

fn from_f32(bytes: &[u8; 4]) -> f32 {
    f32::from_le_bytes(*bytes)
}

fn from_f16(bytes: &[u8; 2]) -> f32 {
    f16::from_le_bytes(*bytes).to_f32()
}

fn from_bf16(bytes: &[u8; 2]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16)
}
