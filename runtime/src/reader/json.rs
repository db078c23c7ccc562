//! JSON as far as a bundle needs it: a cursor that checks what it passes, without recursion and without memory.

use sinew_models::layout::MAX_TENSOR_NAME;

/// Deepest nesting that is read; the header of a bundle needs 3 levels and its metadata 7.
const MAX_DEPTH: u32 = 32;

/// The text is not what is wanted where the cursor stands, or is nested deeper than [`MAX_DEPTH`].
///
/// The place is the cursor's, which nobody moves after that, and what else there is to say lies in a slot of the caller: an error of
/// many bytes, handed up from function to function, would take a microcontroller a kilobyte of flash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wrong;

/// What a reader has found.
pub(super) type Read<T> = Result<T, Wrong>;

/// A place in a JSON text.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

/// A string as it stands in the text: without its quotes, with its escapes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub fn new(text: &'a [u8]) -> Self {
        Cursor { text, at: 0 }
    }

    /// How many bytes it has passed.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Back to the begin.
    pub fn rewind(&mut self) {
        self.at = 0;
    }

    /// Passes white space, after which the text must end.
    pub fn end(&mut self) -> Read<()> {
        self.peek();
        if self.at < self.text.len() { Err(Wrong) } else { Ok(()) }
    }

    /// The next byte that is no white space; 0, which no JSON text has there, at the end.
    // One copy for all callers, to save flash.
    #[inline(never)]
    pub fn peek(&mut self) -> u8 {
        while let b' ' | b'\t' | b'\n' | b'\r' = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    /// Passes `expected` and the white space before it.
    // One copy for all callers, to save flash.
    #[inline(never)]
    fn take(&mut self, expected: u8) -> Read<()> {
        if self.peek() != expected {
            return Err(Wrong);
        }
        self.at += 1;
        Ok(())
    }

    /// Passes a string.
    // One copy for all callers, to save flash.
    #[inline(never)]
    pub fn string(&mut self) -> Read<Raw<'a>> {
        self.take(b'"')?;
        let start = self.at;
        loop {
            match self.byte() {
                b'"' => break,
                b'\\' => {
                    self.at += 1;
                    match self.byte() {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => {
                            self.text.get(self.at + 1..).and_then(hex).ok_or(Wrong)?;
                            self.at += 4;
                        }
                        _ => return Err(Wrong),
                    }
                }
                ..0x20 => return Err(Wrong),
                _ => {}
            }
            self.at += 1;
        }
        let raw = self.text.get(start..self.at).ok_or(Wrong)?;
        self.at += 1;
        Ok(Raw(raw))
    }

    /// Passes a whole number from 0 up; the largest `usize` stands for all that are larger.
    // One copy for all callers, to save flash.
    #[inline(never)]
    pub fn whole(&mut self) -> Read<usize> {
        let first = self.peek();
        let mut number = 0_usize;
        let start = self.at;
        while let digit @ b'0'..=b'9' = self.byte() {
            number = number.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - start;
        if digits == 0 || first == b'0' && digits > 1 || matches!(self.byte(), b'.' | b'e' | b'E') {
            return Err(Wrong);
        }
        Ok(number)
    }

    /// Passes `true` or `false`.
    pub fn truth(&mut self) -> Read<bool> {
        let truth = self.peek() == b't';
        self.word(if truth { b"true" } else { b"false" })?;
        Ok(truth)
    }

    /// Passes any value.
    pub fn skip(&mut self) -> Read<()> {
        // What is open, innermost in the lowest bit: 1 for an object, 0 for an array.
        let mut open = 0_u32;
        let mut depth = 0;
        loop {
            let mut before = Before::Comma;
            match self.peek() {
                kind @ (b'{' | b'[') => {
                    if depth == MAX_DEPTH {
                        return Err(Wrong);
                    }
                    self.at += 1;
                    depth += 1;
                    open = open << 1 | u32::from(kind == b'{');
                    before = Before::Nothing;
                }
                b'"' => {
                    self.string()?;
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number()?,
            }
            loop {
                if depth == 0 {
                    return Ok(());
                }
                let end = if open & 1 == 1 { b'}' } else { b']' };
                let mut innermost = Inside { end, before, key: Raw::NONE };
                if innermost.pass(self)? {
                    break;
                }
                before = Before::Comma;
                depth -= 1;
                open >>= 1;
            }
        }
    }

    /// Passes any number.
    fn number(&mut self) -> Read<()> {
        if self.byte() == b'-' {
            self.at += 1;
        }
        let start = self.at;
        let leading = self.byte();
        self.digits()?;
        if leading == b'0' && self.at > start + 1 {
            return Err(Wrong);
        }
        if self.byte() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if let b'e' | b'E' = self.byte() {
            self.at += 1;
            if let b'+' | b'-' = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Read<()> {
        let start = self.at;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start { Err(Wrong) } else { Ok(()) }
    }

    fn word(&mut self, word: &[u8]) -> Read<()> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(Wrong);
        }
        self.at += word.len();
        Ok(())
    }

    fn byte(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }
}

/// An object or an array that a cursor comes to. Its members are asked for one by one: a closure for each would take twice the flash.
pub(super) struct Inside<'a> {
    /// What ends it.
    end: u8,
    /// What comes before the next value.
    before: Before,
    /// The key of the member whose value comes next, in an object.
    pub key: Raw<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Begin,
    Nothing,
    Comma,
}

impl<'a> Inside<'a> {
    /// An object, from before its begin.
    pub const fn object() -> Self {
        Self { end: b'}', before: Before::Begin, key: Raw::NONE }
    }

    /// An array, from before its begin.
    pub const fn array() -> Self {
        Self { end: b']', before: Before::Begin, key: Raw::NONE }
    }

    /// Passes what leads to the next value, which the caller then has to pass, or the end.
    // One copy for all callers, to save flash.
    #[inline(never)]
    pub fn pass(&mut self, cursor: &mut Cursor<'a>) -> Read<bool> {
        if self.before == Before::Begin {
            cursor.take(if self.end == b'}' { b'{' } else { b'[' })?;
            self.before = Before::Nothing;
        }
        if cursor.peek() == self.end {
            cursor.at += 1;
            return Ok(false);
        }
        if self.before == Before::Comma {
            cursor.take(b',')?;
        }
        self.before = Before::Comma;
        if self.end == b'}' {
            self.key = cursor.string()?;
            cursor.take(b':')?;
        }
        Ok(true)
    }

    /// Passes the end.
    pub fn end(&mut self, cursor: &mut Cursor<'a>) -> Read<()> {
        if self.pass(cursor)? { Err(Wrong) } else { Ok(()) }
    }
}

/// How many bytes at the front are UTF-8 (RFC 3629).
///
/// What core has for it is faster and takes 600 bytes of flash, half of them a table.
pub(super) fn utf8_len(bytes: &[u8]) -> usize {
    let (mut valid, mut rest) = (0, bytes);
    while let [first, behind @ ..] = rest {
        // How many bytes follow, and what the first of them is at least and at most.
        let (len, range) = match first {
            0x00..=0x7f => (0, 0x80..=0xbf),
            0xc2..=0xdf => (1, 0x80..=0xbf),
            0xe0 => (2, 0xa0..=0xbf),
            0xed => (2, 0x80..=0x9f),
            0xe1..=0xef => (2, 0x80..=0xbf),
            0xf0 => (3, 0x90..=0xbf),
            0xf4 => (3, 0x80..=0x8f),
            0xf1..=0xf3 => (3, 0x80..=0xbf),
            _ => break,
        };
        let Some((more, next)) = behind.split_at_checked(len) else { break };
        let follows = |(place, byte): (usize, &u8)| match place {
            0 => range.contains(byte),
            _ => (0x80..=0xbf).contains(byte),
        };
        if !more.iter().enumerate().all(follows) {
            break;
        }
        valid += 1 + len;
        rest = next;
    }
    valid
}

/// The number that four hexadecimal digits write.
fn hex(digits: &[u8]) -> Option<u32> {
    digits.get(..4)?.iter().try_fold(0, |number, &digit| Some(number << 4 | char::from(digit).to_digit(16)?))
}

/// Why a string could not be unescaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnescapeError {
    /// It needs more room than there is.
    TooLong,
    /// It has half of a surrogate pair.
    Surrogate,
}

impl Raw<'_> {
    /// A place for a string.
    pub const NONE: Self = Raw(&[]);

    /// Whether it writes `text`, which is no longer than a tensor's name.
    pub fn is(&self, text: &str) -> bool {
        self.is_bytes(text.as_bytes())
    }

    /// The same of text that is given by its bytes.
    // One copy for all callers, to save flash.
    #[inline(never)]
    pub fn is_bytes(&self, text: &[u8]) -> bool {
        let mut buffer = [0; MAX_TENSOR_NAME];
        self.unescape(&mut buffer).is_ok_and(|own| own == text)
    }

    /// Whether it writes `texts`, one behind the other, which are together no longer than a tensor's name.
    pub fn is_made_of(&self, texts: &[&str]) -> bool {
        let mut buffer = [0; MAX_TENSOR_NAME];
        let Ok(mut own) = self.unescape(&mut buffer) else { return false };
        for text in texts {
            let Some(rest) = own.strip_prefix(text.as_bytes()) else { return false };
            own = rest;
        }
        own.is_empty()
    }

    /// Writes what it stands for to the front of `into`.
    pub fn unescape<'b>(&self, into: &'b mut [u8]) -> Result<&'b [u8], UnescapeError> {
        let mut raw = self.0;
        let mut len = 0;
        while let [byte, rest @ ..] = raw {
            // What it stands for, in how many bytes; what is no escape is UTF-8 already.
            let (mut code, mut new) = (u32::from(*byte), 1);
            raw = rest;
            if let (b'\\', [escape, rest @ ..]) = (byte, raw) {
                raw = rest;
                code = match escape {
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => 0x0a,
                    b'r' => 0x0d,
                    b't' => 0x09,
                    b'u' => {
                        let character = escaped(&mut raw).ok_or(UnescapeError::Surrogate)?;
                        new = character.len_utf8();
                        u32::from(character)
                    }
                    same => u32::from(*same),
                };
            }
            let target = into.get_mut(len..len + new).ok_or(UnescapeError::TooLong)?;
            // From the last byte, with 6 bits in each, to the first, which begins with as many ones as there are bytes.
            for (place, to) in target.iter_mut().enumerate().rev() {
                *to = match (new, place) {
                    (1, _) => code as u8,
                    (_, 0) => (0xf00_u32 >> new) as u8 | code as u8,
                    _ => 0x80 | code as u8 & 0x3f,
                };
                code >>= 6;
            }
            len += new;
        }
        into.get(..len).ok_or(UnescapeError::TooLong)
    }
}

/// The character that `XXXX` or `XXXX\uXXXX` writes, which `raw` is moved past.
// One copy, of its own, on a microcontroller, to save flash.
#[cfg_attr(target_os = "none", inline(never))]
fn escaped(raw: &mut &[u8]) -> Option<char> {
    let mut code = hex(raw)?;
    *raw = raw.get(4..)?;
    if (0xd800..0xdc00).contains(&code) {
        let low = hex(raw.strip_prefix(b"\\u")?)?;
        if !(0xdc00..0xe000).contains(&low) {
            return None;
        }
        *raw = raw.get(6..)?;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    char::from_u32(code)
}

#[cfg(test)]
mod tests;
