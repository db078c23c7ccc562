//! Writes a bundle as the trainer does.

use core::fmt::Write;

use sinew_models::bundle::{
    FORMAT, INPUT_MEAN, INPUT_RELATIVE_SCALE, INPUT_SCALE, LOSS_CONSTANTS, MAX_METADATA, METADATA_KEY, Metadata,
    OUTPUT_MEAN, OUTPUT_SCALE, RULE_RATE,
};
use sinew_models::rule::Domain;
use sinew_models::spec::Loss;

use crate::draw::{Numbers, Parts};

/// A file that is being written: its header, then its data.
struct File {
    header: String,
    data: Vec<u8>,
    /// How many numbers there are.
    numbers: usize,
}

impl File {
    /// A tensor with the values that `value` gives, one after another; `parts` says which are odd.
    fn tensor(
        &mut self,
        parts: &Parts,
        name: &str,
        shape: &[usize],
        halves: bool,
        mut value: impl FnMut(Option<f32>) -> f32,
    ) {
        let begin = self.data.len();
        for _ in 0..shape.iter().product() {
            let bytes = value(parts.odd_at(self.numbers)).to_le_bytes();
            // The upper half of an f32 is a BF16.
            self.data.extend_from_slice(if halves { &bytes[2..] } else { &bytes });
            self.numbers += 1;
        }
        let (dtype, end) = (if halves { "BF16" } else { "F32" }, self.data.len());
        write!(self.header, r#","{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#)
            .unwrap();
    }
}

impl Parts {
    /// The bundle, as [`sinew_runtime::Bundle::parse`] takes it.
    pub fn bytes(&mut self) -> Vec<u8> {
        let mut file = File { header: String::new(), data: Vec::new(), numbers: 0 };
        let metadata = Metadata { format: FORMAT, network: self.network.clone(), rule: self.rule.clone() };
        let mut text = [0; MAX_METADATA];
        let len = serde_json_core::to_slice(&metadata, &mut text).unwrap();
        write!(file.header, r#"{{"__metadata__":{{"{METADATA_KEY}":""#).unwrap();
        for &byte in &text[..len] {
            if matches!(byte, b'"' | b'\\') {
                file.header.push('\\');
            }
            file.header.push(char::from(byte));
        }
        write!(file.header, "\"}}").unwrap();

        let mut numbers = core::mem::replace(&mut self.numbers, Numbers::new(0));
        for slot in self.network.slots() {
            file.tensor(self, &slot.name(), &slot.shape(), self.halves, |odd| {
                odd.unwrap_or_else(|| numbers.next_value())
            });
        }
        let mut constants = self
            .network
            .heads
            .iter()
            .flat_map(|head| [head.weight, if let Loss::Huber { delta } = head.loss { delta } else { 0.0 }]);
        let heads = self.network.heads.len();
        file.tensor(self, LOSS_CONSTANTS, &[heads, 2], false, |_| constants.next().unwrap_or_default());
        for tensor in self.rule.tensors(&self.network) {
            let (mut index, columns) = (0_usize, tensor.shape.last().copied().unwrap_or(1));
            file.tensor(self, tensor.name, &tensor.shape, false, |odd| {
                let place = index;
                index += 1;
                let value = numbers.next_value();
                let usual = match tensor.domain {
                    Domain::Finite if tensor.name == RULE_RATE => self.rate * (1.0 + 0.5 * value),
                    Domain::Finite => value,
                    Domain::Positive => 1.25 + value,
                    Domain::BelowOne => 0.45 + 0.45 * value,
                    Domain::UpToOne => 0.875 + 0.125 * value,
                    Domain::Factor if place.is_multiple_of(columns + 1) => 1.25 + value,
                    Domain::Factor => value,
                };
                odd.filter(|odd| tensor.domain.has(*odd, place, columns)).unwrap_or(usual)
            });
        }
        let (inputs, outputs) = (self.network.input.len, self.rule.output_len(&self.network));
        for (name, len) in [(INPUT_MEAN, inputs), (OUTPUT_MEAN, outputs)] {
            file.tensor(self, name, &[len], false, |odd| odd.unwrap_or_else(|| numbers.next_value()));
        }
        for (name, len) in [(INPUT_SCALE, inputs), (INPUT_RELATIVE_SCALE, inputs), (OUTPUT_SCALE, outputs)] {
            file.tensor(self, name, &[len], false, |odd| {
                odd.map_or_else(|| 1.25 + numbers.next_value(), |odd| odd.abs().max(1e-45))
            });
        }
        write!(file.header, "}}").unwrap();
        [&(file.header.len() as u64).to_le_bytes(), file.header.as_bytes(), &file.data].concat()
    }
}
