//! Compute capabilities and their names.

use super::DeviceError;

/// The least compute capability that the kernels are for: what they ask of a warp needs it.
pub const LEAST: [u32; 2] = [7, 0];

/// The architectures that `docs/results/cuda-kernels.md` is about: Xavier, A100, Orin, H100.
pub const MEASURED: [[u32; 2]; 4] = [[7, 2], [8, 0], [8, 7], [9, 0]];

/// What NVIDIA calls it, such as `sm_87`.
pub fn name([major, minor]: [u32; 2]) -> String {
    format!("sm_{major}{minor}")
}

/// A compute capability from such a name, or from numbers such as `8.7`.
///
/// # Errors
/// If it is neither, or less than [`LEAST`].
pub fn parse(text: &str) -> Result<[u32; 2], DeviceError> {
    let unknown = || DeviceError::UnknownArchitecture { text: text.to_owned(), least: LEAST };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let parts = match text.strip_prefix("sm_") {
        // The last digit is the minor one.
        Some(digits) if digits.is_ascii() && digits.len() >= 2 => digits.split_at(digits.len() - 1),
        Some(_) => return Err(unknown()),
        None => text.split_once('.').ok_or_else(unknown)?,
    };
    let (Some(major), Some(minor)) = (number(parts.0), number(parts.1)) else { return Err(unknown()) };
    if [major, minor] < LEAST { Err(unknown()) } else { Ok([major, minor]) }
}

#[cfg(test)]
mod tests {
    use super::{MEASURED, name, parse};

    #[test]
    fn names_are_read_as_they_are_written() {
        for architecture in MEASURED.into_iter().chain([[7, 0], [10, 3], [12, 1]]) {
            assert_eq!(parse(&name(architecture)).unwrap(), architecture);
        }
        assert_eq!(parse("8.7").unwrap(), [8, 7]);
        for text in ["", "sm_", "sm_8", "sm_60", "6.1", "sm_8x", "sm_é7", "87", "8.", ".7", "8.7.1", "sm_-87", "sm_+87"]
        {
            let why = parse(text).unwrap_err().to_string();
            assert!(why.contains("sm_87") && why.contains("7.0"), "{text}: {why}");
        }
    }
}
