//! JSON as far as a bundle needs it: a cursor that checks what it passes, without recursion and without memory.

use sinew_models::layout::MAX_TENSOR_NAME;

/// Deepest nesting that is read; the header of a bundle needs 3 levels and its metadata 7.
const MAX_DEPTH: u32 = 32;

/// The text is not what JSON has at this byte, or is nested deeper than [`MAX_DEPTH`].
#[derive(Clone, Copy, Debug)]
pub(super) struct NotJson(pub usize);

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

    /// Passes white space, after which the text must end.
    pub fn end(&mut self) -> Result<(), NotJson> {
        self.peek();
        if self.at < self.text.len() { Err(self.wrong()) } else { Ok(()) }
    }

    /// The error that stands for this place.
    pub fn wrong(&self) -> NotJson {
        NotJson(self.at)
    }

    /// Passes an object; `member` passes the value of the key that it gets, or says that it does not want it.
    pub fn object<E: From<NotJson>>(
        &mut self,
        member: &mut dyn FnMut(&mut Self, Raw<'a>) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.take(b'{')?;
        let mut first = true;
        while let Some(key) = self.key(first)? {
            first = false;
            if !member(self, key)? {
                self.skip()?;
            }
        }
        Ok(())
    }

    /// Passes an array; `item` passes each of its values.
    pub fn array(&mut self, item: &mut dyn FnMut(&mut Self) -> Result<(), NotJson>) -> Result<(), NotJson> {
        self.take(b'[')?;
        let mut first = true;
        while self.item(first)? {
            first = false;
            item(self)?;
        }
        Ok(())
    }

    /// Fills a place that must still be empty.
    pub fn once<T>(&self, place: &mut Option<T>, value: T) -> Result<bool, NotJson> {
        match place.replace(value) {
            Some(_) => Err(self.wrong()),
            None => Ok(true),
        }
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
    fn take(&mut self, expected: u8) -> Result<(), NotJson> {
        if self.peek() != expected {
            return Err(self.wrong());
        }
        self.at += 1;
        Ok(())
    }

    /// Passes what leads to the next item of an array, or the array's end; `first` right after `[`.
    fn item(&mut self, first: bool) -> Result<bool, NotJson> {
        self.next(b']', first)
    }

    /// Passes a member's key and colon, or the object's end; `first` right after `{`.
    fn key(&mut self, first: bool) -> Result<Option<Raw<'a>>, NotJson> {
        if !self.next(b'}', first)? {
            return Ok(None);
        }
        let key = self.string()?;
        self.take(b':')?;
        Ok(Some(key))
    }

    fn next(&mut self, end: u8, first: bool) -> Result<bool, NotJson> {
        if self.peek() == end {
            self.at += 1;
            return Ok(false);
        }
        if !first {
            self.take(b',')?;
        }
        Ok(true)
    }

    /// Passes a string.
    pub fn string(&mut self) -> Result<Raw<'a>, NotJson> {
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
                            self.text.get(self.at + 1..).and_then(hex).ok_or(self.wrong())?;
                            self.at += 4;
                        }
                        _ => return Err(self.wrong()),
                    }
                }
                ..0x20 => return Err(self.wrong()),
                _ => {}
            }
            self.at += 1;
        }
        let raw = self.text.get(start..self.at).ok_or(self.wrong())?;
        self.at += 1;
        Ok(Raw(raw))
    }

    /// Passes a whole number from 0 up; the largest `usize` stands for all that are larger.
    pub fn whole(&mut self) -> Result<usize, NotJson> {
        let first = self.peek();
        let mut number = 0_usize;
        let start = self.at;
        while let digit @ b'0'..=b'9' = self.byte() {
            number = number.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - start;
        if digits == 0 || first == b'0' && digits > 1 || matches!(self.byte(), b'.' | b'e' | b'E') {
            return Err(self.wrong());
        }
        Ok(number)
    }

    /// Passes `true` or `false`.
    pub fn truth(&mut self) -> Result<bool, NotJson> {
        let truth = self.peek() == b't';
        self.word(if truth { b"true" } else { b"false" })?;
        Ok(truth)
    }

    /// Passes any value.
    pub fn skip(&mut self) -> Result<(), NotJson> {
        // What is open, innermost in the lowest bit: 1 for an object, 0 for an array.
        let mut open = 0_u32;
        let mut depth = 0;
        loop {
            let mut first = false;
            match self.peek() {
                kind @ (b'{' | b'[') => {
                    if depth == MAX_DEPTH {
                        return Err(self.wrong());
                    }
                    self.at += 1;
                    depth += 1;
                    open = open << 1 | u32::from(kind == b'{');
                    first = true;
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
                let more = if open & 1 == 1 { self.key(first)?.is_some() } else { self.item(first)? };
                if more {
                    break;
                }
                first = false;
                depth -= 1;
                open >>= 1;
            }
        }
    }

    /// Passes any number.
    fn number(&mut self) -> Result<(), NotJson> {
        if self.byte() == b'-' {
            self.at += 1;
        }
        let start = self.at;
        let leading = self.byte();
        self.digits()?;
        if leading == b'0' && self.at > start + 1 {
            return Err(self.wrong());
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

    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start { Err(self.wrong()) } else { Ok(()) }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), NotJson> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.wrong());
        }
        self.at += word.len();
        Ok(())
    }

    fn byte(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }
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
    /// Whether it writes `text`, which is no longer than a tensor's name.
    pub fn is(&self, text: &str) -> bool {
        let mut buffer = [0; MAX_TENSOR_NAME];
        self.unescape(&mut buffer).is_ok_and(|own| own == text.as_bytes())
    }

    /// Writes what it stands for to the front of `into`.
    pub fn unescape<'b>(&self, into: &'b mut [u8]) -> Result<&'b [u8], UnescapeError> {
        let mut raw = self.0;
        let mut len = 0;
        while let [byte, rest @ ..] = raw {
            let mut buffer = [*byte, 0, 0, 0];
            let mut new = 1;
            raw = rest;
            if let (b'\\', [escape, rest @ ..]) = (byte, raw) {
                raw = rest;
                buffer[0] = match escape {
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'u' => {
                        let character = escaped(&mut raw).ok_or(UnescapeError::Surrogate)?;
                        new = character.encode_utf8(&mut buffer).len();
                        buffer[0]
                    }
                    &same => same,
                };
            }
            let target = into.get_mut(len..len + new).ok_or(UnescapeError::TooLong)?;
            for (to, from) in target.iter_mut().zip(buffer) {
                *to = from;
            }
            len += new;
        }
        into.get(..len).ok_or(UnescapeError::TooLong)
    }
}

/// The character that `XXXX` or `XXXX\uXXXX` writes, which `raw` is moved past.
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
