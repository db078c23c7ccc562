//! Bundles that were written and parsed before: most inputs differ from another one only behind the bytes that their bundle is drawn from.

use std::cell::RefCell;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::rc::Rc;

use libfuzzer_sys::fuzzer_mutate;
use self_cell::self_cell;
use sinew_runtime::Bundle;

use crate::Draw;

/// How many bundles are kept.
const PLACES: usize = 8192;

self_cell!(
    /// The bytes of a valid bundle, and what was read in them.
    pub struct Kept {
        owner: Vec<u8>,
        #[covariant]
        dependent: Bundle,
    }
);

/// A place for a bundle, with the bytes that it was drawn from.
type Place = Option<(Box<[u8]>, Rc<Kept>)>;

thread_local! {
    static PLACE: RefCell<Vec<Place>> = RefCell::new((0..PLACES).map(|_| None).collect());
}

impl Kept {
    /// Draws a bundle. The same bytes give the same bundle, written and parsed anew or not.
    ///
    /// # Panics
    /// If the runtime does not take the bundle: it is valid.
    pub fn draw(draw: &mut Draw<'_>) -> Rc<Self> {
        let mut parts = draw.parts();
        let drawn = draw.used();
        PLACE.with_borrow_mut(|places| {
            let place = BuildHasherDefault::<DefaultHasher>::new().hash_one(drawn) as usize % PLACES;
            match &places[place] {
                Some((from, kept)) if **from == *drawn => kept.clone(),
                _ => {
                    let kept = Rc::new(Self::new(parts.bytes(), |bytes| Bundle::parse(bytes).unwrap()));
                    places[place] = Some((drawn.into(), kept.clone()));
                    kept
                }
            }
        })
    }

    /// The bytes of the bundle.
    pub fn bytes(&self) -> &[u8] {
        self.borrow_owner()
    }

    /// What was read in them.
    pub fn bundle(&self) -> &Bundle<'_> {
        self.borrow_dependent()
    }
}

/// Changes an input of `len` bytes as libFuzzer does, seven times of eight only behind those that its bundle is drawn from, which begin
/// at `from`: what is done with a bundle is the larger room to search, and costs less to try. Returns the new length, at most `most`.
pub fn change_mostly_behind(from: usize, input: &mut [u8], len: usize, most: usize, seed: u32) -> usize {
    let mut draw = Draw::new(input.get(from..len).unwrap_or_default());
    let _ = draw.parts();
    let keep = from + draw.used().len();
    if seed.is_multiple_of(8) || keep >= len.min(most) {
        return fuzzer_mutate(input, len, most);
    }
    keep + fuzzer_mutate(&mut input[keep..], len - keep, most - keep)
}
