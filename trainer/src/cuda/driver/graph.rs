//! Lists of launches that are run again and again, recorded once and replayed.
//!
//! A launch costs the CPU a few microseconds, and a meta-step has hundreds of them. A graph is launched as one. It is recorded when a list
//! comes a second time: kernels, geometry and arguments, addresses among them, are all the same then, so that replaying it is running it.

use std::collections::HashMap;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaGraph, CudaStream, DriverError, sys};

use super::failed;
use super::modules::Modules;
use crate::cuda::{DeviceError, Launch};

/// Lists shorter than this are not worth a graph.
const LEAST: usize = 4;
/// Most graphs, and most lists that were seen once.
const MOST: usize = 64;

/// The graphs.
#[derive(Default)]
pub struct Graphs {
    /// Lists that were run before: by themselves, not by a hash of them, so that none is taken for another.
    lists: HashMap<Box<[Launch]>, List>,
    /// Counts runs, for what was used last.
    clock: u64,
    /// How often lists were replayed, and launched one by one.
    pub runs: [u64; 2],
    /// What the driver said when it would not record.
    pub refused: Option<String>,
}

struct List {
    used: u64,
    /// None until it comes a second time.
    graph: Option<CudaGraph>,
}

impl Graphs {
    /// Runs launches, one way or the other.
    pub fn run(
        &mut self,
        modules: &mut Modules,
        context: &Arc<CudaContext>,
        stream: &Arc<CudaStream>,
        launches: &[Launch],
    ) -> Result<(), DeviceError> {
        if launches.len() < LEAST || self.refused.is_some() {
            return self.one_by_one(modules, context, stream, launches);
        }
        self.clock += 1;
        let Some(list) = self.lists.get_mut(launches) else {
            self.make_room(stream)?;
            self.lists.insert(launches.into(), List { used: self.clock, graph: None });
            return self.one_by_one(modules, context, stream, launches);
        };
        list.used = self.clock;
        if list.graph.is_none() {
            // It ran before, so that nothing is loaded here; nothing may be, while a stream is recorded.
            modules.prepare(context, launches)?;
            match record(modules, stream, launches) {
                Ok(graph) => list.graph = Some(graph),
                Err(why) => {
                    self.refused = Some(failed("recording a graph", why).to_string());
                    self.lists.clear();
                    return self.one_by_one(modules, context, stream, launches);
                }
            }
        }
        if let Some(graph) = &list.graph {
            graph.launch().map_err(|why| failed("replaying launches", why))?;
            self.runs[0] += 1;
        }
        Ok(())
    }

    fn one_by_one(
        &mut self,
        modules: &mut Modules,
        context: &Arc<CudaContext>,
        stream: &CudaStream,
        launches: &[Launch],
    ) -> Result<(), DeviceError> {
        modules.prepare(context, launches)?;
        for launch in launches {
            let what = || {
                let Launch { kernel, grid, threads, shared, .. } = launch;
                format!("launching {} with {grid:?} blocks of {threads} threads, {shared} bytes shared", kernel.name())
            };
            modules.launch(stream, launch).map_err(|why| failed(&what(), why))?;
        }
        self.runs[1] += 1;
        Ok(())
    }

    /// Forgets the list that was not used for longest, where there are too many.
    fn make_room(&mut self, stream: &CudaStream) -> Result<(), DeviceError> {
        if self.lists.len() < MOST {
            return Ok(());
        }
        let oldest = self.lists.iter().min_by_key(|(_, list)| list.used).map(|(launches, _)| launches.clone());
        if let Some(list) = oldest.and_then(|oldest| self.lists.remove(&oldest))
            && list.graph.is_some()
        {
            // It may still be under way.
            stream.synchronize().map_err(|why| failed("waiting for launches", why))?;
        }
        Ok(())
    }
}

/// Records launches, without running them.
fn record(modules: &Modules, stream: &Arc<CudaStream>, launches: &[Launch]) -> Result<CudaGraph, DriverError> {
    stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)?;
    let recorded = launches.iter().try_for_each(|launch| modules.launch(stream, launch));
    // Whatever happened, the stream must not stay as it is.
    let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0));
    recorded?;
    graph?.ok_or(DriverError(sys::CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED))
}
