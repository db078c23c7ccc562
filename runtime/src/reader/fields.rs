//! The fields of an object, by a table.

use super::json::{Cursor, Inside, Read, Wrong};

/// An object that is being read, the fields that are known of it, and what was found in them.
///
/// A field is known by a text: `#name` has a whole number, `?name` true or false, which count as 1 and 0, `=name word word` one of these
/// words, which counts as its place among them, and `*name` something that the caller passes. One function for all objects takes less
/// flash than a function for each, and texts less than tables.
pub(super) struct Fields<'a, const N: usize> {
    inside: Inside<'a>,
    known: &'static [&'static str; N],
    pub values: [Option<usize>; N],
}

impl<'a, const N: usize> Fields<'a, N> {
    pub fn new(known: &'static [&'static str; N]) -> Self {
        Self { inside: Inside::object(), known, values: [None; N] }
    }

    /// Passes fields up to the next one whose value the caller has to pass, by its place among those that are known, or the end.
    pub fn pass(&mut self, cursor: &mut Cursor<'a>) -> Read<Option<usize>> {
        pass(&mut self.inside, cursor, self.known, &mut self.values)
    }

    /// Passes all fields, none of which is for the caller to pass.
    pub fn all(mut self, cursor: &mut Cursor<'a>) -> Read<[Option<usize>; N]> {
        match self.pass(cursor)? {
            None => Ok(self.values),
            Some(_) => Err(Wrong),
        }
    }

    /// Whether every one was there.
    pub fn complete(&self) -> Read<()> {
        if self.values.iter().all(Option::is_some) { Ok(()) } else { Err(Wrong) }
    }
}

// One copy for all objects.
#[inline(never)]
fn pass<'a>(
    object: &mut Inside<'a>,
    cursor: &mut Cursor<'a>,
    known: &[&str],
    values: &mut [Option<usize>],
) -> Read<Option<usize>> {
    'fields: while object.pass(cursor)? {
        for (place, (field, value)) in known.iter().zip(&mut *values).enumerate() {
            let Some((kind, field)) = field.as_bytes().split_first() else { continue };
            let mut words = field.split(|byte| *byte == b' ');
            if !words.next().is_some_and(|name| object.key.is_bytes(name)) {
                continue;
            }
            let new = match kind {
                b'#' => cursor.whole()?,
                b'?' => cursor.truth()?.into(),
                b'=' => {
                    let raw = cursor.string()?;
                    words.position(|word| raw.is_bytes(word)).ok_or(Wrong)?
                }
                _ => place,
            };
            Cursor::once(value, new)?;
            if *kind == b'*' {
                return Ok(Some(place));
            }
            continue 'fields;
        }
        cursor.skip()?;
    }
    Ok(None)
}
