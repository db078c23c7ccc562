//! On what to compute: the CPU, or a CUDA device.

use std::fmt;
use std::str::FromStr;

use super::DeviceError;

/// What `--device` says: `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device that can be used, or else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number, and no other.
    Cuda(usize),
}

/// What it comes to.
#[derive(Debug)]
pub enum Chosen {
    /// The CPU, and why it is not a CUDA device where one was not refused.
    Cpu {
        /// Why no device can be used.
        why: Option<DeviceError>,
    },
    /// A CUDA device.
    #[cfg(feature = "cuda")]
    Cuda(Box<super::Driver>),
}

impl DeviceChoice {
    /// Opens it.
    ///
    /// # Errors
    /// If it is a CUDA device that cannot be used. Where the choice is left open that is no error.
    pub fn open(self) -> Result<Chosen, DeviceError> {
        match self {
            Self::Auto => Ok(first()),
            Self::Cpu => Ok(Chosen::Cpu { why: None }),
            Self::Cuda(number) => number_of(number),
        }
    }
}

#[cfg(feature = "cuda")]
fn number_of(number: usize) -> Result<Chosen, DeviceError> {
    super::Driver::open(number).map(|driver| Chosen::Cuda(Box::new(driver)))
}

#[cfg(not(feature = "cuda"))]
fn number_of(_: usize) -> Result<Chosen, DeviceError> {
    Err(DeviceError::NotBuilt)
}

/// The first device that can be used; without one, what is said of the first.
fn first() -> Chosen {
    #[cfg(feature = "cuda")]
    let count = match super::driver::count() {
        Ok(count) => count,
        Err(why) => return Chosen::Cpu { why: Some(why) },
    };
    #[cfg(not(feature = "cuda"))]
    let count = 0;
    // Number 0 is asked for where there is none, too: what it is refused with says why.
    let mut first = None;
    for number in 0..count.max(1) {
        match number_of(number) {
            Ok(chosen) => return chosen,
            Err(why) => first = first.or(Some(why)),
        }
    }
    Chosen::Cpu { why: first }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text.strip_prefix("cuda:").and_then(number).map(Self::Cuda).ok_or_else(|| {
                format!("expected auto, cpu, or cuda:N with the number of a device, got `{text}`; `sinew devices` lists them")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Chosen, DeviceChoice};

    #[test]
    fn choices_are_read_as_they_are_written() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Cuda(0), DeviceChoice::Cuda(17)] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for text in
            ["", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda:0 ", "cuda:99999999999999999999999"]
        {
            let why = text.parse::<DeviceChoice>().unwrap_err();
            assert!(why.contains("cuda:N") && why.contains(text), "{why}");
        }
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert!(matches!(DeviceChoice::Cpu.open(), Ok(Chosen::Cpu { why: None })));
        assert!(DeviceChoice::Auto.open().is_ok());
    }
}
