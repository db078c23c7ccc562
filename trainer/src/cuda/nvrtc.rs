//! NVRTC, NVIDIA's compiler as a library, opened at run time.
//!
//! cudarc has bindings too, but they look for the library of one major version of CUDA only, and end the process where it, or one of its
//! functions, is missing. Here every version that can make machine code for the card will do.

use std::ffi::{CString, c_char, c_int};
use std::fmt;
use std::ptr;

use libloading::Library;

use super::{DeviceError, Source, architecture};

/// What the library is called. The oldest first that is still made: a driver runs what an older compiler made, and need not run what a
/// newer one did. For a card that the first does not know, others are asked.
const NAMES: &[&str] = if cfg!(windows) {
    &["nvrtc64_120_0.dll", "nvrtc64_130_0.dll", "nvrtc64_112_0.dll"]
} else {
    &["libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so.11.2", "libnvrtc.so"]
};

/// Where it is looked for: where the system looks, and where the toolkit puts it, which not every system looks at.
const FOLDERS: &[&str] = if cfg!(windows) { &[""] } else { &["", "/usr/local/cuda/lib64/"] };

/// What it says when all is well.
const SUCCESS: c_int = 0;

/// `nvrtcProgram`: a pointer to something of its own.
type Program = *mut std::ffi::c_void;

/// Options that every kernel is compiled with, beside the architecture. A product and a sum may become one operation, with one rounding.
const OPTIONS: &[&str] = &["-std=c++17", "--fmad=true", "-lineinfo"];

/// What is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Machine code of one compute capability.
    Machine([u32; 2]),
    /// Code of which the driver makes machine code for its card, which is newer than what the compiler knows.
    Portable([u32; 2]),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(capability) => f.write_str(&architecture::name(*capability)),
            Self::Portable([major, minor]) => write!(f, "compute_{major}{minor}"),
        }
    }
}

/// What the compiler makes of a file.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// What the driver loads: a cubin, or PTX with a zero behind it.
    pub image: Vec<u8>,
    /// PTX, for people and for what reads it.
    pub ptx: String,
    /// What the compiler says.
    pub log: String,
}

/// The options for `target`, and what may be asked for on top.
pub fn options(target: Target) -> Vec<String> {
    let mut options = vec![format!("--gpu-architecture={target}")];
    options.extend(OPTIONS.iter().map(|option| (*option).to_owned()));
    options
}

macro_rules! functions {
    ($($field:ident $name:literal ($($argument:ty),*);)+) => {
        /// Its functions; each returns an `nvrtcResult`.
        struct Functions {
            $($field: unsafe extern "C" fn($($argument),*) -> c_int,)+
        }

        impl Functions {
            fn of(library: &Library, path: &str) -> Result<Self, DeviceError> {
                $(
                    // SAFETY: the type is that of nvrtc.h, the same in all versions from 11.2 to 13; the pointer is used while
                    // `Nvrtc` holds the library.
                    let $field = *unsafe { library.get(concat!($name, "\0").as_bytes()) }.map_err(|_| {
                        DeviceError::Library { library: path.to_owned(), why: format!("it has no {}: at least CUDA 11.2 is needed", $name) }
                    })?;
                )+
                Ok(Self { $($field,)+ })
            }
        }
    };
}

functions! {
    version "nvrtcVersion" (*mut c_int, *mut c_int);
    count_architectures "nvrtcGetNumSupportedArchs" (*mut c_int);
    architectures "nvrtcGetSupportedArchs" (*mut c_int);
    create "nvrtcCreateProgram" (*mut Program, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char);
    compile "nvrtcCompileProgram" (Program, c_int, *const *const c_char);
    destroy "nvrtcDestroyProgram" (*mut Program);
    log_size "nvrtcGetProgramLogSize" (Program, *mut usize);
    log "nvrtcGetProgramLog" (Program, *mut c_char);
    ptx_size "nvrtcGetPTXSize" (Program, *mut usize);
    ptx "nvrtcGetPTX" (Program, *mut c_char);
    cubin_size "nvrtcGetCUBINSize" (Program, *mut usize);
    cubin "nvrtcGetCUBIN" (Program, *mut c_char);
}

/// The compiler.
pub struct Nvrtc {
    path: String,
    version: [u32; 2],
    /// Compute capabilities that it knows, in rising order.
    known: Vec<[u32; 2]>,
    functions: Functions,
    /// Holds the functions.
    _library: Library,
}

impl fmt::Debug for Nvrtc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nvrtc({} {}.{})", self.path, self.version[0], self.version[1])
    }
}

impl Nvrtc {
    /// The first that knows `architecture`, or else the first that there is.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(architecture: [u32; 2]) -> Result<Self, DeviceError> {
        let (mut any, mut broken) = (None, None);
        for path in NAMES.iter().flat_map(|name| FOLDERS.iter().map(move |folder| format!("{folder}{name}"))) {
            match Self::at(path) {
                Ok(Some(nvrtc)) if nvrtc.known.contains(&architecture) => return Ok(nvrtc),
                Ok(Some(nvrtc)) => any = any.or(Some(nvrtc)),
                Ok(None) => {}
                Err(why) => broken = broken.or(Some(why)),
            }
        }
        any.ok_or_else(|| broken.unwrap_or(DeviceError::NoCompiler { library: NAMES[0] }))
    }

    /// The library of that path, if there is one.
    fn at(path: String) -> Result<Option<Self>, DeviceError> {
        // SAFETY: what NVRTC runs when it is loaded needs nothing of us.
        let Ok(library) = (unsafe { Library::new(&path) }) else { return Ok(None) };
        let functions = Functions::of(&library, &path)?;
        let broken =
            |code| DeviceError::Library { library: path.clone(), why: format!("NVRTC answers with error {code}") };
        let (mut major, mut minor, mut count) = (0, 0, 0);
        // SAFETY: the pointers are to numbers of ours, and `known` has room for as many as the library said.
        let known = unsafe {
            check((functions.version)(&raw mut major, &raw mut minor)).map_err(broken)?;
            check((functions.count_architectures)(&raw mut count)).map_err(broken)?;
            let mut known = vec![0; usize::try_from(count).unwrap_or(0)];
            check((functions.architectures)(known.as_mut_ptr())).map_err(broken)?;
            known
        };
        let version = [major, minor].map(|number| number.unsigned_abs());
        let mut known: Vec<_> =
            known.into_iter().map(|known| [known.unsigned_abs() / 10, known.unsigned_abs() % 10]).collect();
        known.sort_unstable();
        Ok(Some(Self { path, version, known, functions, _library: library }))
    }

    /// Its version: major, minor.
    pub fn version(&self) -> [u32; 2] {
        self.version
    }

    /// The name that it was found under.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What it can make for a card: machine code, or, where it does not know the card, portable code of the newest architecture that it
    /// knows.
    ///
    /// # Errors
    /// If the card is older than all that it knows.
    pub fn target(&self, architecture: [u32; 2]) -> Result<Target, DeviceError> {
        if self.known.contains(&architecture) {
            return Ok(Target::Machine(architecture));
        }
        // Between those that it knows stand none that a newer one should be taken for: portable code is for all that came later.
        match self.known.iter().rev().find(|known| **known < architecture && **known >= architecture::LEAST) {
            Some(known) => Ok(Target::Portable(*known)),
            None => Err(self.refuses(architecture)),
        }
    }

    /// The error for a card that nothing can be made for.
    pub fn refuses(&self, capability: [u32; 2]) -> DeviceError {
        let known: Vec<_> = self.known.iter().filter(|known| **known >= architecture::LEAST).collect();
        DeviceError::Target {
            library: self.path.clone(),
            version: self.version,
            architecture: architecture::name(capability),
            known: known.iter().map(|known| architecture::name(**known)).collect::<Vec<_>>().join(", "),
        }
    }

    /// Compiles `text`, which `file` stands for where it fails.
    ///
    /// # Errors
    /// If it does not compile.
    pub fn compile(
        &self,
        file: Source,
        text: &str,
        target: Target,
        options: &[String],
    ) -> Result<Compiled, DeviceError> {
        let fails = |log: String| DeviceError::Compile { file, architecture: target.to_string(), log };
        let says = |code: c_int| fails(format!("error {code}"));
        let terminated = |text: &str| CString::new(text).map_err(|_| fails("the text has a zero byte".into()));
        let (text, name) = (terminated(text)?, terminated(file.file())?);
        let options = options.iter().map(|option| terminated(option)).collect::<Result<Vec<_>, _>>()?;
        let pointers: Vec<_> = options.iter().map(|option| option.as_ptr()).collect();
        let count = c_int::try_from(pointers.len()).map_err(|_| fails("too many options".into()))?;
        let of = &self.functions;
        let mut program = OfProgram { program: ptr::null_mut(), destroy: of.destroy };
        // SAFETY: text and name end with zero, and there are no headers.
        let created =
            unsafe { (of.create)(&raw mut program.program, text.as_ptr(), name.as_ptr(), 0, ptr::null(), ptr::null()) };
        check(created).map_err(says)?;
        // SAFETY: the program was created, and there are `count` options that end with zero.
        let compiled = unsafe { (of.compile)(program.program, count, pointers.as_ptr()) };
        let log = String::from_utf8_lossy(&program.read(of.log_size, of.log).map_err(says)?)
            .trim_matches(['\0', '\n'])
            .to_owned();
        check(compiled).map_err(|code| if log.is_empty() { says(code) } else { fails(log.clone()) })?;
        let ptx = program.read(of.ptx_size, of.ptx).map_err(says)?;
        let image = match target {
            Target::Machine(_) => program.read(of.cubin_size, of.cubin).map_err(says)?,
            Target::Portable(_) => ptx.clone(),
        };
        if image.is_empty() {
            return Err(fails("NVRTC made nothing of it".into()));
        }
        let ptx = String::from_utf8_lossy(&ptx).trim_end_matches('\0').to_owned();
        Ok(Compiled { image, ptx, log })
    }
}

/// A program of the compiler, which is destroyed with this.
struct OfProgram {
    program: Program,
    destroy: unsafe extern "C" fn(*mut Program) -> c_int,
}

impl OfProgram {
    /// Bytes of the program, by the function that says how many and the one that writes them.
    fn read(
        &self,
        size: unsafe extern "C" fn(Program, *mut usize) -> c_int,
        write: unsafe extern "C" fn(Program, *mut c_char) -> c_int,
    ) -> Result<Vec<u8>, c_int> {
        let mut len = 0;
        // SAFETY: the program was created, and there is room for as many bytes as it says.
        unsafe {
            check(size(self.program, &raw mut len))?;
            let mut bytes = vec![0_u8; len];
            check(write(self.program, bytes.as_mut_ptr().cast()))?;
            Ok(bytes)
        }
    }
}

impl Drop for OfProgram {
    fn drop(&mut self) {
        if !self.program.is_null() {
            // SAFETY: it was created, and nobody uses it any more. That it fails would change nothing.
            let _ = unsafe { (self.destroy)(&raw mut self.program) };
        }
    }
}

fn check(code: c_int) -> Result<(), c_int> {
    if code == SUCCESS { Ok(()) } else { Err(code) }
}
