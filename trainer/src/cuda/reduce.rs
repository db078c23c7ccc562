//! Launches of `reduce.cu`: sums over parts and over tasks.

use bytemuck::{Pod, Zeroable};

use super::{Address, Kernel, Launch, PerTask, blocks};

const THREADS: usize = 256;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Parts {
    parts: Address,
    to: Address,
    stride: u64,
    count: u32,
    tasks: u32,
    len: u32,
    add: u32,
}

/// `to (+)=` the sum over `[count, tasks, len]` parts.
pub fn parts(parts: Address, count: usize, tasks: usize, len: usize, to: PerTask, add: bool) -> Launch {
    let (to, stride) = (to.at, to.stride as u64);
    let [count, of, words] = [count, tasks, len].map(|value| value as u32);
    let arguments = Parts { parts, to, stride, count, tasks: of, len: words, add: add.into() };
    Launch::new(Kernel::Parts, [blocks(len, THREADS), of, 1], THREADS as u32, &arguments)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Mean {
    parts: Address,
    to: [Address; 2],
    stride: u64,
    tasks: u32,
    len: u32,
    split: u32,
    share: f32,
}

/// `share` times the sum over tasks of values that lie `parts.stride` apart: the first of them to the first place, those behind to the
/// second, as many as `lens` says.
pub fn mean(parts: PerTask, tasks: usize, lens: [usize; 2], share: f32, to: [Address; 2]) -> Launch {
    let len = lens[0] + lens[1];
    let [of, words, split] = [tasks, len, lens[0]].map(|value| value as u32);
    let arguments = Mean { parts: parts.at, to, stride: parts.stride as u64, tasks: of, len: words, split, share };
    Launch::new(Kernel::Mean, [blocks(len, 32), 1, 1], THREADS as u32, &arguments)
}
