//! A CUDA driver and an NVRTC for tests: built as libcuda.so.1 and as libnvrtc.so.12, with no function but those that are used.
//!
//! It is as late as a driver may be: what is put on a stream is done when something waits for it, and not before. A wait that was forgotten
//! shows as a wrong number. Every kernel takes [to, from, words, more] and does `to[i] = from[i] + more`.

#![allow(non_snake_case, clippy::missing_safety_doc)]

use std::alloc::{Layout, alloc, dealloc};
use std::collections::{HashMap, VecDeque};
use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};
use std::sync::{LazyLock, Mutex, MutexGuard};

const INVALID: u32 = 1;
const MEMORY: u32 = 2;
const NO_DEVICE: u32 = 100;
const NOT_READY: u32 = 600;
const CAPTURING: u32 = 900;

type Handle = *mut c_void;

#[derive(Clone)]
enum Op {
    Copy { to: usize, from: usize, bytes: usize },
    Kernel([u64; 4]),
    Mark(usize, u64),
    Wait(usize, u64),
}

#[derive(Default)]
struct State {
    last: usize,
    current: usize,
    streams: HashMap<usize, VecDeque<Op>>,
    recording: HashMap<usize, Vec<Op>>,
    graphs: HashMap<usize, Vec<Op>>,
    /// Times recorded, times done, stream.
    events: HashMap<usize, (u64, u64, usize)>,
    memory: HashMap<usize, usize>,
    /// Bytes of shared memory that a kernel may be launched with.
    shared: HashMap<usize, c_int>,
}

static STATE: LazyLock<Mutex<State>> = LazyLock::new(Mutex::default);

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap()
}

fn set(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

impl State {
    fn next(&mut self) -> usize {
        self.last += 1;
        self.last
    }

    fn put(&mut self, stream: usize, op: Op) {
        match self.recording.get_mut(&stream) {
            Some(graph) => graph.push(op),
            None => self.streams.get_mut(&stream).expect("a stream").push_back(op),
        }
    }

    /// Does what is on a stream, up to an event where one is named.
    unsafe fn finish(&mut self, stream: usize, until: Option<(usize, u64)>) {
        while let Some(op) = self.streams.get_mut(&stream).and_then(VecDeque::pop_front) {
            match op {
                Op::Copy { to, from, bytes } => unsafe { std::ptr::copy(from as *const u8, to as *mut u8, bytes) },
                Op::Kernel([to, from, words, more]) => {
                    for place in 0..words as usize {
                        unsafe {
                            let value = (from as *const u32).add(place).read();
                            (to as *mut u32).add(place).write(value.wrapping_add(more as u32));
                        }
                    }
                }
                Op::Mark(event, times) => {
                    self.events.get_mut(&event).expect("an event").1 = times;
                    if until == Some((event, times)) {
                        return;
                    }
                }
                Op::Wait(event, times) => unsafe { self.wait(event, times) },
            }
        }
    }

    unsafe fn wait(&mut self, event: usize, times: u64) {
        let (_, done, stream) = self.events[&event];
        if done < times {
            unsafe { self.finish(stream, Some((event, times))) };
        }
    }

    unsafe fn finish_all(&mut self) {
        for stream in self.streams.keys().copied().collect::<Vec<_>>() {
            unsafe { self.finish(stream, None) };
        }
    }

    unsafe fn allocate(&mut self, bytes: usize) -> usize {
        let start = unsafe { alloc(Layout::from_size_align(bytes, 256).unwrap()) } as usize;
        unsafe { std::ptr::write_bytes(start as *mut u8, 0xa5, bytes) };
        self.memory.insert(start, bytes);
        start
    }

    unsafe fn free(&mut self, start: usize) -> u32 {
        let Some(bytes) = self.memory.remove(&start) else { return INVALID };
        unsafe {
            std::ptr::write_bytes(start as *mut u8, 0xdd, bytes);
            dealloc(start as *mut u8, Layout::from_size_align(bytes, 256).unwrap());
        }
        0
    }
}

macro_rules! functions {
    ($($(#[$when:meta])? fn $name:ident($($argument:ident: $type:ty),*) $body:block)+) => {
        $($(#[$when])? #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> u32 { unsafe { $body } })+
    };
}

functions! {
    fn cuInit(_flags: c_uint) { if set("FAKE_BROKEN").is_some() { 999 } else { 0 } }
    fn cuDriverGetVersion(version: *mut c_int) { *version = 12040; 0 }
    fn cuDeviceGetCount(count: *mut c_int) {
        *count = set("FAKE_DEVICES").map_or(1, |count| count.parse().unwrap());
        if *count == 0 { NO_DEVICE } else { 0 }
    }
    fn cuDeviceGet(device: *mut c_int, number: c_int) { *device = number; 0 }
    fn cuDeviceGetName(name: *mut c_char, len: c_int, _device: c_int) {
        let text = b"Fake GPU\0";
        assert!(len as usize >= text.len());
        std::ptr::copy(text.as_ptr().cast(), name, text.len());
        0
    }
    fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) { *bytes = 64 << 20; 0 }
    fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_uint, _device: c_int) {
        *value = match attribute {
            75 => set("FAKE_MAJOR").map_or(8, |major| major.parse().unwrap()),
            76 => 7, 16 => 8, 97 => 163 << 10, 81 => 164 << 10, 39 => 1536, 82 => 65536, _ => 0,
        };
        0
    }
    fn cuDevicePrimaryCtxRetain(context: *mut Handle, _device: c_int) { *context = 1 as Handle; 0 }
    fn cuDevicePrimaryCtxRelease_v2(_device: c_int) { 0 }
    fn cuCtxGetCurrent(context: *mut Handle) { *context = state().current as Handle; 0 }
    fn cuCtxSetCurrent(context: Handle) { state().current = context as usize; 0 }
    fn cuCtxSynchronize() { state().finish_all(); 0 }
    fn cuGetErrorName(_code: u32, text: *mut *const c_char) { *text = c"CUDA_ERROR_FAKE".as_ptr(); 0 }
    fn cuGetErrorString(_code: u32, text: *mut *const c_char) { *text = c"as the test wants it".as_ptr(); 0 }

    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) { *free = 1000; *total = 64 << 20; 0 }
    fn cuMemAlloc_v2(start: *mut u64, bytes: usize) {
        if bytes > 64 << 20 { return MEMORY; }
        *start = state().allocate(bytes) as u64;
        0
    }
    fn cuMemFree_v2(start: u64) { let mut state = state(); state.finish_all(); state.free(start as usize) }
    fn cuMemHostAlloc(start: *mut Handle, bytes: usize, _flags: c_uint) {
        *start = state().allocate(bytes) as Handle;
        0
    }
    fn cuMemFreeHost(start: Handle) { state().free(start as usize) }
    fn cuMemcpyHtoDAsync_v2(to: u64, from: Handle, bytes: usize, stream: Handle) {
        state().put(stream as usize, Op::Copy { to: to as usize, from: from as usize, bytes });
        0
    }
    fn cuMemcpyDtoHAsync_v2(to: Handle, from: u64, bytes: usize, stream: Handle) {
        state().put(stream as usize, Op::Copy { to: to as usize, from: from as usize, bytes });
        0
    }
    fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, stream: Handle) {
        state().put(stream as usize, Op::Copy { to: to as usize, from: from as usize, bytes });
        0
    }

    fn cuStreamCreate(stream: *mut Handle, _flags: c_uint) {
        let mut state = state();
        let new = state.next();
        state.streams.insert(new, VecDeque::new());
        *stream = new as Handle;
        0
    }
    fn cuStreamDestroy_v2(stream: Handle) {
        let mut state = state();
        state.finish(stream as usize, None);
        if state.streams.remove(&(stream as usize)).is_some() { 0 } else { INVALID }
    }
    fn cuStreamSynchronize(stream: Handle) { state().finish(stream as usize, None); 0 }
    fn cuStreamWaitEvent(stream: Handle, event: Handle, _flags: c_uint) {
        let mut state = state();
        let times = state.events[&(event as usize)].0;
        state.put(stream as usize, Op::Wait(event as usize, times));
        0
    }
    fn cuEventCreate(event: *mut Handle, _flags: c_uint) {
        let mut state = state();
        let new = state.next();
        state.events.insert(new, (0, 0, 0));
        *event = new as Handle;
        0
    }
    fn cuEventDestroy_v2(_event: Handle) { 0 }
    fn cuEventRecord(event: Handle, stream: Handle) {
        let mut state = state();
        let of = state.events.get_mut(&(event as usize)).expect("an event");
        (of.0, of.2) = (of.0 + 1, stream as usize);
        let times = of.0;
        state.put(stream as usize, Op::Mark(event as usize, times));
        0
    }
    fn cuEventQuery(event: Handle) {
        let (recorded, done, _) = state().events[&(event as usize)];
        if done < recorded { NOT_READY } else { 0 }
    }
    fn cuEventSynchronize(event: Handle) {
        let mut state = state();
        let times = state.events[&(event as usize)].0;
        state.wait(event as usize, times);
        0
    }

    fn cuModuleLoadData(module: *mut Handle, image: *const u8) {
        if std::slice::from_raw_parts(image, 5) != b"\x7fFAKE" { return 200; }
        let mut state = state();
        if !state.recording.is_empty() { return CAPTURING; }
        *module = state.next() as Handle;
        0
    }
    fn cuModuleUnload(_module: Handle) { 0 }
    fn cuModuleGetFunction(function: *mut Handle, _module: Handle, _name: *const c_char) {
        let mut state = state();
        if !state.recording.is_empty() { return CAPTURING; }
        *function = state.next() as Handle;
        0
    }
    fn cuFuncSetAttribute(function: Handle, attribute: c_uint, value: c_int) {
        let mut state = state();
        if !state.recording.is_empty() { return CAPTURING; }
        match attribute {
            // The most dynamic shared memory, in bytes; the part of it beside the cache, in per cent.
            8 if value <= 163 << 10 => state.shared.insert(function as usize, value),
            9 if value <= 100 => None,
            _ => return INVALID,
        };
        0
    }
    fn cuLaunchKernel(function: Handle, x: c_uint, y: c_uint, z: c_uint, threads: c_uint, _y: c_uint, _z: c_uint, shared: c_uint,
        stream: Handle, parameters: *mut Handle, _extra: *mut Handle) {
        let mut state = state();
        let most = state.shared.get(&(function as usize)).copied().unwrap_or(0).max(48 << 10);
        if x * y * z == 0 || threads == 0 || threads > 1024 || shared as c_int > most { return INVALID; }
        let argument = (*parameters).cast::<[u64; 4]>().read();
        state.put(stream as usize, Op::Kernel(argument));
        0
    }

    fn cuStreamBeginCapture_v2(stream: Handle, _mode: c_uint) {
        if set("FAKE_CAPTURE").as_deref() == Some("begin") { return CAPTURING; }
        state().recording.insert(stream as usize, Vec::new());
        0
    }
    fn cuStreamEndCapture(stream: Handle, graph: *mut Handle) {
        let mut state = state();
        let Some(ops) = state.recording.remove(&(stream as usize)) else { return INVALID };
        let new = state.next();
        state.graphs.insert(new, ops);
        *graph = new as Handle;
        0
    }
    #[cfg(not(old))]
    fn cuGraphInstantiateWithFlags(made: *mut Handle, graph: Handle, _flags: c_ulonglong) {
        if set("FAKE_CAPTURE").as_deref() == Some("instantiate") { return INVALID; }
        *made = graph;
        0
    }
    fn cuGraphExecDestroy(_graph: Handle) { 0 }
    fn cuGraphDestroy(graph: Handle) { state().graphs.remove(&(graph as usize)); 0 }
    fn cuGraphLaunch(graph: Handle, stream: Handle) {
        let mut state = state();
        for op in state.graphs[&(graph as usize)].clone() { state.put(stream as usize, op); }
        0
    }

    fn nvrtcVersion(major: *mut c_int, minor: *mut c_int) { (*major, *minor) = (12, 6); 0 }
    fn nvrtcGetNumSupportedArchs(count: *mut c_int) { *count = 2; 0 }
    fn nvrtcGetSupportedArchs(known: *mut c_int) { known.write(80); known.add(1).write(87); 0 }
    fn nvrtcCreateProgram(program: *mut Handle, _text: *const c_char, _name: *const c_char, _count: c_int, _headers: Handle, _names: Handle) {
        *program = 1 as Handle;
        0
    }
    fn nvrtcCompileProgram(_program: Handle, _count: c_int, _options: Handle) { 0 }
    fn nvrtcDestroyProgram(_program: *mut Handle) { 0 }
    fn nvrtcGetProgramLogSize(_program: Handle, size: *mut usize) { *size = 1; 0 }
    fn nvrtcGetProgramLog(_program: Handle, log: *mut u8) { *log = 0; 0 }
    fn nvrtcGetPTXSize(_program: Handle, size: *mut usize) { *size = 1; 0 }
    fn nvrtcGetPTX(_program: Handle, ptx: *mut u8) { *ptx = 0; 0 }
    fn nvrtcGetCUBINSize(_program: Handle, size: *mut usize) { *size = 5; 0 }
    fn nvrtcGetCUBIN(_program: Handle, cubin: *mut u8) { std::ptr::copy(b"\x7fFAKE".as_ptr(), cubin, 5); 0 }
}
