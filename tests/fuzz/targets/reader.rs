//! Any bytes for a bundle: as they come, or a valid bundle with some of its bytes changed. Nothing may panic, and what is accepted must
//! run.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use sinew_fuzz::{Draw, Kept, change_mostly_behind};
use sinew_runtime::{Adapter, Bundle, SetupError};

/// Values of memory for what is accepted; larger adapters are not tried.
const MEMORY: usize = 16_384;
/// Bytes of the longest file that a change makes.
const LONGEST: usize = 48 * 1024;

fuzz_target!(|input: &[u8]| {
    match input.split_first() {
        Some((b'{', bytes)) => run(bytes, true),
        Some((kind, bytes)) => {
            let mut draw = Draw::new(bytes);
            let mut bytes = Kept::draw(&mut draw).bytes().to_vec();
            change(&mut draw, &mut bytes);
            // Most of what is accepted is as it was but for a number.
            run(&bytes, kind.is_multiple_of(4));
        }
        None => run(&[], false),
    }
});

fuzz_mutator!(|input: &mut [u8], len: usize, most: usize, seed: u32| {
    match input.first() {
        Some(b'{') | None => libfuzzer_sys::fuzzer_mutate(input, len, most),
        Some(_) => change_mostly_behind(1, input, len, most, seed),
    }
});

/// Changes some bytes, mostly of the header.
fn change(draw: &mut Draw<'_>, bytes: &mut Vec<u8>) {
    for _ in 0..1 + draw.below(8) {
        let header = u64::from_le_bytes(*bytes.first_chunk().unwrap_or(&[0; 8])) as usize;
        let within = if draw.below(4) == 1 { bytes.len() } else { (8 + header % 65_536).min(bytes.len()) };
        let at = draw.below(within.max(1));
        match draw.below(7) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = draw.byte()),
            1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << draw.below(8)),
            2 => bytes.truncate(at),
            // A character that means something.
            3 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = draw.one(b"{}[]\",:\\0129-.eEu nft")),
            // Takes some out, with the length of the header put right.
            4 => {
                let count = (1 + draw.below(40)).min(bytes.len() - at.min(bytes.len()));
                let end = bytes.len();
                bytes.copy_within((at + count).min(end).., at.min(end));
                bytes.truncate(end - count);
                resize(bytes, header, header.saturating_sub(count));
            }
            // Doubles some, with the length of the header put right.
            5 => {
                let count = (1 + draw.below(120)).min(bytes.len() - at.min(bytes.len()));
                let end = bytes.len();
                if end + count <= LONGEST {
                    bytes.resize(end + count, 0);
                    bytes.copy_within(at..end, at + count);
                    resize(bytes, header, header.saturating_add(count));
                }
            }
            _ => resize(bytes, header, draw.bits() as usize),
        }
    }
}

/// Writes another length of the header, if it is not the first 8 bytes that were changed.
fn resize(bytes: &mut Vec<u8>, old: usize, new: usize) {
    if let Some(first) = bytes.first_chunk_mut::<8>()
        && u64::from_le_bytes(*first) == old as u64
    {
        *first = (new as u64).to_le_bytes();
    }
}

/// Parses a file; if it is accepted, `adapts` says whether it is worked with too.
fn run(bytes: &[u8], adapts: bool) {
    let bundle = match Bundle::parse(bytes) {
        Ok(bundle) if adapts => bundle,
        _ => return,
    };
    let Some(len) = Adapter::memory_len(&bundle, 2).ok().filter(|len| *len <= MEMORY) else {
        return;
    };
    let mut memory = vec![f32::NAN; len];
    let mut adapter = match Adapter::new(&bundle, 2, &mut memory) {
        // Numbers that a filter cannot begin with.
        Err(SetupError::Rule) => return,
        adapter => adapter.unwrap(),
    };
    let (mut x, mut y) = ([0.25; 64], [1.0; 256]);
    let (Some(x), Some(y)) = (x.get_mut(..adapter.input_len()), y.get_mut(..adapter.output_len())) else {
        return;
    };
    adapter.observe(x, y).unwrap();
    adapter.set_steps(adapter.steps().min(2));
    adapter.adapt(|| false).unwrap();
    adapter.predict(x, y).unwrap();
}
