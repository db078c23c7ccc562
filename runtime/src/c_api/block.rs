//! Memory that came from C: what is checked of a pointer before anything is read or written through it.

use core::mem::{align_of, size_of};
use core::ptr::{addr_of, addr_of_mut, write_bytes};
use core::slice::{from_raw_parts, from_raw_parts_mut};
use core::sync::atomic::{AtomicBool, Ordering};

use super::code::SinewCode;
use crate::adapter::Adapter;
use crate::reader::Bundle;

/// An adapter in a block of the caller: opaque. The block has room for it and, behind it, for all values that it works on.
// Without repr(C), so that the header declares no fields.
pub struct SinewAdapter {
    /// [`SEAL`], mixed with the address: neither zeroed nor copied memory passes for an adapter.
    seal: usize,
    /// Bytes of the block that are in use.
    block_len: usize,
    /// Whether it is adapting. Atomic only so that a look from another thread is no data race.
    busy: AtomicBool,
    adapter: Adapter<'static>,
}

/// Bytes of `sinew v1`, cut to the width of an address. It changes with what lies in a block.
const SEAL: usize = 0x7369_6e65_7720_7631_u64 as usize;

impl SinewAdapter {
    /// Values and bytes of the block of an adapter.
    pub(super) fn size(bundle: &Bundle<'_>, capacity: usize) -> Result<(usize, usize), SinewCode> {
        let values = Adapter::memory_len(bundle, capacity)?;
        let bytes = values.checked_mul(size_of::<f32>()).and_then(|bytes| bytes.checked_add(size_of::<Self>()));
        let bytes = bytes.filter(|bytes| fits(*bytes)).ok_or(SinewCode::SetupCapacity)?;
        Ok((values, bytes))
    }

    /// Sets up an adapter in `block`.
    ///
    /// # Safety
    /// `block` is aligned and writable for `block_len` bytes, and nobody else uses it while the adapter is in use; nor does anybody
    /// write to the bytes of the bundle.
    pub(super) unsafe fn set_up(
        block: *mut Self,
        block_len: usize,
        bytes: &'static [u8],
        capacity: usize,
    ) -> Result<(), SinewCode> {
        if overlap(span(block.cast::<u8>(), block_len)?, span(bytes.as_ptr(), bytes.len())?) {
            return Err(SinewCode::Overlap);
        }
        if block_len >= size_of::<Self>() {
            // SAFETY: the block is aligned and has room for the struct. From here on a failure leaves no adapter behind.
            unsafe { addr_of_mut!((*block).seal).write(0) };
        }
        let bundle = Bundle::parse(bytes)?;
        let (values, bytes) = Self::size(&bundle, capacity)?;
        if block_len < bytes {
            return Err(SinewCode::BlockTooSmall);
        }
        // SAFETY: the block holds the struct and `values` values behind it, which are aligned since the struct's size is a multiple of
        // its alignment. They are initialised here, and the adapter is the only one to use them.
        let memory = unsafe {
            let first = block.add(1).cast::<f32>();
            write_bytes(first, 0, values);
            from_raw_parts_mut(first, values)
        };
        const { assert!(align_of::<SinewAdapter>() >= align_of::<f32>()) };
        let adapter = Adapter::new(&bundle, capacity, memory)?;
        // SAFETY: as above; no reference to the struct exists.
        unsafe {
            block.write(Self { seal: sealed(block), block_len: bytes, busy: AtomicBool::new(false), adapter });
        }
        Ok(())
    }

    /// The adapter at `this` and its block, if there is one that is not adapting.
    ///
    /// # Safety
    /// `this` is null, or points to readable memory of the size of a struct; the caller holds the only reference.
    pub(super) unsafe fn enter<'a>(this: *mut Self) -> Result<(&'a mut Adapter<'static>, Span), SinewCode> {
        check(this)?;
        // SAFETY: not null, aligned, readable. Fields are read one by one: a whole reference would claim what a callback looks at.
        if unsafe { addr_of!((*this).seal).read() } != sealed(this) {
            return Err(SinewCode::NotInitialised);
        }
        // SAFETY: the seal says that all fields are set.
        if unsafe { &*addr_of!((*this).busy) }.load(Ordering::Relaxed) {
            return Err(SinewCode::InUse);
        }
        // SAFETY: as above, and nobody is in `adapt`, the only function that calls back while it holds such a reference.
        let (adapter, block_len) = unsafe { (&mut *addr_of_mut!((*this).adapter), addr_of!((*this).block_len).read()) };
        Ok((adapter, (this.cast_const().cast(), block_len)))
    }

    /// Whether `this` is adapting, for the calls that come from now on.
    ///
    /// # Safety
    /// [`SinewAdapter::enter`] succeeded on `this`.
    pub(super) unsafe fn set_busy(this: *mut Self, busy: bool) {
        // SAFETY: all fields are set, and no reference to this one is held.
        unsafe { &*addr_of!((*this).busy) }.store(busy, Ordering::Relaxed);
    }
}

/// The seal of an adapter at `block`.
fn sealed(block: *const SinewAdapter) -> usize {
    SEAL ^ block.addr()
}

/// Where memory begins, and its bytes.
pub(super) type Span = (*const u8, usize);

/// Whether two pieces of memory share a byte.
pub(super) fn overlap((a, a_len): Span, (b, b_len): Span) -> bool {
    let (a, b) = (a.addr(), b.addr());
    if a <= b { b - a < a_len && b_len > 0 } else { a - b < b_len && a_len > 0 }
}

/// The memory of an array, unless its pointer or length cannot be.
pub(super) fn span<T>(at: *const T, len: usize) -> Result<Span, SinewCode> {
    check(at)?;
    let bytes = len.checked_mul(size_of::<T>()).filter(|bytes| fits(*bytes)).ok_or(SinewCode::Length)?;
    Ok((at.cast(), bytes))
}

/// Refuses null and misaligned pointers.
pub(super) fn check<T>(at: *const T) -> Result<(), SinewCode> {
    if at.is_null() {
        Err(SinewCode::NullPointer)
    } else if at.is_aligned() {
        Ok(())
    } else {
        Err(SinewCode::Misaligned)
    }
}

/// Whether an array can have so many bytes.
const fn fits(bytes: usize) -> bool {
    bytes <= isize::MAX as usize
}

/// An array to read.
///
/// # Safety
/// `at` is null, or points to `len` readable values that nobody writes to while the slice is in use.
pub(super) unsafe fn array<'a, T>(at: *const T, len: usize) -> Result<&'a [T], SinewCode> {
    span(at, len)?;
    // SAFETY: not null, aligned, not too long; the caller says that it is readable.
    Ok(unsafe { from_raw_parts(at, len) })
}

/// An array to write.
///
/// # Safety
/// `at` is null, or points to `len` writable values that nobody else uses while the slice is in use.
pub(super) unsafe fn array_mut<'a, T>(at: *mut T, len: usize) -> Result<&'a mut [T], SinewCode> {
    span(at, len)?;
    // SAFETY: not null, aligned, not too long; the caller says that it is writable. What it holds is f32 or bytes: any bits will do.
    Ok(unsafe { from_raw_parts_mut(at, len) })
}
