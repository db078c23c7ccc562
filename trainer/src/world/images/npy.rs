//! The header of NumPy's `.npy`: what kind of numbers follow, and in what shape (NEP 1).

use std::io::{self, Read};

/// Headers are short; a longer one is a broken one.
const LONGEST: usize = 1 << 16;

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Kind of the values, as NumPy writes it: `|b1`, `<i8`.
    pub kind: String,
    /// Values along each axis, the last running fastest.
    pub shape: Vec<usize>,
}

impl Header {
    /// Reads a header; what is left in `reader` are the values.
    ///
    /// # Errors
    /// What the reader says, and [`io::ErrorKind::InvalidData`] for what is no header or an array in Fortran's order.
    pub fn read(reader: &mut impl Read) -> io::Result<Self> {
        let mut start = [0; 8];
        reader.read_exact(&mut start)?;
        if &start[..6] != b"\x93NUMPY" {
            return Err(wrong("no NumPy array"));
        }
        let mut length = [0; 4];
        let bytes = match start[6] {
            1 => 2,
            2 | 3 => 4,
            other => return Err(wrong(&format!("version {other} of the format; 1 to 3 are known"))),
        };
        reader.read_exact(&mut length[..bytes])?;
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST {
            return Err(wrong(&format!("a header of {length} bytes")));
        }
        let mut text = vec![0; length];
        reader.read_exact(&mut text)?;
        let text = String::from_utf8(text).map_err(|_| wrong("a header that is not text"))?;
        Self::parse(&text).ok_or_else(|| wrong(&format!("the header {:?}", text.trim_end())))
    }

    /// `{'descr': '|b1', 'fortran_order': False, 'shape': (2, 3), }`: three entries, in any order.
    fn parse(text: &str) -> Option<Self> {
        let after = |key: &str| Some(text.split_once(&format!("'{key}':"))?.1.trim_start());
        let kind = after("descr")?.strip_prefix('\'')?.split_once('\'')?.0;
        let (shape, _) = after("shape")?.strip_prefix('(')?.split_once(')')?;
        if !after("fortran_order")?.starts_with("False") {
            return None;
        }
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        Some(Self { kind: kind.into(), shape: sizes.map(|size| size.parse().ok()).collect::<Option<_>>()? })
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// An array as NumPy writes it.
    pub fn array(kind: &str, shape: &str, values: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
        let header = format!("{header:<117}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(values);
        bytes
    }

    #[test]
    fn headers_are_read() {
        let bytes = array("<i8", "(964, 20)", &[7; 3]);
        let mut rest = &bytes[..];
        assert_eq!(Header::read(&mut rest).unwrap(), Header { kind: "<i8".into(), shape: vec![964, 20] });
        assert_eq!(rest, [7; 3]);
        assert_eq!(Header::read(&mut &array("|b1", "(5,)", &[])[..]).unwrap().shape, [5]);
        assert_eq!(Header::read(&mut &array("|b1", "()", &[])[..]).unwrap().shape, [0_usize; 0]);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let whole = array("<i8", "(964, 20)", &[]);
        for length in 0..whole.len() {
            assert!(Header::read(&mut &whole[..length]).is_err());
        }
        let text = String::from_utf8_lossy(&whole[10..]).into_owned();
        for (from, to) in [("False", "True"), ("'descr'", "'decsr'"), ("964", "-964"), ("(964, 20)", "964")] {
            assert_eq!(Header::parse(&text.replace(from, to)), None, "{to}");
        }
        let mut version = whole.clone();
        version[6] = 9;
        assert!(Header::read(&mut &version[..]).unwrap_err().to_string().contains("version 9"));
        let mut long = b"\x93NUMPY\x02\x00".to_vec();
        long.extend(u32::MAX.to_le_bytes());
        assert!(Header::read(&mut &long[..]).unwrap_err().to_string().contains("a header of"));
    }
}
