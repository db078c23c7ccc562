//! NCCL, which carries words between GPUs. **It has not run on hardware**: what `on_device` makes of it is tested over threads, these few
//! calls are not.
//!
//! Its library is opened at run time. A process has one GPU; processes are started by mpirun, and the identity that NCCL wants all to know
//! goes from the first to the others over MPI.

use std::fmt;
use std::mem::MaybeUninit;

use cudarc::nccl::sys;

use super::on_device::Transport;
use super::{Collective, CollectiveError};
use crate::cuda::{Address, Device, DeviceError, Driver};

/// What the library is called.
const LIBRARY: &str = "libnccl.so.2";

/// What is called of it; where one is missing, cudarc would end the process.
const SYMBOLS: &[&str] = &["ncclAllGather", "ncclCommAbort", "ncclCommInitRank", "ncclGetUniqueId"];

/// The GPUs of several processes.
pub struct Nccl {
    communicator: sys::ncclComm_t,
    rank: usize,
    size: usize,
}

impl fmt::Debug for Nccl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nccl(rank {} of {})", self.rank, self.size)
    }
}

impl Nccl {
    /// Joins the GPUs of all processes of `host`, each with its own `driver`.
    ///
    /// # Errors
    /// If there is no NCCL, or it fails, on any process: on all of them alike.
    pub fn join<V>(driver: &Driver, host: &mut dyn Collective<V>) -> Result<Self, CollectiveError> {
        let (rank, size) = (host.rank(), host.size());
        super::agree(host, library())?;
        let identity = super::agree(host, if rank == 0 { identity() } else { Ok(Vec::new()) })?;
        let all = host.gather(&identity)?;
        super::agree(host, Self::with(driver, all.first().map_or(&[], Vec::as_slice), rank, size))
    }

    fn with(driver: &Driver, identity: &[u8], rank: usize, size: usize) -> Result<Self, CollectiveError> {
        let mut id = sys::ncclUniqueId { internal: [0; 128] };
        id.internal.iter_mut().zip(identity).for_each(|(to, byte)| *to = byte.cast_signed() as _);
        let count = |number: usize| i32::try_from(number).map_err(|_| failed("joining the GPUs", "too many processes"));
        driver.bind()?;
        let mut communicator = MaybeUninit::uninit();
        // SAFETY: the context of the GPU is this thread's, and `communicator` is written where that succeeds.
        let communicator = unsafe {
            check(
                "joining the GPUs",
                sys::ncclCommInitRank(communicator.as_mut_ptr(), count(size)?, id, count(rank)?),
            )?;
            communicator.assume_init()
        };
        Ok(Self { communicator, rank, size })
    }
}

impl Transport<Driver> for Nccl {
    fn size(&self) -> usize {
        self.size
    }

    fn all_gather(
        &mut self,
        device: &Driver,
        mine: &<Driver as Device>::Memory,
        words: usize,
        all: &mut <Driver as Device>::Memory,
    ) -> Result<(), DeviceError> {
        device.bind()?;
        let Address(from) = device.address(mine);
        let Address(to) = device.address(all);
        let stream = device.stream().cu_stream().cast();
        let kind = sys::ncclDataType_t::ncclUint32;
        // SAFETY: `mine` has room for the words and `all` for those of all processes, and both are used in the order of the stream.
        let gathered =
            unsafe { sys::ncclAllGather(from as *const _, to as *mut _, words, kind, self.communicator, stream) };
        check("gathering what all GPUs have", gathered)
    }
}

impl Drop for Nccl {
    fn drop(&mut self) {
        // SAFETY: it was made and is not used any more. Aborting waits for no other process, which may have gone already.
        let _ = unsafe { sys::ncclCommAbort(self.communicator) };
    }
}

/// Whether the library is there and has what is used of it.
fn library() -> Result<(), CollectiveError> {
    // SAFETY: what NCCL runs when it is loaded needs nothing of us.
    if !unsafe { sys::is_culib_present() } {
        let why =
            "not found; install NCCL, or `pip install nvidia-nccl-cu12` and put its lib folder on LD_LIBRARY_PATH";
        return Err(DeviceError::Library { library: LIBRARY.into(), why: why.into() }.into());
    }
    // SAFETY: it is there, and of the pointers only whether they are there is looked at.
    let has = |symbol: &&&str| unsafe { sys::culib().get::<*const ()>(symbol.as_bytes()) }.is_ok();
    match SYMBOLS.iter().find(|symbol| !has(symbol)) {
        Some(symbol) => {
            Err(DeviceError::Library { library: LIBRARY.into(), why: format!("it has no {symbol}") }.into())
        }
        None => Ok(()),
    }
}

/// What all processes must know.
fn identity() -> Result<Vec<u8>, CollectiveError> {
    let mut id = sys::ncclUniqueId { internal: [0; 128] };
    // SAFETY: it is written to `id`.
    check("asking NCCL for an identity", unsafe { sys::ncclGetUniqueId(&raw mut id) })?;
    Ok(id.internal.iter().map(|byte| *byte as u8).collect())
}

fn check(what: &str, result: sys::ncclResult_t) -> Result<(), DeviceError> {
    match result {
        sys::ncclResult_t::ncclSuccess => Ok(()),
        other => Err(failed(what, &format!("NCCL says {other:?}; NCCL_DEBUG=WARN says more"))),
    }
}

fn failed(what: &str, why: &str) -> DeviceError {
    DeviceError::Driver { what: what.to_owned(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::library;

    #[test]
    fn without_the_library_it_says_what_to_do() {
        if let Err(why) = library() {
            let why = why.to_string();
            assert!(why.contains("libnccl.so.2"), "{why}");
        }
    }
}
