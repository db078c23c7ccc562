extern crate std;
use std::{format, string::String, vec, vec::Vec};

use super::view::Dtype;
use super::*;
use half::{bf16, f16};
use proptest::prelude::*;
use sinew_models::bundle::{FORMAT, MAX_METADATA, Metadata, RULE_RATE};
use sinew_models::layout::{Part, Place};
use sinew_models::networks;
use sinew_models::rule::{Rate, RuleError, Scope};
use sinew_models::spec::{Activation, Head, InputForm, Layer, Name, SpecError};

/// A tensor as a writer has it.
#[derive(Clone)]
struct Tensor {
    name: String,
    dtype: &'static str,
    shape: String,
    bytes: Vec<u8>,
}

/// What a bundle is written from; a test breaks one part of it.
#[derive(Clone)]
struct Parts {
    metadata: String,
    tensors: Vec<Tensor>,
}

fn network() -> NetworkSpec {
    let mut network = networks::mlp(2, InputForm::Both, &[3], Activation::Tanh, "slip", 1, Loss::BinaryCrossEntropy);
    let network = network.as_mut().unwrap();
    let layers = [Layer::Dense { outputs: 2, activation: Activation::Identity }];
    let layers = heapless::Vec::from_slice(&layers).unwrap();
    let name = Name::try_from("energy").unwrap();
    network.heads.push(Head { name, layers, loss: Loss::Huber { delta: 0.5 }, weight: 0.25 }).unwrap();
    network.clone()
}

fn rule(rate: Rate) -> Rule {
    Rule::Gradient { steps: 2, rate, scope: Scope::Heads, momentum: false, rows: 0 }
}

/// Values that f16 and bf16 hold exactly.
fn parameters() -> Vec<f32> {
    (0..network().param_len()).map(|index| (index as f32 - 7.0) / 8.0).collect()
}

fn bytes_of(dtype: &str, values: &[f32]) -> Vec<u8> {
    match dtype {
        "F16" => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
        "BF16" => values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
}

fn parts(rate: Rate, dtype: &'static str) -> Parts {
    let (network, rule) = (network(), rule(rate));
    let tensor = |name: &str, shape: &[usize], values: &[f32]| Tensor {
        name: name.into(),
        dtype,
        shape: format!("{shape:?}"),
        bytes: bytes_of(dtype, values),
    };
    let parameters = parameters();
    let mut tensors: Vec<Tensor> = network
        .slots()
        .map(|slot| tensor(&slot.name(), &slot.shape(), &parameters[slot.offset()..][..slot.len()]))
        .collect();
    let rate_shape = match rate {
        Rate::PerLayerStep => vec![2, 3],
        _ => vec![rule.rate_len(&network)],
    };
    let rates: Vec<f32> = (0..rule.rate_len(&network)).map(|index| index as f32 / 4.0).collect();
    tensors.extend([
        tensor(LOSS_CONSTANTS, &[2, 2], &[1.0, 0.0, 0.25, 0.5]),
        tensor(RULE_RATE, &rate_shape, &rates),
        tensor(INPUT_MEAN, &[2], &[1.0, -1.0]),
        tensor(INPUT_SCALE, &[2], &[0.5, 2.0]),
        tensor(INPUT_RELATIVE_SCALE, &[2], &[0.25, 4.0]),
        tensor(OUTPUT_MEAN, &[3], &[0.0, 3.0, 4.0]),
        tensor(OUTPUT_SCALE, &[3], &[1.0, 8.0, 0.125]),
    ]);
    let metadata = serde_json::to_string(&Metadata { format: FORMAT, network, rule }).unwrap();
    Parts { metadata, tensors }
}

impl Parts {
    fn header(&self) -> String {
        let mut begin = 0;
        let mut entries = vec![format!(
            r#""__metadata__":{{"other":"x","sinew":{}}}"#,
            serde_json::to_string(&self.metadata).unwrap()
        )];
        for Tensor { name, dtype, shape, bytes } in &self.tensors {
            let end = begin + bytes.len();
            entries.push(format!(r#"{name:?}:{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#));
            begin = end;
        }
        format!("{{{}}}", entries.join(","))
    }

    fn data(&self) -> Vec<u8> {
        self.tensors.iter().flat_map(|tensor| tensor.bytes.clone()).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        file(&self.header(), &self.data())
    }

    fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap()
    }
}

fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn good() -> Parts {
    parts(Rate::PerLayerStep, "F32")
}

fn values(view: View<'_>) -> Vec<f32> {
    let mut values = vec![f32::NAN; view.len()];
    view.copy_to(&mut values).unwrap();
    let one_by_one: Vec<f32> = (0..).map_while(|index| view.get(index)).collect();
    assert_eq!(values, one_by_one);
    assert!(!view.is_empty() && view.copy_to(&mut [0.0; 50]).is_err());
    values
}

/// All that a bundle says is what [`parts`] wrote.
fn agrees(bytes: &[u8], rate: Rate) {
    let bundle = Bundle::parse(bytes).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((bundle.network(), bundle.rule()), (&network(), &rule(rate)));
    let mut loaded = vec![f32::NAN; network().param_len()];
    bundle.load_parameters(&mut loaded).unwrap();
    assert_eq!(loaded, parameters());
    let rates: Vec<f32> = (0..rule(rate).rate_len(&network())).map(|index| index as f32 / 4.0).collect();
    assert_eq!(bundle.numbers().flat_map(values).collect::<Vec<_>>(), rates);
    assert_eq!(values(bundle.input_mean()), [1.0, -1.0]);
    assert_eq!(values(bundle.input_scale()), [0.5, 2.0]);
    assert_eq!(values(bundle.input_relative_scale()), [0.25, 4.0]);
    assert_eq!(values(bundle.output_mean()), [0.0, 3.0, 4.0]);
    assert_eq!(values(bundle.output_scale()), [1.0, 8.0, 0.125]);
}

#[test]
fn reads_every_type_and_rate() {
    for rate in [Rate::Constant, Rate::PerLayerStep, Rate::PerParameter] {
        for dtype in ["F32", "F16", "BF16"] {
            agrees(&parts(rate, dtype).bytes(), rate);
        }
    }
}

#[test]
fn halves_agree_with_the_half_crate() {
    let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let view = View { dtype, bytes: &all };
        for bits in 0..=u16::MAX {
            let expected = match dtype {
                Dtype::F16 => f16::from_bits(bits).to_f32(),
                _ => bf16::from_bits(bits).to_f32(),
            };
            let got = view.get(bits.into()).unwrap();
            assert!(got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan());
        }
    }
}

#[test]
fn other_writers_may_order_pad_escape_and_add() {
    let mut parts = good();
    parts.tensors.reverse();
    parts.tensors.insert(3, Tensor { name: "extra".into(), dtype: "I64", shape: "[1,1,1]".into(), bytes: vec![7; 8] });
    let header = parts
        .header()
        .replace("},\"", "}\r\n ,\t\"")
        .replace("\"dtype\"", r#""later": {"a": [1.5e3, null, {"b": "]}"}]}, "dtype""#)
        .replace("backbone", "back\\u0062one");
    agrees(&file(&format!("  {header}\n    "), &parts.data()), Rate::PerLayerStep);
    // Text that another writer escapes as far as it can.
    let sinew = serde_json::to_string(&parts.metadata).unwrap().replace("dense", "d\\u0065nse").replace('/', "\\/");
    let header = parts.header().replace(&serde_json::to_string(&parts.metadata).unwrap(), &sinew);
    assert_ne!(header, parts.header());
    agrees(&file(&header, &parts.data()), Rate::PerLayerStep);
}

#[test]
fn a_later_version_may_add_fields_but_not_change_the_format() {
    let mut parts = good();
    parts.metadata.insert_str(1, r#""later":{"a":[1.5,"ü🤖",null]},"#);
    agrees(&parts.bytes(), Rate::PerLayerStep);
    parts.metadata = r#"{"network":"anything","format":2}"#.into();
    assert_eq!(Bundle::parse(&parts.bytes()).unwrap_err(), BundleError::Format(2));
    parts.metadata = format!(r#"{{"format":{}0}}"#, usize::MAX);
    assert_eq!(Bundle::parse(&parts.bytes()).unwrap_err(), BundleError::Format(usize::MAX));
}

fn broken(change: impl FnOnce(&mut Parts)) -> BundleError {
    let mut parts = good();
    change(&mut parts);
    let error = Bundle::parse(&parts.bytes()).unwrap_err();
    assert!(format!("{error}").len() > 10);
    error
}

fn swapped(from: &str, to: &str) -> BundleError {
    let parts = good();
    let header = parts.header().replacen(from, to, 1);
    assert_ne!(header, parts.header());
    let error = Bundle::parse(&file(&header, &parts.data())).unwrap_err();
    assert!(format!("{error}").len() > 10);
    error
}

#[test]
fn refuses_what_is_wrong_with_the_container() {
    use BundleError::*;
    let bytes = good().bytes();
    assert_eq!(Bundle::parse(&bytes[..7]).unwrap_err(), Header { expected: 0, got: 0 });
    assert!(matches!(Bundle::parse(&bytes[..100]), Err(Header { expected: 500.., got: 92 })));
    let huge = [u64::MAX.to_le_bytes().as_slice(), &bytes[8..]].concat();
    assert!(matches!(Bundle::parse(&huge), Err(Header { expected: u64::MAX, .. })));
    let mut latin = bytes.clone();
    latin[20] = 0xff;
    assert_eq!(Bundle::parse(&latin).unwrap_err(), Utf8(20));
    assert_eq!(Bundle::parse(&file("", &[])).unwrap_err(), Json(8));
    assert_eq!(Bundle::parse(&file("[]", &[])).unwrap_err(), Json(8));
    assert_eq!(Bundle::parse(&file("{}", &[])).unwrap_err(), NoMetadata);
    assert_eq!(Bundle::parse(&file("{}x", &[])).unwrap_err(), Json(10));
    assert!(matches!(swapped("\"shape\":", "\"shape\""), Json(_)));
    assert!(matches!(swapped("[0,", "[0,,"), Json(_)));
    assert!(matches!(swapped("[0,", "[0.0,"), Json(_)));
    assert!(matches!(swapped("[0,", "[-1,"), Json(_)));
    assert!(matches!(swapped("\"F32\"", "32"), Json(_)));
    assert!(matches!(swapped("\"shape\"", "\"form\""), Entry(_)));
    assert!(matches!(swapped("\"shape\"", "\"dtype\":\"F32\",\"shape\""), Json(_)));
    assert!(matches!(swapped("\"data_offsets\":[0,48]", "\"data_offsets\":[0,48,48]"), Entry(_)));
    assert!(matches!(swapped("[0,48]", "[49,48]"), Bounds { begin: 49, end: 48, .. }));
    assert!(matches!(swapped("[0,48]", "[0,4800]"), Bounds { begin: 0, end: 4800, .. }));
    assert!(matches!(swapped("[0,48]", "[0,99999999999999999999]"), Bounds { end: usize::MAX, .. }));
    let mut short = bytes;
    short.pop();
    assert!(matches!(Bundle::parse(&short), Err(Bounds { .. })));
    let far = Tensor { name: "unknown".into(), dtype: "F8", shape: "[]".into(), bytes: vec![0; 9] };
    let mut parts = good();
    parts.tensors.push(far);
    let header = parts.header();
    parts.tensors.pop();
    assert!(matches!(Bundle::parse(&file(&header, &parts.data())), Err(Bounds { .. })));
}

#[test]
fn refuses_what_is_wrong_with_the_metadata() {
    use BundleError::*;
    assert_eq!(swapped("\"sinew\"", "\"tendon\""), NoMetadata);
    assert_eq!(swapped("\"sinew\"", "\"sinew\":\"\",\"sinew\""), MetadataTwice);
    assert_eq!(swapped("\"__metadata__\"", "\"__metadata__\":{},\"__metadata__\""), MetadataTwice);
    assert!(matches!(swapped("\"sinew\":", "\"sinew\":1,\"a\":"), Json(_)));
    assert_eq!(broken(|parts| parts.metadata.clear()), MetadataJson);
    assert_eq!(broken(|parts| parts.metadata = "{}".into()), MetadataJson);
    assert_eq!(broken(|parts| parts.metadata.push('}')), MetadataJson);
    assert_eq!(broken(|parts| parts.metadata = format!(r#"{{"a":{}"#, "[".repeat(2000))), MetadataJson);
    assert_eq!(swapped("\\\"format", "\\ud800\\\"format"), MetadataJson);
    assert_eq!(broken(|parts| parts.metadata.extend([' '; MAX_METADATA])), MetadataTooLong);
    let swap = |from: &'static str, to: &'static str| broken(|parts| parts.metadata = parts.metadata.replace(from, to));
    assert!(matches!(swap("gradient", "guess"), Unknown(_)));
    assert!(matches!(swap("tanh", "tanhh"), Unknown(_)));
    assert!(matches!(swap("\"rule\"", "\"ruler\""), Unknown(_)));
    assert_eq!(swap("\"steps\":2", "\"steps\":99999999999999999999"), Rule(RuleError::Steps(usize::MAX)));
    for name in ["a_name_longer_than_24_characters", "Gel\u{e4}nde", "\u{1c30}1", ""] {
        let named = broken(|parts| parts.metadata = parts.metadata.replace("slip", name));
        assert_eq!(named, Network(SpecError::HeadName(0)), "{name}");
    }
    assert_eq!(swap("\"slip\"", "\"Slip\""), Network(SpecError::HeadName(0)));
    assert_eq!(swap("\"outputs\":3", "\"outputs\":0"), Network(SpecError::Units { got: 0, most: 4096 }));
    assert_eq!(swap("\"steps\":2", "\"steps\":0"), Rule(RuleError::Steps(0)));
}

#[test]
fn refuses_what_is_wrong_with_a_tensor() {
    use BundleError::*;
    let bias = TensorId::Slot { place: Place::Head(1), index: 0, part: Part::Bias };
    let rate = TensorId::Named(RULE_RATE);
    let scale = TensorId::Named(OUTPUT_SCALE);
    assert_eq!(broken(|parts| parts.tensors.retain(|tensor| tensor.name != "heads.energy.0.bias")), Missing(bias));
    assert_eq!(broken(|parts| parts.tensors.retain(|tensor| tensor.name != RULE_RATE)), Missing(rate));
    assert_eq!(broken(|parts| parts.tensors.push(parts.tensors[5].clone())), Twice(bias));
    let got = *b"I32\0\0\0\0\0";
    assert_eq!(broken(|parts| parts.tensor(RULE_RATE).dtype = "I32"), Dtype { tensor: rate, got });
    let shaped = |shape: &str, rank, lengths| {
        let expected = super::Shape { rank: 2, lengths: [2, 3, 0, 0] };
        let error = broken(|parts| parts.tensor(RULE_RATE).shape = shape.into());
        assert_eq!(error, BundleError::Shape { tensor: rate, expected, got: super::Shape { rank, lengths } });
    };
    shaped("[6]", 1, [6, 0, 0, 0]);
    shaped("[3,2]", 2, [3, 2, 0, 0]);
    shaped("[2,3,1]", 3, [2, 3, 1, 0]);
    shaped("[]", 0, [0; 4]);
    shaped("[99999999999999999999,3]", 2, [u32::MAX, 3, 0, 0]);
    assert_eq!(broken(|parts| parts.tensor(RULE_RATE).bytes.push(0)), Size { tensor: rate, expected: 24, got: 25 });
    assert_eq!(broken(|parts| parts.tensor(RULE_RATE).dtype = "F16"), Size { tensor: rate, expected: 12, got: 24 });
    let spoilt = |name: &str, index: usize, value: f32| {
        broken(|parts| parts.tensor(name).bytes[4 * index..][..4].copy_from_slice(&value.to_le_bytes()))
    };
    assert_eq!(spoilt("heads.energy.0.bias", 1, f32::NAN), Value { tensor: bias, index: 1 });
    assert_eq!(spoilt(RULE_RATE, 5, f32::INFINITY), Value { tensor: rate, index: 5 });
    assert_eq!(spoilt(OUTPUT_SCALE, 2, 0.0), Value { tensor: scale, index: 2 });
    assert_eq!(spoilt(LOSS_CONSTANTS, 0, -1.0), Network(SpecError::HeadWeight(0)));
    assert_eq!(spoilt(LOSS_CONSTANTS, 3, 0.0), Network(SpecError::HuberDelta(1)));
    assert_eq!(format!("{}", Missing(bias)), "tensor 0.bias of head 1 is missing");
}

#[test]
fn lengths_are_checked() {
    let bytes = good().bytes();
    let bundle = Bundle::parse(&bytes).unwrap();
    let mut short = [7.0; 3];
    let error = bundle.load_parameters(&mut short).unwrap_err();
    assert_eq!(error, LengthError { expected: network().param_len(), got: 3 });
    assert_eq!(short, [7.0; 3]);
    assert!(core::mem::size_of::<BundleError>() <= 16 * core::mem::size_of::<usize>());
}

#[test]
fn no_truncation_and_no_flipped_bit_panics() {
    let bytes = parts(Rate::PerParameter, "BF16").bytes();
    for len in 0..bytes.len() {
        assert!(Bundle::parse(&bytes[..len]).is_err());
    }
    let mut flipped = bytes;
    for index in 0..flipped.len() {
        for bit in 0..8 {
            flipped[index] ^= 1 << bit;
            let _ = Bundle::parse(&flipped);
            flipped[index] ^= 1 << bit;
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Bundle::parse(&bytes);
        let _ = Bundle::parse(&file(&String::from_utf8_lossy(&bytes), &bytes));
    }

    #[test]
    fn no_changed_bytes_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5)) {
        let mut bytes = good().bytes();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Ok(bundle) = Bundle::parse(&bytes) {
            let mut loaded = vec![f32::NAN; bundle.network().param_len()];
            prop_assert!(bundle.load_parameters(&mut loaded).is_ok());
            prop_assert!(loaded.iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn no_metadata_panics(text in "[\\{\\}\\[\\],:\"a-z0-9_ ]{0,60}", at in any::<prop::sample::Index>()) {
        let mut parts = good();
        let at = at.index(parts.metadata.len());
        parts.metadata.insert_str(at, &text);
        let _ = Bundle::parse(&parts.bytes());
    }
}
