//! The fast passes: channels are the lanes, and a few windows side by side go through their taps together.

use super::{Pool, begin, close};
use crate::kernel::{dense::Update, product::some, slide::Axis, vector::Vector};

/// Windows that go through their taps together.
const TOGETHER: usize = 4;

/// What a pass does with the same channels of `M` windows of one line.
trait Pass {
    /// # Safety
    /// The features of `V`; the windows and, where `left` is not 0, that many lanes of them must exist.
    unsafe fn windows<V: Vector, const M: usize>(&mut self, at: Spot, left: usize);
}

/// Where `M` windows lie.
#[derive(Clone, Copy)]
struct Spot {
    /// The first value that the first window sees, and from there to the next window, pixel, and line.
    input: usize,
    window: usize,
    pixel: usize,
    line: usize,
    high: usize,
    wide: usize,
    /// The value of the first window in the output; the others follow, a pixel each.
    output: usize,
}

/// Takes `pass` over all windows and channels.
#[inline(always)]
unsafe fn over<V: Vector, P: Pass>(pool: Pool, [down, across]: [Axis; 2], rows: usize, pass: &mut P) {
    let channels = pool.input.channels;
    // Windows from the first of these to the second lie wholly inside the image.
    let whole = across.padding.div_ceil(across.stride);
    let whole_end = match (across.padding + across.input).checked_sub(across.size) {
        Some(free) => (free / across.stride + 1).min(across.output),
        None => 0,
    };
    let mut output = 0;
    for row in 0..rows {
        for y in 0..down.output {
            let (_, pixel_y, high) = down.inside(y);
            let mut x = 0;
            while x < across.output {
                let (_, pixel_x, wide) = across.inside(x);
                let together = whole <= x && x + TOGETHER <= whole_end;
                let mut at = Spot {
                    input: ((row * down.input + pixel_y) * across.input + pixel_x) * channels,
                    window: across.stride * channels,
                    pixel: channels,
                    line: across.input * channels,
                    high,
                    wide,
                    output,
                };
                let mut rest = channels;
                while rest > 0 {
                    // SAFETY: the windows of a line end within the image, by `inside` and `whole_end`; `rest` channels are left.
                    let done = unsafe {
                        if together {
                            vectors::<V, P, TOGETHER>(pass, at, rest)
                        } else {
                            vectors::<V, P, 1>(pass, at, rest)
                        }
                    };
                    at.input += done;
                    at.output += done;
                    rest -= done;
                }
                let count = if together { TOGETHER } else { 1 };
                x += count;
                output += count * channels;
            }
        }
    }
}

/// The next vector of channels, of which `rest` are left; how many it had.
#[inline(always)]
unsafe fn vectors<V: Vector, P: Pass, const M: usize>(pass: &mut P, at: Spot, rest: usize) -> usize {
    // SAFETY: the caller's contract.
    unsafe {
        if V::LANES > V::Half::LANES && rest >= V::LANES {
            pass.windows::<V, M>(at, 0);
            V::LANES
        } else if rest >= V::Half::LANES {
            pass.windows::<V::Half, M>(at, 0);
            V::Half::LANES
        } else {
            pass.windows::<V::Half, M>(at, rest);
            rest
        }
    }
}

#[inline(always)]
unsafe fn put<V: Vector>(value: V, to: *mut f32, left: usize) {
    // SAFETY: the caller's contract.
    unsafe { if left == 0 { value.store(to) } else { value.store_first(to, left) } }
}

struct MaxForward {
    x: *const f32,
    z: *mut f32,
}

impl Pass for MaxForward {
    #[inline(always)]
    unsafe fn windows<V: Vector, const M: usize>(&mut self, at: Spot, left: usize) {
        // SAFETY: the caller's contract.
        unsafe {
            let mut most = [V::splat(f32::NEG_INFINITY); M];
            for y in 0..at.high {
                for x in 0..at.wide {
                    let from = self.x.add(at.input + y * at.line + x * at.pixel);
                    for (m, most) in most.iter_mut().enumerate() {
                        *most = most.larger(some::<V>(from.add(m * at.window), left));
                    }
                }
            }
            for (m, most) in most.into_iter().enumerate() {
                put(most, self.z.add(at.output + m * at.pixel), left);
            }
        }
    }
}

struct MaxTangent {
    x: *const f32,
    z: *const f32,
    rx: *const f32,
    rz: *mut f32,
}

impl Pass for MaxTangent {
    #[inline(always)]
    unsafe fn windows<V: Vector, const M: usize>(&mut self, at: Spot, left: usize) {
        // SAFETY: the caller's contract.
        unsafe {
            let zero = V::splat(0.0);
            // 1 until the maximum has been met.
            let (mut open, mut sums, mut most) = ([V::splat(1.0); M], [zero; M], [zero; M]);
            for (m, most) in most.iter_mut().enumerate() {
                *most = some(self.z.add(at.output + m * at.pixel), left);
            }
            for y in 0..at.high {
                for x in 0..at.wide {
                    let from = at.input + y * at.line + x * at.pixel;
                    for m in 0..M {
                        let from = from + m * at.window;
                        let below = most[m].sub(some(self.x.add(from), left));
                        let chosen = open[m].unless_positive(below);
                        open[m] = open[m].where_positive(below);
                        sums[m] = sums[m].add(some::<V>(self.rx.add(from), left).where_positive(chosen));
                    }
                }
            }
            for (m, sum) in sums.into_iter().enumerate() {
                put(sum, self.rz.add(at.output + m * at.pixel), left);
            }
        }
    }
}

struct MaxBackward {
    x: *const f32,
    z: *const f32,
    dz: *const f32,
    gate: Option<*const f32>,
    dx: *mut f32,
    factor: f32,
    /// Whether `dx` has a value already.
    adds: bool,
}

impl Pass for MaxBackward {
    #[inline(always)]
    unsafe fn windows<V: Vector, const M: usize>(&mut self, at: Spot, left: usize) {
        // SAFETY: the caller's contract.
        unsafe {
            let zero = V::splat(0.0);
            // The gradient until the maximum has been met, then 0.
            let (mut open, mut most) = ([zero; M], [zero; M]);
            for m in 0..M {
                let from = at.output + m * at.pixel;
                most[m] = some(self.z.add(from), left);
                open[m] = some::<V>(self.dz.add(from), left).mul(V::splat(self.factor));
            }
            for y in 0..at.high {
                for x in 0..at.wide {
                    let from = at.input + y * at.line + x * at.pixel;
                    for m in 0..M {
                        let from = from + m * at.window;
                        let below = most[m].sub(some(self.x.add(from), left));
                        let mut taken = open[m].unless_positive(below);
                        open[m] = open[m].where_positive(below);
                        if let Some(gate) = self.gate {
                            taken = taken.where_positive(some(gate.add(from), left));
                        }
                        let to = self.dx.add(from);
                        put(if self.adds { taken.add(some(to, left)) } else { taken }, to, left);
                    }
                }
            }
        }
    }
}

struct AverageForward {
    x: *const f32,
    z: *mut f32,
    share: f32,
}

impl Pass for AverageForward {
    #[inline(always)]
    unsafe fn windows<V: Vector, const M: usize>(&mut self, at: Spot, left: usize) {
        // SAFETY: the caller's contract.
        unsafe {
            let mut sums = [V::splat(0.0); M];
            for y in 0..at.high {
                for x in 0..at.wide {
                    let from = self.x.add(at.input + y * at.line + x * at.pixel);
                    for (m, sum) in sums.iter_mut().enumerate() {
                        *sum = sum.add(some::<V>(from.add(m * at.window), left));
                    }
                }
            }
            for (m, sum) in sums.into_iter().enumerate() {
                put(sum.mul(V::splat(self.share)), self.z.add(at.output + m * at.pixel), left);
            }
        }
    }
}

struct AverageBackward {
    dz: *const f32,
    dx: *mut f32,
    share: f32,
    /// Whether `dx` has a value already.
    adds: bool,
}

impl Pass for AverageBackward {
    #[inline(always)]
    unsafe fn windows<V: Vector, const M: usize>(&mut self, at: Spot, left: usize) {
        // SAFETY: the caller's contract.
        unsafe {
            let mut shares = [V::splat(0.0); M];
            for (m, share) in shares.iter_mut().enumerate() {
                *share = some::<V>(self.dz.add(at.output + m * at.pixel), left).mul(V::splat(self.share));
            }
            for y in 0..at.high {
                for x in 0..at.wide {
                    let from = at.input + y * at.line + x * at.pixel;
                    for (m, share) in shares.iter().enumerate() {
                        let to = self.dx.add(from + m * at.window);
                        put(if self.adds { share.add(some(to, left)) } else { *share }, to, left);
                    }
                }
            }
        }
    }
}

/// The fast twin of [`super::max_forward`]; as all below it needs the features of `V` and the lengths that its twin checks.
#[inline(always)]
pub(super) unsafe fn max_forward_fast<V: Vector>(pool: Pool, axes: [Axis; 2], rows: usize, x: &[f32], z: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe { over::<V, _>(pool, axes, rows, &mut MaxForward { x: x.as_ptr(), z: z.as_mut_ptr() }) }
}

#[inline(always)]
pub(super) unsafe fn max_tangent_fast<V: Vector>(
    pool: Pool,
    axes: [Axis; 2],
    rows: usize,
    x: &[f32],
    z: &[f32],
    rx: &[f32],
    rz: &mut [f32],
) {
    let mut pass = MaxTangent { x: x.as_ptr(), z: z.as_ptr(), rx: rx.as_ptr(), rz: rz.as_mut_ptr() };
    // SAFETY: the caller's contract.
    unsafe { over::<V, _>(pool, axes, rows, &mut pass) }
}

#[inline(always)]
pub(super) unsafe fn max_backward_fast<V: Vector>(
    pool: Pool,
    axes: [Axis; 2],
    rows: usize,
    x: &[f32],
    z: &[f32],
    dz: &[f32],
    gate: Option<&[f32]>,
    dx: &mut [f32],
    update: Update,
) {
    // Where each pixel is written exactly once it need not be cleared first.
    let adds = update != Update::Store || !pool.is_tiling();
    let factor = if adds { begin(update, dx) } else { 1.0 };
    let (x, z, dz, gate_at) = (x.as_ptr(), z.as_ptr(), dz.as_ptr(), gate.map(<[f32]>::as_ptr));
    let mut pass = MaxBackward { x, z, dz, gate: gate_at, dx: dx.as_mut_ptr(), factor, adds };
    // SAFETY: the caller's contract.
    unsafe { over::<V, _>(pool, axes, rows, &mut pass) }
    if update != Update::Store {
        close(gate, dx);
    }
}

#[inline(always)]
pub(super) unsafe fn average_forward_fast<V: Vector>(
    pool: Pool,
    axes: [Axis; 2],
    rows: usize,
    x: &[f32],
    z: &mut [f32],
) {
    let mut pass = AverageForward { x: x.as_ptr(), z: z.as_mut_ptr(), share: pool.share() };
    // SAFETY: the caller's contract.
    unsafe { over::<V, _>(pool, axes, rows, &mut pass) }
}

#[inline(always)]
pub(super) unsafe fn average_backward_fast<V: Vector>(
    pool: Pool,
    axes: [Axis; 2],
    rows: usize,
    dz: &[f32],
    dx: &mut [f32],
    update: Update,
) {
    let adds = update != Update::Store || !pool.is_tiling();
    let share = pool.share() * if adds { begin(update, dx) } else { 1.0 };
    let mut pass = AverageBackward { dz: dz.as_ptr(), dx: dx.as_mut_ptr(), share, adds };
    // SAFETY: the caller's contract.
    unsafe { over::<V, _>(pool, axes, rows, &mut pass) }
}
