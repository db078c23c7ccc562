//! From the text of kernels to what a driver loads: a folder that was compiled ahead of time, the cache on disk, or NVRTC.
//!
//! A kernel's file holds what the driver loads as it is, and behind it 40 bytes that say what it was made of and whether it is whole, so
//! that one that is stale or cut short is not loaded. Tools that read cubins do not mind them.
//!
//! Ahead of time, `sinew devices --compile sm_87 --out DIR` fills a folder that `SINEW_CUBINS` then names; no NVRTC is needed where all
//! kernels are there. Otherwise NVRTC compiles a file at its first use, and what it made is kept in `$SINEW_CACHE`, or else in
//! `$XDG_CACHE_HOME/sinew` or `~/.cache/sinew`. A cache that cannot be written only makes the next start as slow as this one.

use std::fmt;
use std::path::{Path, PathBuf};

use super::nvrtc::{Nvrtc, Target, options};
use super::{DeviceError, Source, architecture};
use crate::files;

/// Names the folder of kernels that were compiled ahead of time.
pub const CUBINS: &str = "SINEW_CUBINS";
/// Names the folder of the cache.
pub const CACHE: &str = "SINEW_CACHE";

/// What ends a kernel's file: this, what it was made of, and a hash of what stands before.
const MARK: &[u8; 8] = b"sinew-k1";
const TAIL: usize = MARK.len() + 2 * size_of::<u128>();

/// Where a kernel came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was compiled ahead of time.
    Ahead,
    /// It was in the cache.
    Cache,
    /// It was compiled now.
    Compiled,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ahead => "compiled ahead of time",
            Self::Cache => "from the cache",
            Self::Compiled => "compiled now",
        })
    }
}

/// What makes kernels for one card.
#[derive(Debug)]
pub struct Compiler {
    architecture: [u32; 2],
    cubins: Option<PathBuf>,
    cache: Option<PathBuf>,
    /// None where all kernels were compiled ahead of time.
    nvrtc: Option<(Nvrtc, Target)>,
}

impl Compiler {
    /// As the environment says.
    ///
    /// # Errors
    /// If kernels are missing and there is no NVRTC to compile them for this architecture, or one that was compiled ahead of time cannot
    /// be used.
    pub fn open(architecture: [u32; 2]) -> Result<Self, DeviceError> {
        Self::with(architecture, folder_of(CUBINS), cache_folder())
    }

    /// With folders of one's own.
    ///
    /// # Errors
    /// As [`Compiler::open`].
    pub fn with(architecture: [u32; 2], cubins: Option<PathBuf>, cache: Option<PathBuf>) -> Result<Self, DeviceError> {
        let mut this = Self { architecture, cubins, cache, nvrtc: None };
        let mut missing = None;
        for source in Source::ALL {
            if this.ahead(*source)?.is_none() {
                missing = Some(*source);
                break;
            }
        }
        let Some(missing) = missing else { return Ok(this) };
        match Nvrtc::open(architecture) {
            Ok(nvrtc) => {
                let target = nvrtc.target(architecture)?;
                this.nvrtc = Some((nvrtc, target));
                Ok(this)
            }
            Err(why) => Err(match &this.cubins {
                Some(folder) => {
                    this.cubin(&folder.join(file_name(missing, architecture)), format!("not found, and {why}"))
                }
                None => why,
            }),
        }
    }

    /// The compiler, where one is needed.
    pub fn nvrtc(&self) -> Option<&Nvrtc> {
        self.nvrtc.as_ref().map(|(nvrtc, _)| nvrtc)
    }

    /// What the driver loads of a file, and where it came from.
    ///
    /// # Errors
    /// If it does not compile, or what was compiled ahead of time cannot be used.
    pub fn image(&self, source: Source) -> Result<(Vec<u8>, Origin), DeviceError> {
        if let Some(image) = self.ahead(source)? {
            return Ok((image, Origin::Ahead));
        }
        let Some((nvrtc, target)) = &self.nvrtc else {
            return Err(DeviceError::NoCompiler { library: "libnvrtc" });
        };
        let text = source.text();
        let key = key(&text, *target);
        let compile = || nvrtc.compile(source, &text, *target, &options(*target)).map(|compiled| compiled.image);
        let Some(folder) = &self.cache else { return Ok((compile()?, Origin::Compiled)) };
        let [major, minor] = nvrtc.version();
        cached(&folder.join(format!("{}-{key:032x}.{target}.nvrtc-{major}.{minor}", stem(source))), key, compile)
    }

    /// What was compiled ahead of time of a file, if there is something.
    fn ahead(&self, source: Source) -> Result<Option<Vec<u8>>, DeviceError> {
        let Some(folder) = &self.cubins else { return Ok(None) };
        let path = folder.join(file_name(source, self.architecture));
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(self.cubin(&path, why.to_string())),
        };
        let wanted = key(&source.text(), Target::Machine(self.architecture));
        match unpack(&bytes) {
            Some((_, made)) if made != wanted => {
                Err(self.cubin(&path, format!("it was made of another {} than this sinew has", source.file())))
            }
            Some((image, _)) => Ok(Some(image.to_vec())),
            None => Err(self.cubin(&path, "it is not a whole file of `sinew devices --compile`".into())),
        }
    }

    fn cubin(&self, path: &Path, why: String) -> DeviceError {
        DeviceError::Cubin { path: path.to_owned(), why, architecture: architecture::name(self.architecture) }
    }
}

/// Compiles all kernels for an architecture into a folder; what was written.
///
/// # Errors
/// If there is no NVRTC that makes machine code for it, a kernel does not compile, or a file cannot be written.
pub fn ahead_of_time(architecture: [u32; 2], folder: &Path) -> Result<Vec<PathBuf>, DeviceError> {
    let nvrtc = Nvrtc::open(architecture)?;
    let target = nvrtc.target(architecture)?;
    if target != Target::Machine(architecture) {
        return Err(nvrtc.refuses(architecture));
    }
    let failed = |path: &Path, why: std::io::Error| DeviceError::Library {
        library: path.display().to_string(),
        why: why.to_string(),
    };
    std::fs::create_dir_all(folder).map_err(|why| failed(folder, why))?;
    let write = |source: &Source| {
        let text = source.text();
        let compiled = nvrtc.compile(*source, &text, target, &options(target))?;
        let path = folder.join(file_name(*source, architecture));
        files::replace(&path, &pack(&compiled.image, key(&text, target))).map_err(|why| failed(&path, why))?;
        Ok(path)
    };
    Source::ALL.iter().map(write).collect()
}

/// What is in the cache at `path` if it is whole and was made of `key`, or else what `make` makes, which is put there.
fn cached(
    path: &Path,
    key: u128,
    make: impl FnOnce() -> Result<Vec<u8>, DeviceError>,
) -> Result<(Vec<u8>, Origin), DeviceError> {
    let bytes = std::fs::read(path).unwrap_or_default();
    if let Some((image, made)) = unpack(&bytes)
        && made == key
    {
        return Ok((image.to_vec(), Origin::Cache));
    }
    let image = make()?;
    // Whether it can be kept or not, it is there.
    let _ = path.parent().map(std::fs::create_dir_all);
    let _ = files::replace(path, &pack(&image, key));
    Ok((image, Origin::Compiled))
}

/// `dense` of `dense.cu`.
fn stem(source: Source) -> &'static str {
    source.file().trim_end_matches(".cu")
}

/// What a file that was compiled ahead of time is called.
fn file_name(source: Source, capability: [u32; 2]) -> String {
    format!("{}.{}.cubin", stem(source), architecture::name(capability))
}

/// The folder that a variable names.
fn folder_of(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The folder of the cache, if there is a place for one.
pub fn cache_folder() -> Option<PathBuf> {
    // The specification of XDG_CACHE_HOME says that a relative one is not to be used.
    let shared = folder_of("XDG_CACHE_HOME").filter(|folder| folder.is_absolute());
    folder_of(CACHE).or_else(|| Some(shared.or_else(|| Some(folder_of("HOME")?.join(".cache")))?.join("sinew")))
}

/// What a kernel is made of: its text and the options of its compiler.
fn key(text: &str, target: Target) -> u128 {
    let parts = options(target).join("\0") + "\0\0" + text;
    hash(parts.as_bytes())
}

/// FNV-1a of 128 bits: against accidents, not against malice.
fn hash(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

/// A kernel's file: what the driver loads, [`MARK`], what it was made of, and a hash of all that.
fn pack(image: &[u8], key: u128) -> Vec<u8> {
    let mut file = [image, MARK, &key.to_le_bytes()].concat();
    file.extend(hash(&file).to_le_bytes());
    file
}

/// What [`pack`] packed, if it is whole.
fn unpack(file: &[u8]) -> Option<(&[u8], u128)> {
    let (image, tail) = file.split_at_checked(file.len().checked_sub(TAIL)?)?;
    let (rest, sum) = file.split_last_chunk()?;
    let (mark, key) = tail.split_first_chunk()?;
    let whole = mark == MARK && u128::from_le_bytes(*sum) == hash(rest);
    whole.then_some((image, u128::from_le_bytes(*key.first_chunk()?)))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::{Origin, Target, cached, hash, key, pack, unpack};

    #[test]
    fn hashes_are_those_of_the_reference() {
        // http://www.isthe.com/chongo/tech/comp/fnv, 128 bit.
        assert_eq!(hash(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(hash(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    #[test]
    fn a_file_that_is_not_whole_is_seen() {
        let file = pack(b"machine code", 7);
        assert_eq!(unpack(&file), Some((&b"machine code"[..], 7)));
        for place in 0..file.len() {
            let mut spoilt = file.clone();
            spoilt[place] ^= 1;
            assert_eq!(unpack(&spoilt), None, "{place}");
            assert_eq!(unpack(&file[..place]), None, "{place}");
        }
        assert_eq!(unpack(&pack(b"", 1)), Some((&b""[..], 1)));
    }

    #[test]
    fn keys_follow_text_and_target() {
        let targets = [Target::Machine([8, 0]), Target::Machine([8, 7]), Target::Portable([8, 0])];
        let keys: Vec<u128> = targets.iter().flat_map(|target| [key("a", *target), key("b", *target)]).collect();
        for (place, key) in keys.iter().enumerate() {
            assert!(!keys[..place].contains(key));
        }
    }

    #[test]
    fn the_cache_keeps_what_is_whole_and_fits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/kernel");
        let made = Cell::new(0);
        let make = || {
            made.set(made.get() + 1);
            Ok(vec![1, 2, 3])
        };
        let ask = |key| cached(&path, key, make).unwrap();
        assert_eq!(ask(5), (vec![1, 2, 3], Origin::Compiled));
        assert_eq!(ask(5), (vec![1, 2, 3], Origin::Cache));
        assert_eq!(made.get(), 1);
        // Cut short, changed, empty, or of something else: made anew, and kept.
        let whole = std::fs::read(&path).unwrap();
        let mut changed = whole.clone();
        changed[1] = 9;
        for (times, bytes) in [&whole[..10], &changed, &[], &pack(&[1, 2, 3], 6)].into_iter().enumerate() {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(ask(5).1, Origin::Compiled);
            assert_eq!(ask(5).1, Origin::Cache);
            assert_eq!(made.get(), times + 2);
        }
        // Where nothing can be kept, each is made.
        let below_a_file = path.join("kernel");
        for _ in 0..2 {
            assert_eq!(cached(&below_a_file, 5, make).unwrap(), (vec![1, 2, 3], Origin::Compiled));
        }
        assert!(std::fs::read(&path).unwrap() == whole);
        // What does not compile is not kept.
        let fails = || Err(crate::cuda::DeviceError::NotBuilt);
        assert!(cached(&folder.path().join("no"), 5, fails).is_err() && !folder.path().join("no").exists());
    }
}
