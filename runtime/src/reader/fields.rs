//! The fields of an object, by a table.

use super::json::{Cursor, Inside, Read, Wrong};

/// An object that is being read, the fields that are known of it, and what was found in them.
///
/// A field is known by a text: `#name` has a whole number, `?name` true or false, which count as 1 and 0, `=name word word` one of these
/// words, which counts as its place among them, and `*name` something that the caller passes. One function for all objects takes less
/// flash than a function for each, and texts less than tables.
pub(super) struct Fields<'a> {
    inside: Inside<'a>,
    known: &'static [&'static str],
    /// What was found in each field that is known, in their order; [`MISSING`] where it was not there.
    pub values: [usize; MOST],
}

/// Most fields that are known of an object.
pub(super) const MOST: usize = if cfg!(any(feature = "layers", feature = "rules")) { 8 } else { 5 };

/// In place of a value; whole numbers from this one on count as the largest. A number takes less flash than an `Option`.
const MISSING: usize = usize::MAX - 1;

/// A value, if it is there.
pub(super) fn known(value: usize) -> Option<usize> {
    if value == MISSING { None } else { Some(value) }
}

impl<'a> Fields<'a> {
    // One copy for all callers, to save flash.
    #[inline(never)]
    pub fn new(known: &'static [&'static str]) -> Self {
        Self { inside: Inside::object(), known, values: [MISSING; MOST] }
    }

    /// Passes all fields, none of which is for the caller to pass; every one must be there.
    pub fn all(&mut self, cursor: &mut Cursor<'a>) -> Read<()> {
        match self.pass(cursor)? {
            None => self.complete(),
            Some(_) => Err(Wrong),
        }
    }

    /// Whether every one was there.
    // One copy for all callers, to save flash.
    #[inline(never)]
    pub fn complete(&self) -> Read<()> {
        if self.values.iter().take(self.known.len()).any(|value| *value == MISSING) { Err(Wrong) } else { Ok(()) }
    }

    /// Passes fields up to the next one whose value the caller has to pass, by its place among those that are known, or the end.
    // One copy for all objects.
    #[inline(never)]
    pub fn pass(&mut self, cursor: &mut Cursor<'a>) -> Read<Option<usize>> {
        let Self { inside: object, known, values } = self;
        'fields: while object.pass(cursor)? {
            for (place, (field, value)) in known.iter().zip(&mut *values).enumerate() {
                let Some((kind, field)) = field.as_bytes().split_first() else { continue };
                let mut words = field.split(|byte| *byte == b' ');
                if !words.next().is_some_and(|name| object.key.is_bytes(name)) {
                    continue;
                }
                let new = match kind {
                    b'#' => match cursor.whole()? {
                        MISSING => usize::MAX,
                        number => number,
                    },
                    b'?' => cursor.truth()?.into(),
                    b'=' => {
                        let raw = cursor.string()?;
                        words.position(|word| raw.is_bytes(word)).ok_or(Wrong)?
                    }
                    _ => place,
                };
                if core::mem::replace(value, new) != MISSING {
                    return Err(Wrong);
                }
                if *kind == b'*' {
                    return Ok(Some(place));
                }
                continue 'fields;
            }
            cursor.skip()?;
        }
        Ok(None)
    }
}
