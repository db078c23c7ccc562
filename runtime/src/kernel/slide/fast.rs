//! The fast passes: rows are padded, weights packed, and [`tile`](super::tile) or [`lines`](super::lines) does the sums.

use super::{
    Axis, Pair, Slide, lines,
    pack::{pack, pack_turned, pair_up, unpack},
    tile::{self, Grid, Target, Term, Walk},
};
use crate::kernel::{Path, dense::Update, product::Gate};

/// Packed weights begin at a cache line, so that a vector of them does not lie across two.
const LINE: usize = 16;

/// An image with zeros around it.
#[derive(Clone, Copy)]
struct Padded {
    height: usize,
    width: usize,
    top: usize,
    left: usize,
    inner_height: usize,
    inner_width: usize,
    channels: usize,
}

impl Padded {
    /// The input of the window, padded as the window says.
    const fn input(slide: Slide) -> Self {
        let [down, across] = slide.axes;
        Self {
            height: down.input + 2 * down.padding,
            width: across.input + 2 * across.padding,
            top: down.padding,
            left: across.padding,
            inner_height: down.input,
            inner_width: across.input,
            channels: slide.inputs,
        }
    }

    /// The output of the window, with zeros where a pixel of the input looks beyond its places.
    fn output(slide: Slide) -> Self {
        let [down, across] = slide.axes;
        let before = |axis: Axis| axis.size.div_ceil(axis.stride) - 1;
        let len = |axis: Axis| before(axis) + axis.output.max((axis.input - 1 + axis.padding) / axis.stride + 1);
        Self {
            height: len(down),
            width: len(across),
            top: before(down),
            left: before(across),
            inner_height: down.output,
            inner_width: across.output,
            channels: slide.outputs,
        }
    }

    /// Whether there is nothing around it.
    const fn is_plain(self) -> bool {
        self.height == self.inner_height && self.width == self.inner_width
    }

    const fn line(self) -> usize {
        self.width * self.channels
    }

    /// Values, up to a whole cache line.
    const fn len(self) -> usize {
        (self.height * self.line()).next_multiple_of(LINE)
    }

    const fn scratch_len(self) -> usize {
        if self.is_plain() { 0 } else { self.len() }
    }

    /// The row as the kernel reads it: `row` itself, or its copy in `copy`, whose padding is already 0.
    fn of(self, row: &[f32], copy: &mut [f32]) -> *const f32 {
        if self.is_plain() {
            return row.as_ptr();
        }
        let len = self.inner_width * self.channels;
        let lines = copy.chunks_exact_mut(self.line()).skip(self.top);
        for (to, from) in lines.zip(row.chunks_exact(len)) {
            let at = self.left * self.channels;
            if let Some(to) = to.get_mut(at..at + len) {
                to.copy_from_slice(from);
            }
        }
        copy.as_ptr()
    }
}

/// See [`Slide::scratch_len`].
pub(super) fn scratch_len(slide: Slide) -> usize {
    let image = Padded::input(slide).scratch_len().max(Padded::output(slide).scratch_len());
    LINE + 2 * slide.weight_len().next_multiple_of(LINE) + 2 * image
}

/// Room for two packed weights and two padded images; what cannot be had is empty.
fn rooms(slide: Slide, image: Padded, scratch: &mut [f32]) -> ([&mut [f32]; 2], [&mut [f32]; 2]) {
    let skip = scratch.as_ptr().align_offset(4 * LINE).min(LINE);
    let rest = scratch.get_mut(skip..).unwrap_or_default();
    let weights = slide.weight_len().next_multiple_of(LINE);
    let (first, rest) = rest.split_at_mut_checked(weights).unwrap_or_default();
    let (second, rest) = rest.split_at_mut_checked(weights).unwrap_or_default();
    let (one, rest) = rest.split_at_mut_checked(image.scratch_len()).unwrap_or_default();
    let (two, _) = rest.split_at_mut_checked(image.scratch_len()).unwrap_or_default();
    ([first, second], [one, two])
}

/// The fast twin of [`super::scalar::outputs`].
pub(super) fn outputs(
    slide: Slide,
    path: Path,
    pairs: &[Pair<'_>],
    b: &[f32],
    rectified: bool,
    z: &mut [f32],
    scratch: &mut [f32],
) {
    let [down, across] = slide.axes;
    let image = Padded::input(slide);
    let (mut packed, mut copies) = rooms(slide, image, scratch);
    let by_lines = lines::fits(path, slide);
    let paired = is_paired(path, slide, slide.outputs, slide.inputs);
    for (packed, (_, w)) in packed.iter_mut().zip(pairs) {
        pack(path, slide, w, packed);
        if paired {
            pair_up(path, slide.outputs, packed);
        }
    }
    copies.iter_mut().take(pairs.len()).for_each(|copy| copy.fill(0.0));
    let line = image.line();
    let (len, a_step) = taps_along(slide, across.size, slide.inputs);
    let walk = Walk { outer: down.size, a_outer: line, len, a_step, b_step: slide.outputs, paired };
    let grid = Grid {
        height: down.output,
        width: across.output,
        a_line: down.stride * line,
        a_pixel: across.stride * slide.inputs,
        c_line: across.output * slide.outputs,
        c_pixel: slide.outputs,
    };
    let gate = if rectified { Gate::Positive } else { Gate::All };
    for (row, z) in z.chunks_exact_mut(slide.output_len()).enumerate() {
        let mut addends = Addends::default();
        for ((packed, copy), (x, _)) in packed.iter().zip(&mut copies).zip(pairs) {
            addends.push(image.of(row_of(x, row, slide.input_len()), copy), packed.as_ptr());
        }
        let (start, finish) = (Some(b.as_ptr()), Update::Store);
        let target = Target { c: z.as_mut_ptr(), channels: slide.outputs, start, finish, gate };
        // SAFETY: the last place of the window ends within the padded image, whose size and copy come from the same axes; the
        // packed weights hold `outputs` values for each of the taps and inner channels; `z` is one row of the output; `fits` said
        // whether lines will do.
        unsafe {
            if by_lines {
                lines::outputs(path, slide, addends.terms(), line, &target);
            } else {
                tile::slide(path, slide.depthwise, addends.terms(), &walk, &grid, &target);
            }
        }
    }
}

/// Whether a product with so many channels takes its addends, of which a pixel has `addends`, two by two. Of half a vector of channels
/// the other half would be idle; and of one vector of them each value would have to be loaded for a single multiply-add, where two
/// values loaded together serve two vectors.
fn is_paired(path: Path, slide: Slide, channels: usize, addends: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    let long = path.0 == crate::kernel::Kind::Avx512;
    #[cfg(not(target_arch = "x86_64"))]
    let (long, _) = (false, path);
    long && !slide.depthwise && matches!(channels, 8 | 16) && addends.is_multiple_of(2)
}

/// Of `size` taps along a line whose pixels have `channels` values: the addends of one sum, and from one to the next.
const fn taps_along(slide: Slide, size: usize, channels: usize) -> (usize, usize) {
    if slide.depthwise { (size, channels) } else { (size * channels, 1) }
}

/// Row `row` of `len` values.
fn row_of(values: &[f32], row: usize, len: usize) -> &[f32] {
    values.get(row * len..(row + 1) * len).unwrap_or_default()
}

/// One axis of a phase: the pixels of the input that see the same taps, `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Phase {
    /// The first of the pixels, and how many there are.
    pixel: usize,
    count: usize,
    /// The first tap that they see; the others are `stride` apart.
    pub tap: usize,
    pub taps: usize,
    /// Where the first pixel begins to look in the padded output.
    from: usize,
}

impl Phase {
    pub const fn of(axis: Axis, pixel: usize) -> Self {
        let (quotient, tap) = ((pixel + axis.padding) / axis.stride, (pixel + axis.padding) % axis.stride);
        let taps = axis.size.saturating_sub(tap).div_ceil(axis.stride);
        let count = (axis.input - pixel).div_ceil(axis.stride);
        // Tap `tap + j · stride` sees place `quotient − j`: backwards, so the packed weights are turned round.
        Self { pixel, count, tap, taps, from: quotient + axis.size.div_ceil(axis.stride) - taps }
    }
}

/// The fast twin of [`super::scalar::inputs`]: a convolution of the padded `dz` with the weights turned round. With a stride the pixels
/// of the input fall into phases, each of which sees taps of its own, so no multiplication by a zero between places is made.
pub(super) fn inputs(
    slide: Slide,
    path: Path,
    pairs: &[Pair<'_>],
    gate: Option<&[f32]>,
    dx: &mut [f32],
    update: Update,
    scratch: &mut [f32],
) {
    let [down, across] = slide.axes;
    let image = Padded::output(slide);
    let (mut packed, mut copies) = rooms(slide, image, scratch);
    let paired = is_paired(path, slide, slide.inputs, slide.outputs);
    for (packed, (_, w)) in packed.iter_mut().zip(pairs) {
        pack_turned(path, slide, w, packed);
        if paired {
            pair_up(path, slide.inputs, packed);
        }
    }
    copies.iter_mut().take(pairs.len()).for_each(|copy| copy.fill(0.0));
    let line = image.line();
    for (row, dx) in dx.chunks_exact_mut(slide.input_len()).enumerate() {
        let mut addends = Addends::default();
        for ((packed, copy), (dz, _)) in packed.iter().zip(&mut copies).zip(pairs) {
            addends.push(image.of(row_of(dz, row, slide.output_len()), copy), packed.as_ptr());
        }
        for y in 0..down.stride.min(down.input) {
            let vertical = Phase::of(down, y);
            for x in 0..across.stride.min(across.input) {
                let horizontal = Phase::of(across, x);
                let (len, a_step) = taps_along(slide, horizontal.taps, slide.outputs);
                let walk = Walk { outer: vertical.taps, a_outer: line, len, a_step, b_step: slide.inputs, paired };
                let grid = Grid {
                    height: vertical.count,
                    width: horizontal.count,
                    a_line: line,
                    a_pixel: slide.outputs,
                    c_line: down.stride * across.input * slide.inputs,
                    c_pixel: across.stride * slide.inputs,
                };
                let first = (vertical.pixel * across.input + horizontal.pixel) * slide.inputs;
                let gate = gate.map(|gate| row_of(gate, row, slide.input_len()).as_ptr().wrapping_add(first));
                let target = Target {
                    c: dx.as_mut_ptr().wrapping_add(first),
                    channels: slide.inputs,
                    start: None,
                    finish: update,
                    gate: gate.map_or(Gate::All, Gate::Where),
                };
                let from = vertical.from * line + horizontal.from * slide.outputs;
                let here = addends.moved(from);
                // SAFETY: a pixel of the phase looks at `taps` places up to its quotient, which the padded output has on both
                // sides; the packed weights hold `inputs` values for each of its addends; every pixel lies in this row of `dx`.
                unsafe { tile::slide(path, slide.depthwise, here.terms(), &walk, &grid, &target) }
                addends = addends.past(vertical.taps * len * slide.inputs);
            }
        }
    }
}

/// The fast twin of [`super::scalar::weights`]: taps are the pixels of the result now, and places the addends. The sums over rows
/// stay packed until the end.
pub(super) fn weights(
    slide: Slide,
    path: Path,
    rows: usize,
    pairs: &[Pair<'_>],
    dw: &mut [f32],
    update: Update,
    scratch: &mut [f32],
) {
    let [down, across] = slide.axes;
    let image = Padded::input(slide);
    let ([sums, _], mut copies) = rooms(slide, image, scratch);
    copies.iter_mut().take(pairs.len()).for_each(|copy| copy.fill(0.0));
    let line = image.line();
    let walk = Walk {
        outer: down.output,
        a_outer: down.stride * line,
        len: across.output,
        a_step: across.stride * slide.inputs,
        b_step: slide.outputs,
        paired: false,
    };
    let (width, a_pixel) = taps_along(slide, across.size, slide.inputs);
    let (c_line, c_pixel) = (width * slide.outputs, slide.outputs);
    let grid = Grid { height: down.size, width, a_line: line, a_pixel, c_line, c_pixel };
    for row in 0..rows {
        let mut addends = Addends::default();
        for (copy, (dz, x)) in copies.iter_mut().zip(pairs) {
            let dz = row_of(dz, row, slide.output_len());
            addends.push(image.of(row_of(x, row, slide.input_len()), copy), dz.as_ptr());
        }
        let finish = if row == 0 { Update::Store } else { Update::Add(1.0) };
        let (start, gate) = (None, Gate::All);
        let target = Target { c: sums.as_mut_ptr(), channels: slide.outputs, start, finish, gate };
        // SAFETY: the last place of the window ends within the padded image; `dz` is one row of the output; the packed sums hold
        // `outputs` values for each of the taps and inner channels.
        unsafe { tile::slide(path, slide.depthwise, addends.terms(), &walk, &grid, &target) }
    }
    if rows == 0 {
        sums.fill(0.0);
    }
    unpack(path, slide, sums, dw, update);
}

/// Up to two addends, on their way through the packed weights.
#[derive(Clone, Copy)]
struct Addends {
    terms: [Term; 2],
    count: usize,
}

impl Default for Addends {
    fn default() -> Self {
        Self { terms: [Term { a: core::ptr::null(), b: core::ptr::null() }; 2], count: 0 }
    }
}

impl Addends {
    fn push(&mut self, a: *const f32, b: *const f32) {
        if let Some(term) = self.terms.get_mut(self.count) {
            *term = Term { a, b };
            self.count += 1;
        }
    }

    fn terms(&self) -> &[Term] {
        self.terms.get(..self.count).unwrap_or_default()
    }

    /// The same, `by` values further in the images.
    fn moved(self, by: usize) -> Self {
        Self { terms: self.terms.map(|term| Term { a: term.a.wrapping_add(by), ..term }), ..self }
    }

    /// The same, `by` values further in the weights.
    fn past(self, by: usize) -> Self {
        Self { terms: self.terms.map(|term| Term { b: term.b.wrapping_add(by), ..term }), ..self }
    }
}
