//! Kernels on the card, each file loaded when one of its kernels is first asked for.

use std::collections::HashMap;
use std::sync::Arc;

use cudarc::driver::sys::CUfunction_attribute as Attribute;
use cudarc::driver::{CudaContext, CudaFunction, CudaModule, CudaStream, DriverError, result};
use cudarc::nvrtc::Ptx;

use super::failed;
use crate::cuda::compile::Compiler;
use crate::cuda::device::{DeviceError, Launch, MOST_BYTES};
use crate::cuda::{Kernel, Source};

/// The kernels.
pub struct Modules {
    compiler: Compiler,
    modules: HashMap<Source, Arc<CudaModule>>,
    functions: HashMap<Kernel, Function>,
}

/// A kernel on the card.
struct Function {
    function: CudaFunction,
    /// Bytes of dynamic shared memory that it may be launched with.
    shared: u32,
}

impl Modules {
    pub fn new(compiler: Compiler) -> Self {
        Self { compiler, modules: HashMap::new(), functions: HashMap::new() }
    }

    /// What makes them.
    pub fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// Makes ready all that launches use, so that launching them compiles, loads and sets nothing.
    pub fn prepare(&mut self, context: &Arc<CudaContext>, launches: &[Launch]) -> Result<(), DeviceError> {
        launches.iter().try_for_each(|launch| self.prepare_one(context, launch))
    }

    fn prepare_one(&mut self, context: &Arc<CudaContext>, launch: &Launch) -> Result<(), DeviceError> {
        let Launch { kernel, shared, .. } = *launch;
        let refused = |what: &str, why| failed(&format!("{what} {} of {}", kernel.name(), kernel.source().file()), why);
        if !self.functions.contains_key(&kernel) {
            let module = self.module(context, kernel.source())?;
            let function = module.load_function(kernel.name()).map_err(|why| refused("finding", why))?;
            self.functions.insert(kernel, Function { function, shared: 0 });
        }
        if let Some(function) = self.functions.get_mut(&kernel)
            && function.shared < shared
        {
            // With what is static it may be more than the 48 KiB that need not be asked for, so it is always asked for.
            let bytes = i32::try_from(shared).unwrap_or(i32::MAX);
            let set =
                function.function.set_attribute(Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes);
            set.map_err(|why| refused(&format!("allowing {shared} bytes of shared memory for"), why))?;
            // Of what a multiprocessor can divide between cache and shared memory, all may be shared memory: that of two blocks, not one.
            let all =
                function.function.set_attribute(Attribute::CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, 100);
            all.map_err(|why| refused("preferring shared memory for", why))?;
            function.shared = shared;
        }
        Ok(())
    }

    fn module(&mut self, context: &Arc<CudaContext>, source: Source) -> Result<Arc<CudaModule>, DeviceError> {
        if let Some(module) = self.modules.get(&source) {
            return Ok(Arc::clone(module));
        }
        let (image, origin) = self.compiler.image(source)?;
        let loaded = context.load_module(Ptx::from_binary(image));
        let module = loaded.map_err(|why| failed(&format!("loading {}, {origin}", source.file()), why))?;
        self.modules.insert(source, Arc::clone(&module));
        Ok(module)
    }

    /// Launches what was made ready.
    pub fn launch(&self, stream: &CudaStream, launch: &Launch) -> Result<(), DriverError> {
        let Launch { kernel, grid, threads, shared, arguments } = launch;
        // A launch of no blocks has nothing to do, and the driver takes none.
        if grid.contains(&0) {
            return Ok(());
        }
        let Some(Function { function, .. }) = self.functions.get(kernel) else {
            return Err(DriverError(cudarc::driver::sys::CUresult::CUDA_ERROR_NOT_FOUND));
        };
        let mut argument = [0_u64; MOST_BYTES / 8];
        argument.iter_mut().zip(arguments).for_each(|(word, argument)| *word = *argument);
        let mut parameters = [argument.as_mut_ptr().cast()];
        // SAFETY: the kernel takes one argument of at most MOST_BYTES, which `tests/nvrtc` holds all kernels to, and the driver copies it
        // before it returns. That what the kernel reads and writes is there is the launcher's part, and tested on the CPU.
        unsafe {
            result::launch_kernel(
                function.cu_function(),
                (grid[0], grid[1], grid[2]),
                (*threads, 1, 1),
                *shared,
                stream.cu_stream(),
                &mut parameters,
            )
        }
    }
}
