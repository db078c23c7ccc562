//! The C ABI, with the feature `c-api`: `include/sinew.h` declares these functions, `docs/c-api.md` tells how to use them.
//!
//! An adapter lives in a block of memory that the caller gives; nothing is allocated, nothing is global, nothing unwinds. What a caller
//! can do wrong and the library can see is a [`SinewCode`], and then nothing has been done. What it cannot see is the contract of
//! every function here: pointers that are neither null nor misaligned point to as many values as the lengths beside them say; block
//! and bundle stay where they are and unchanged as long as the adapter is used; one adapter is used by one thread at a time.
#![expect(clippy::missing_safety_doc, reason = "the contract is the same for all functions, and stands above")]

mod adapter;
mod block;
mod code;
mod report;

use core::ffi::{c_char, c_void};
use core::fmt::{self, Write};
use core::mem::align_of;
use core::ptr;

pub use adapter::*;
pub use block::SinewAdapter;
use block::{array, array_mut, check, overlap, span};
pub use code::SinewCode;
pub use report::{SinewBudget, SinewGuard, SinewNovelty, SinewOutcome, SinewReport};

use crate::reader::Bundle;

/// Version of the ABI. It changes when a function, a number or a struct changes that was there before, and not when something is added.
pub const SINEW_ABI_VERSION: u32 = 1;

/// The ABI version of the library: compare it with SINEW_ABI_VERSION, that of the header.
#[unsafe(no_mangle)]
pub extern "C" fn sinew_abi_version() -> u32 {
    SINEW_ABI_VERSION
}

/// What a code says, in one line of English that is never freed. "unknown code" for a number that is no code.
#[unsafe(no_mangle)]
pub extern "C" fn sinew_error_text(code: i32) -> *const c_char {
    SinewCode::of(code).map_or(c"unknown code", SinewCode::text).as_ptr()
}

/// Checks a bundle of bundle_len bytes, and writes what is wrong with it, in detail, to text: at most text_len bytes with the 0 at the
/// end, which is always there; an empty text if nothing is wrong. For set-up and for people: the codes are what programs read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_bundle_check(
    bundle: *const u8,
    bundle_len: usize,
    text: *mut c_char,
    text_len: usize,
) -> SinewCode {
    let check = || {
        if overlap(span(bundle, bundle_len)?, span(text, text_len)?) {
            return Err(SinewCode::Overlap);
        }
        // SAFETY: the contract of this module; they do not overlap.
        let (bytes, text) = unsafe { (array(bundle, bundle_len)?, array_mut(text.cast::<u8>(), text_len)?) };
        let room = text.len().checked_sub(1).ok_or(SinewCode::Length)?;
        let mut text = Text { bytes: text, len: 0, room };
        let checked = Bundle::parse(bytes).map(|_| ());
        if let Err(error) = checked {
            // Cut short where there is no room.
            let _ = write!(text, "{error}");
        }
        text.end();
        Ok(checked?)
    };
    check().into()
}

/// Tells the bytes of the block that an adapter needs, and the alignment of its first byte, for a bundle of bundle_len bytes and room
/// for capacity support rows. On another processor it may need more, for its vectors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_size(
    bundle: *const u8,
    bundle_len: usize,
    capacity: usize,
    size: *mut usize,
    align: *mut usize,
) -> SinewCode {
    let tell = || {
        check(size)?;
        check(align)?;
        // SAFETY: the contract of this module.
        let bytes = unsafe { array(bundle, bundle_len) }?;
        let (_, needed) = SinewAdapter::size(&Bundle::parse(bytes)?, capacity)?;
        // SAFETY: neither null nor misaligned, so writable.
        unsafe {
            size.write(needed);
            align.write(align_of::<SinewAdapter>());
        }
        Ok(())
    };
    tell().into()
}

/// Sets up an adapter of a bundle in a block, and writes where it is to adapter; NULL if it fails. There is nothing to free but the
/// block. An adapter cannot be copied or moved: the block must stay where it is.
///
/// The adapter reads the bundle for as long as it is used: the bytes must stay, unchanged. Never from a deadline callback of an
/// adapter in the same block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_init(
    block: *mut c_void,
    block_size: usize,
    bundle: *const u8,
    bundle_len: usize,
    capacity: usize,
    adapter: *mut *mut SinewAdapter,
) -> SinewCode {
    let set_up = || {
        check(adapter)?;
        // SAFETY: neither null nor misaligned, so writable.
        unsafe { adapter.write(ptr::null_mut()) };
        let block = block.cast::<SinewAdapter>();
        check(block)?;
        // SAFETY: the contract of this module.
        unsafe {
            let bytes = array(bundle, bundle_len)?;
            SinewAdapter::set_up(block, block_size, bytes, capacity)?;
            adapter.write(block);
        }
        Ok(())
    };
    set_up().into()
}

/// A text of C that is written bit by bit.
struct Text<'a> {
    bytes: &'a mut [u8],
    len: usize,
    /// Bytes that it has room for, beside the 0 at the end.
    room: usize,
}

impl Text<'_> {
    /// Ends it before the first byte of a character that was cut, and writes the 0.
    fn end(self) {
        let written = self.bytes.get(..self.len).unwrap_or_default();
        let end = core::str::from_utf8(written).map_or_else(|error| error.valid_up_to(), str::len);
        if let Some(end) = self.bytes.get_mut(end) {
            *end = 0;
        }
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let free = self.bytes.get_mut(self.len..self.room).unwrap_or_default();
        free.iter_mut().zip(part.bytes()).for_each(|(to, from)| *to = from);
        self.len += part.len().min(free.len());
        if self.len < self.room { Ok(()) } else { Err(fmt::Error) }
    }
}
