//! Where every tensor of a network lies in its one flat parameter vector.
//!
//! Layers come in the order backbone, then head after head; of each layer the weight and then the bias.

use heapless::String;

use crate::spec::{Activation, Layer, MAX_BACKBONE, MAX_HEAD_LAYERS, MAX_NAME, NetworkSpec, Shape};

/// Longest name of a tensor: `heads.` + name + `.` + digit + `.context`.
pub const MAX_TENSOR_NAME: usize = MAX_NAME + 16;

/// The indices of layers, written one behind the other.
const INDICES: &str = "0123456789101112131415";

// In a head an index is one digit, or the longest name would be longer.
const _: () = assert!(MAX_HEAD_LAYERS <= 10 && INDICES.len() == 2 * MAX_BACKBONE - 10);

/// The name of a tensor.
pub type TensorName = String<MAX_TENSOR_NAME>;

/// Which part of the network a layer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The shared layers.
    Backbone,
    /// The layers of the head with this index.
    Head(usize),
}

/// One layer, with its place in the flat parameter vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedLayer {
    /// Backbone or head.
    pub place: Place,
    /// Which layer of the backbone or of the head.
    pub index: usize,
    /// What it does.
    pub layer: Layer,
    /// What comes in.
    pub input: Shape,
    /// What comes out.
    pub output: Shape,
    /// Where its weight begins; the bias follows it.
    pub offset: usize,
}

impl PlacedLayer {
    /// Values in.
    pub const fn inputs(&self) -> usize {
        self.input.len()
    }

    /// Values out.
    pub const fn outputs(&self) -> usize {
        self.output.len()
    }

    /// What follows the sum.
    pub const fn activation(&self) -> Activation {
        self.layer.activation()
    }

    /// Values of the weight, or of the context.
    pub const fn weight_len(&self) -> usize {
        self.layer.weight_len(self.input)
    }

    /// Values of the bias.
    pub const fn bias_len(&self) -> usize {
        self.layer.bias_len(self.input)
    }

    /// Values of the weight and the bias.
    pub const fn param_len(&self) -> usize {
        self.weight_len() + self.bias_len()
    }
}

impl Layer {
    /// Whether it is a context.
    pub const fn is_context(&self) -> bool {
        #[cfg(feature = "layers")]
        let context = matches!(self, Layer::Context { .. });
        #[cfg(not(feature = "layers"))]
        let context = false;
        context
    }

    /// Values of the weight, or of the context, for such an input.
    pub const fn weight_len(&self, input: Shape) -> usize {
        match *self {
            Layer::Dense { outputs, .. } => outputs * input.len(),
            #[cfg(feature = "layers")]
            Layer::Convolution { outputs, window, .. } => {
                outputs * input.channels * window.size[0] as usize * window.size[1] as usize
            }
            #[cfg(feature = "layers")]
            Layer::Depthwise { window, .. } => input.channels * window.size[0] as usize * window.size[1] as usize,
            #[cfg(feature = "layers")]
            Layer::LayerNorm { .. } => input.channels,
            #[cfg(feature = "layers")]
            Layer::Context { len } => len,
            #[cfg(feature = "layers")]
            Layer::MaxPool { .. }
            | Layer::AveragePool { .. }
            | Layer::GlobalAveragePool
            | Layer::Residual { .. }
            | Layer::Flatten
            | Layer::Mixture { .. } => 0,
        }
    }

    /// Values of the bias, for such an input.
    pub const fn bias_len(&self, input: Shape) -> usize {
        // Not used where there are dense layers alone.
        let _ = input;
        match *self {
            Layer::Dense { outputs, .. } => outputs,
            #[cfg(feature = "layers")]
            Layer::Convolution { outputs, .. } => outputs,
            #[cfg(feature = "layers")]
            Layer::Depthwise { .. } | Layer::LayerNorm { .. } => input.channels,
            #[cfg(feature = "layers")]
            Layer::MaxPool { .. }
            | Layer::AveragePool { .. }
            | Layer::GlobalAveragePool
            | Layer::Residual { .. }
            | Layer::Flatten
            | Layer::Context { .. }
            | Layer::Mixture { .. } => 0,
        }
    }
}

/// Which tensor of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The weight.
    Weight,
    /// The bias.
    Bias,
    /// The values that a context adds.
    Context,
}

/// One tensor of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot<'a> {
    /// Which of all layers it belongs to, counted through backbone and heads.
    pub layer: usize,
    /// The layer.
    pub placed: PlacedLayer,
    /// Which tensor of the layer.
    pub part: Part,
    /// The head's name; empty in the backbone.
    head: &'a str,
}

impl Slot<'_> {
    /// Its name in a bundle, in PyTorch's manner: `backbone.0.weight`, `heads.energy.0.bias`.
    pub fn name(&self) -> TensorName {
        let mut name = TensorName::new();
        // Pushed by hand, because `write!` would bring `core::fmt` onto a microcontroller. The capacity holds the longest
        // head name and an index of one digit, so that no push can fail.
        for text in self.name_parts() {
            let pushed = name.push_str(text);
            debug_assert!(pushed.is_ok());
        }
        name
    }

    /// What its name is made of.
    pub fn name_parts(&self) -> [&str; 5] {
        let (place, head, point) = match self.placed.place {
            Place::Backbone => ("backbone.", "", ""),
            Place::Head(_) => ("heads.", self.head, "."),
        };
        let index = self.placed.index;
        let (from, digits) = if index < 10 { (index, 1) } else { (2 * index - 10, 2) };
        let index = INDICES.get(from..from + digits).unwrap_or_default();
        let part = match self.part {
            Part::Weight => ".weight",
            Part::Bias => ".bias",
            Part::Context => ".context",
        };
        [place, head, point, index, part]
    }

    /// Where its values begin in the flat parameter vector.
    pub const fn offset(&self) -> usize {
        match self.part {
            Part::Weight | Part::Context => self.placed.offset,
            Part::Bias => self.placed.offset + self.placed.weight_len(),
        }
    }

    /// How many values it has.
    pub const fn len(&self) -> usize {
        match self.part {
            Part::Weight if self.placed.layer.is_context() => 0,
            Part::Context if !self.placed.layer.is_context() => 0,
            Part::Weight | Part::Context => self.placed.weight_len(),
            Part::Bias => self.placed.bias_len(),
        }
    }

    /// Whether it has no values; a checked network has no such tensor among its [`NetworkSpec::slots`].
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its shape, as [`Layer`] says and PyTorch has it.
    pub fn shape(&self) -> heapless::Vec<usize, 4> {
        let placed = &self.placed;
        #[cfg(feature = "layers")]
        let channels = placed.input.channels;
        #[cfg(feature = "layers")]
        let kernel = |outputs: usize, inputs: usize, [height, width]: [u8; 2]| {
            heapless::Vec::from_array([outputs, inputs, height.into(), width.into()])
        };
        match (self.part, placed.layer) {
            (Part::Weight, Layer::Dense { outputs, .. }) => {
                heapless::Vec::from_slice(&[outputs, placed.inputs()]).unwrap_or_default()
            }
            #[cfg(feature = "layers")]
            (Part::Weight, Layer::Convolution { outputs, window, .. }) => kernel(outputs, channels, window.size),
            #[cfg(feature = "layers")]
            (Part::Weight, Layer::Depthwise { window, .. }) => kernel(channels, 1, window.size),
            _ => heapless::Vec::from_slice(&[self.len()]).unwrap_or_default(),
        }
    }
}

impl NetworkSpec {
    /// All layers in the order of the flat parameter vector.
    pub fn layers(&self) -> impl Iterator<Item = PlacedLayer> + '_ {
        let input = self.input.presented();
        Layers { network: self, place: Place::Backbone, index: 0, input, features: input, offset: 0 }
    }

    /// All tensors in the order of the flat parameter vector.
    pub fn slots(&self) -> impl Iterator<Item = Slot<'_>> + '_ {
        self.layers().enumerate().flat_map(|(layer, placed)| {
            let parts = [Part::Weight, Part::Context, Part::Bias];
            parts.map(|part| self.slot(layer, placed, part)).into_iter().filter(|slot| !slot.is_empty())
        })
    }

    /// One tensor of a layer, which may have no values.
    pub fn slot(&self, layer: usize, placed: PlacedLayer, part: Part) -> Slot<'_> {
        let head = match placed.place {
            Place::Backbone => "",
            Place::Head(head) => self.heads.get(head).map_or("", |head| head.name.as_str()),
        };
        Slot { layer, placed, part, head }
    }

    /// Values in the flat parameter vector.
    pub fn param_len(&self) -> usize {
        self.layers().map(|layer| layer.param_len()).sum()
    }
}

/// Walks through the layers. Written out, because the same by `chain` and `flat_map` takes a microcontroller twice the flash.
struct Layers<'a> {
    network: &'a NetworkSpec,
    /// Where the next layer is, if it is not the end there.
    place: Place,
    index: usize,
    input: Shape,
    /// What the backbone has made so far.
    features: Shape,
    offset: usize,
}

impl Iterator for Layers<'_> {
    type Item = PlacedLayer;

    #[inline(never)]
    fn next(&mut self) -> Option<PlacedLayer> {
        loop {
            let layers: &[Layer] = match self.place {
                Place::Backbone => &self.network.backbone,
                Place::Head(head) => &self.network.heads.get(head)?.layers,
            };
            let Some(&layer) = layers.get(self.index) else {
                self.place = match self.place {
                    Place::Backbone => Place::Head(0),
                    Place::Head(head) => Place::Head(head + 1),
                };
                self.index = 0;
                self.input = self.features;
                continue;
            };
            let &mut Layers { place, index, input, offset, .. } = self;
            let output = layer.output(input)?;
            let placed = PlacedLayer { place, index, layer, input, output, offset };
            self.index += 1;
            self.input = output;
            if place == Place::Backbone {
                self.features = output;
            }
            self.offset += placed.param_len();
            return Some(placed);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::networks;
    use crate::spec::{Activation, Head, InputForm, Layer, Loss, Name};

    #[test]
    fn slots_tile_the_flat_vector() {
        let mut network =
            networks::mlp(3, InputForm::Both, &[5, 4], Activation::Relu, "a", 2, Loss::MeanSquared).unwrap();
        let layers = [
            Layer::Dense { outputs: 7, activation: Activation::Silu },
            Layer::Dense { outputs: 1, activation: Activation::Identity },
        ];
        network
            .heads
            .push(Head {
                name: Name::try_from("a_name_of_24_characters_").unwrap(),
                layers: heapless::Vec::from_slice(&layers).unwrap(),
                loss: Loss::BinaryCrossEntropy,
                weight: 0.5,
            })
            .unwrap();
        let mut end = 0;
        for slot in network.slots() {
            assert_eq!(slot.offset(), end);
            assert_eq!(slot.shape().iter().product::<usize>(), slot.len());
            end += slot.len();
        }
        assert_eq!(end, network.param_len());
        assert_eq!(end, (6 * 5 + 5) + (5 * 4 + 4) + (4 * 2 + 2) + (4 * 7 + 7) + (7 + 1));
        let name = |index: usize| network.slots().nth(index).unwrap().name();
        assert_eq!(name(0), "backbone.0.weight");
        assert_eq!(name(3), "backbone.1.bias");
        assert_eq!(name(4), "heads.a.0.weight");
        assert_eq!(name(8), "heads.a_name_of_24_characters_.1.weight");
        assert_eq!(network.output_len(), 3);
    }
}
