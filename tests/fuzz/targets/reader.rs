//! Any bytes for a bundle: as they come, or a valid bundle with some of its bytes changed. Nothing may panic, and what is accepted must
//! run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sinew_fuzz::{Bytes, Draw};
use sinew_runtime::{Adapter, Bundle, SetupError};

fuzz_target!(|input: &[u8]| {
    match input.split_first() {
        Some((b'{', bytes)) => run(bytes),
        Some((_, bytes)) => {
            let mut draw = Draw::new(bytes);
            let mut bytes = draw.parts().bytes();
            assert!(Bundle::parse(&bytes).is_ok());
            change(&mut draw, &mut bytes);
            run(&bytes);
        }
        None => run(&[]),
    }
});

/// Changes some bytes, mostly of the header.
fn change(draw: &mut Draw<'_>, bytes: &mut Bytes) {
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
                if bytes.resize(end + count, 0).is_ok() {
                    bytes.copy_within(at..end, at + count);
                    resize(bytes, header, header.saturating_add(count));
                }
            }
            _ => resize(bytes, header, draw.bits() as usize),
        }
    }
}

/// Writes another length of the header, if it is not the first 8 bytes that were changed.
fn resize(bytes: &mut Bytes, old: usize, new: usize) {
    if let Some(first) = bytes.first_chunk_mut::<8>()
        && u64::from_le_bytes(*first) == old as u64
    {
        *first = (new as u64).to_le_bytes();
    }
}

fn run(bytes: &[u8]) {
    let mut memory = [f32::NAN; 16_384];
    let bundle = match Bundle::parse(bytes) {
        Ok(bundle) => bundle,
        Err(_) => return,
    };
    let Some(memory) = Adapter::memory_len(&bundle, 2).ok().and_then(|len| memory.get_mut(..len)) else {
        return;
    };
    let mut adapter = match Adapter::new(&bundle, 2, memory) {
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
