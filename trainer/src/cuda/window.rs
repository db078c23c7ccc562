//! What slides over images: convolutions, dense layers as convolutions of one pixel, pools. `window.cuh` has the other half.

use bytemuck::{Pod, Zeroable};
use sinew_models::layout::PlacedLayer;
use sinew_models::spec::{Layer, Shape, Window};

/// The geometry of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Geometry {
    height: u32,
    width: u32,
    channels: u32,
    out_height: u32,
    out_width: u32,
    outputs: u32,
    lines: u32,
    columns: u32,
    stride: [u32; 2],
    padding: [u32; 2],
}

impl Geometry {
    /// That of a layer; of one in which nothing slides, that of a single pixel.
    pub fn of(layer: &PlacedLayer) -> Self {
        let whole = |shape: Shape| Self::new(shape, layer.output, [shape.height, shape.width], [1; 2], [0; 2]);
        let slid = |Window { size, stride, padding }: Window| {
            Self::new(layer.input, layer.output, size.map(usize::from), stride.map(u32::from), padding.map(u32::from))
        };
        match layer.layer {
            Layer::Convolution { window, .. }
            | Layer::Depthwise { window, .. }
            | Layer::MaxPool { window }
            | Layer::AveragePool { window } => slid(window),
            Layer::GlobalAveragePool => whole(layer.input),
            _ => {
                let [input, output] = [layer.inputs(), layer.outputs()].map(Shape::vector);
                Self::new(input, output, [1; 2], [1; 2], [0; 2])
            }
        }
    }

    // A checked network has no shape that does not fit 32 bits.
    fn new(input: Shape, output: Shape, size: [usize; 2], stride: [u32; 2], padding: [u32; 2]) -> Self {
        let [height, width, channels] = [input.height, input.width, input.channels].map(|value| value as u32);
        let [out_height, out_width, outputs] = [output.height, output.width, output.channels].map(|value| value as u32);
        let [lines, columns] = size.map(|value| value as u32);
        Self { height, width, channels, out_height, out_width, outputs, lines, columns, stride, padding }
    }

    /// Pixels of the input.
    pub const fn in_pixels(&self) -> usize {
        self.height as usize * self.width as usize
    }

    /// Pixels of the output.
    pub const fn out_pixels(&self) -> usize {
        self.out_height as usize * self.out_width as usize
    }

    /// Channels of the input.
    pub const fn channels(&self) -> usize {
        self.channels as usize
    }

    /// Channels of the output.
    pub const fn outputs(&self) -> usize {
        self.outputs as usize
    }

    /// Pixels of the window.
    pub const fn window(&self) -> usize {
        self.lines as usize * self.columns as usize
    }
}
