//! Where every tensor of a network lies in its one flat parameter vector.
//!
//! Layers come in the order backbone, then head after head; of each layer the weight and then the bias.

use heapless::String;

use crate::spec::{Activation, Layer, MAX_BACKBONE, MAX_HEAD_LAYERS, MAX_NAME, NetworkSpec};

/// Longest name of a tensor: `heads.` + name + `.` + digit + `.weight`.
pub const MAX_TENSOR_NAME: usize = MAX_NAME + 16;

// An index is written as one digit.
const _: () = assert!(MAX_BACKBONE <= 10 && MAX_HEAD_LAYERS <= 10);

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
    /// Values in.
    pub inputs: usize,
    /// Values out.
    pub outputs: usize,
    /// What follows the sum.
    pub activation: Activation,
    /// Where its weight, of `outputs · inputs` values, begins; the bias follows it.
    pub offset: usize,
}

impl PlacedLayer {
    /// Values of the weight.
    pub const fn weight_len(&self) -> usize {
        self.inputs * self.outputs
    }

    /// Values of the weight and the bias.
    pub const fn param_len(&self) -> usize {
        self.weight_len() + self.outputs
    }
}

/// Weight or bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `[outputs, inputs]`
    Weight,
    /// `[outputs]`
    Bias,
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
        let mut push = |text: &str| {
            let pushed = name.push_str(text);
            debug_assert!(pushed.is_ok());
        };
        match self.placed.place {
            Place::Backbone => push("backbone."),
            Place::Head(_) => {
                push("heads.");
                push(self.head);
                push(".");
            }
        }
        push(core::str::from_utf8(&[b'0' + self.placed.index as u8]).unwrap_or_default());
        push(match self.part {
            Part::Weight => ".weight",
            Part::Bias => ".bias",
        });
        name
    }

    /// Where its values begin in the flat parameter vector.
    pub const fn offset(&self) -> usize {
        match self.part {
            Part::Weight => self.placed.offset,
            Part::Bias => self.placed.offset + self.placed.weight_len(),
        }
    }

    /// How many values it has.
    pub const fn len(&self) -> usize {
        match self.part {
            Part::Weight => self.placed.weight_len(),
            Part::Bias => self.placed.outputs,
        }
    }

    /// Always false: a checked network has no empty tensor.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its shape: `[outputs, inputs]` or `[outputs]`, in the first `rank` places.
    pub fn shape(&self) -> heapless::Vec<usize, 2> {
        let mut shape = heapless::Vec::new();
        let _ = shape.push(self.placed.outputs);
        if self.part == Part::Weight {
            let _ = shape.push(self.placed.inputs);
        }
        shape
    }
}

impl NetworkSpec {
    /// All layers in the order of the flat parameter vector.
    pub fn layers(&self) -> impl Iterator<Item = PlacedLayer> + '_ {
        Layers { network: self, place: Place::Backbone, index: 0, inputs: self.input.presented_len(), offset: 0 }
    }

    /// All tensors in the order of the flat parameter vector.
    pub fn slots(&self) -> impl Iterator<Item = Slot<'_>> + '_ {
        let mut layers = self.layers().enumerate();
        let mut bias = None;
        core::iter::from_fn(move || {
            if let Some(bias) = bias.take() {
                return Some(bias);
            }
            let (layer, placed) = layers.next()?;
            let head = match placed.place {
                Place::Backbone => "",
                Place::Head(head) => self.heads[head].name.as_str(),
            };
            bias = Some(Slot { layer, placed, part: Part::Bias, head });
            Some(Slot { layer, placed, part: Part::Weight, head })
        })
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
    inputs: usize,
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
            let Some(&Layer::Dense { outputs, activation }) = layers.get(self.index) else {
                self.place = match self.place {
                    Place::Backbone => Place::Head(0),
                    Place::Head(head) => Place::Head(head + 1),
                };
                self.index = 0;
                self.inputs = self.network.feature_len();
                continue;
            };
            let &mut Layers { place, index, inputs, offset, .. } = self;
            let placed = PlacedLayer { place, index, inputs, outputs, activation, offset };
            self.index += 1;
            self.inputs = outputs;
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
