//! One tensor of a bundle, where it lies.

use half::f16;
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

/// Their names in a file.
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

/// Up to `N` tensors.
///
/// Not a vector of heapless, which is dropped: what it borrows would have to live until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Views<'a, const N: usize> {
    views: [View<'a>; N],
    len: usize,
}

impl<'a, const N: usize> Views<'a, N> {
    pub const fn new() -> Self {
        Self { views: [View::NONE; N], len: 0 }
    }

    /// Those that there are.
    pub fn all(&self) -> &[View<'a>] {
        self.views.get(..self.len).unwrap_or_default()
    }

    /// A place for one more, which from now on is there; `None` if there is no room.
    pub fn more(&mut self) -> Option<&mut View<'a>> {
        let place = self.views.get_mut(self.len)?;
        self.len += 1;
        Some(place)
    }
}

/// Where all weights and biases of a bundle lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters<'a> {
    /// In the order of [`sinew_models::spec::NetworkSpec::slots`].
    pub(super) slots: Views<'a, { 2 * MAX_LAYERS }>,
}

impl Parameters<'_> {
    /// Writes them all, one after another.
    ///
    /// # Errors
    /// If `into` has not as many values as there are; it is then left as it was.
    pub fn load(&self, into: &mut [f32]) -> Result<(), LengthError> {
        LengthError::check(self.slots.all().iter().map(View::len).sum(), into.len())?;
        let mut rest = into;
        for view in self.slots.all() {
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
