//! Whether there is a driver, and whether it has all that is used of it.

use cudarc::driver::{result, sys};

use super::failed;
use crate::cuda::DeviceError;

/// What the driver's library is called.
const LIBRARY: &str = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };

/// The oldest CUDA whose drivers have all of [`SYMBOLS`].
const LEAST: [u32; 2] = [11, 4];

/// Every function of the driver that is called here or by the parts of cudarc that are used here; `tests/driver` runs against a library
/// that has no others.
const SYMBOLS: &[&str] = &[
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDeviceTotalMem_v2",
    "cuDriverGetVersion",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventQuery",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuFuncSetAttribute",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
    "cuGraphInstantiateWithFlags",
    "cuGraphLaunch",
    "cuInit",
    "cuLaunchKernel",
    "cuMemAlloc_v2",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemcpyDtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuStreamBeginCapture_v2",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamEndCapture",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
];

/// The version of CUDA that the driver is for: major, minor.
///
/// # Errors
/// If there is no driver, or one that lacks what is used of it.
pub fn version() -> Result<[u32; 2], DeviceError> {
    // SAFETY: what the driver runs when it is loaded needs nothing of us.
    if !unsafe { sys::is_culib_present() } {
        return Err(DeviceError::NoDriver { library: LIBRARY });
    }
    // SAFETY: as above; it is there.
    let library = unsafe { sys::culib() };
    // SAFETY: the pointers are not used, only whether they are there.
    let has = |symbol: &&&str| unsafe { library.get::<*const ()>(symbol.as_bytes()) }.is_ok();
    let mut version = 0;
    if has(&&"cuDriverGetVersion") {
        // SAFETY: the function is there, and takes a pointer to a number.
        let asked = unsafe { sys::cuDriverGetVersion(&raw mut version) }.result();
        asked.map_err(|_| DeviceError::Driver {
            what: "asking the driver for its version".into(),
            why: "it fails".into(),
        })?;
    }
    // 12060 is 12.6.
    let got = [version.unsigned_abs() / 1000, version.unsigned_abs() % 1000 / 10];
    match SYMBOLS.iter().find(|symbol| !has(symbol)) {
        Some(symbol) => Err(DeviceError::OldDriver { got, least: LEAST, symbol }),
        None => Ok(got),
    }
}

/// How many devices the driver sees.
///
/// # Errors
/// As [`version`], or if the driver fails.
pub fn count() -> Result<usize, DeviceError> {
    version()?;
    match result::init().and_then(|()| result::device::get_count()) {
        Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
        Err(why) if why.0 == sys::CUresult::CUDA_ERROR_NO_DEVICE => Ok(0),
        Err(why) => Err(failed("starting the CUDA driver", why)),
    }
}
