//! Network and rule, out of the JSON that `sinew_models` writes by way of serde.
//!
//! Read by hand, because the code that serde's derive makes for it takes 16 KB of a microcontroller's flash, and this 2.

use heapless::{Vec, VecView};
use sinew_models::bundle::{FORMAT, MAX_METADATA};
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Head, Input, InputForm, Layer, Loss, MAX_NAME, Name, NetworkSpec};
#[cfg(feature = "layers")]
use sinew_models::spec::{Shape, Window};

use super::BundleError;
use super::fields::{Fields, MOST, known};
use super::json::{Cursor, Inside, Raw, Read, UnescapeError, Wrong};

/// A field with a word, as [`Fields`] has it, and what its words stand for, in the same order.
struct Words<T: 'static>(&'static str, &'static [T]);

impl<T: Copy> Words<T> {
    fn get(&self, index: usize) -> Option<T> {
        self.1.get(index).copied()
    }
}

const FORMS: Words<InputForm> =
    Words("=form plain relative both", &[InputForm::Plain, InputForm::Relative, InputForm::Both]);

const ACTIVATIONS: Words<Activation> = Words(
    "=activation identity relu tanh silu sigmoid",
    &[Activation::Identity, Activation::Relu, Activation::Tanh, Activation::Silu, Activation::Sigmoid],
);

/// Numbers are in the tensor `loss.constants`, so that δ is only a place here.
const LOSSES: Words<Loss> = Words(
    "=loss mean_squared huber binary_cross_entropy cross_entropy",
    &[Loss::MeanSquared, Loss::Huber { delta: 1.0 }, Loss::BinaryCrossEntropy, Loss::CrossEntropy],
);

const RATES: Words<Rate> =
    Words("=rate constant per_layer_step per_parameter", &[Rate::Constant, Rate::PerLayerStep, Rate::PerParameter]);

/// A network to be filled.
pub(super) const NO_NETWORK: NetworkSpec =
    NetworkSpec { input: Input::vector(0, InputForm::Plain), backbone: Vec::new(), heads: Vec::new() };

/// A rule to be filled.
pub(super) const NO_RULE: Rule =
    Rule::Gradient { steps: 0, rate: Rate::Constant, scope: Scope::All, momentum: false, rows: 0 };

/// A layer to be filled.
fn no_layer() -> Layer {
    Layer::Dense { outputs: 0, activation: Activation::Identity }
}

/// A head to be filled.
fn no_head() -> Head {
    Head { name: Name::new(), layers: Vec::new(), loss: Loss::MeanSquared, weight: 1.0 }
}

/// Writes network and rule, neither of them checked, in place of empty ones; λ and δ are 1.
///
/// Never inlined, so that the stack has room for the buffer only while this runs; in place, because a network is large.
#[inline(never)]
pub(super) fn read(raw: Raw<'_>, network: &mut NetworkSpec, rule: &mut Rule) -> Result<(), BundleError> {
    let mut buffer = [0; MAX_METADATA];
    let text = raw.unescape(&mut buffer).map_err(|error| match error {
        UnescapeError::TooLong => BundleError::MetadataTooLong,
        UnescapeError::Surrogate => BundleError::MetadataJson,
    })?;
    // The version first, because another version's network may be another thing altogether.
    let format = read_format(text).map_err(|Wrong| BundleError::MetadataJson)?;
    if format != FORMAT as usize {
        return Err(BundleError::Format(format));
    }
    let mut cursor = Cursor::new(text);
    parts(&mut cursor, network, rule).map_err(|Wrong| BundleError::Unknown(cursor.at()))
}

/// Passes an array, each item of which is read in the place of an empty one.
fn list<'a, T>(
    cursor: &mut Cursor<'a>,
    into: &mut VecView<T>,
    empty: fn() -> T,
    read: fn(&mut Cursor<'a>, &mut T) -> Read<()>,
) -> Read<()> {
    let mut array = Inside::array();
    while array.pass(cursor)? {
        into.push(empty()).map_err(|_| Wrong)?;
        read(cursor, into.last_mut().ok_or(Wrong)?)?;
    }
    Ok(())
}

fn read_format(text: &[u8]) -> Read<usize> {
    let mut cursor = Cursor::new(text);
    let mut fields = Fields::new(&["#format"]);
    fields.all(&mut cursor)?;
    cursor.end()?;
    let [format, ..] = fields.values;
    Ok(format)
}

fn parts(cursor: &mut Cursor<'_>, network: &mut NetworkSpec, rule: &mut Rule) -> Read<()> {
    let mut fields = Fields::new(&["*network", "*rule"]);
    while let Some(field) = fields.pass(cursor)? {
        match field {
            0 => read_network(cursor, network)?,
            _ => read_rule(cursor, rule)?,
        }
    }
    fields.complete()
}

// One copy, of its own, on a microcontroller, to save flash.
#[cfg_attr(target_os = "none", inline(never))]
fn read_network(cursor: &mut Cursor<'_>, into: &mut NetworkSpec) -> Read<()> {
    let mut fields = Fields::new(&["*input", "*backbone", "*heads"]);
    while let Some(field) = fields.pass(cursor)? {
        match field {
            0 => read_input(cursor, &mut into.input)?,
            1 => list(cursor, into.backbone.as_mut_view(), no_layer, read_layer)?,
            _ => list(cursor, into.heads.as_mut_view(), no_head, read_head)?,
        }
    }
    fields.complete()
}

fn read_input(cursor: &mut Cursor<'_>, into: &mut Input) -> Read<()> {
    let mut fields = Fields::new(&[
        "#len",
        FORMS.0,
        #[cfg(feature = "layers")]
        "*image",
    ]);
    while fields.pass(cursor)?.is_some() {
        #[cfg(feature = "layers")]
        {
            into.image = Some(read_shape(cursor)?);
        }
    }
    let [len, form, ..] = fields.values;
    into.len = known(len).ok_or(Wrong)?;
    into.form = FORMS.get(form).ok_or(Wrong)?;
    Ok(())
}

#[cfg(feature = "layers")]
fn read_shape(cursor: &mut Cursor<'_>) -> Read<Shape> {
    let mut fields = Fields::new(&["#height", "#width", "#channels"]);
    fields.all(cursor)?;
    let [height, width, channels, ..] = fields.values;
    Ok(Shape { height, width, channels })
}

fn read_head(cursor: &mut Cursor<'_>, into: &mut Head) -> Read<()> {
    let mut fields = Fields::new(&["*name", "*layers", LOSSES.0]);
    while let Some(field) = fields.pass(cursor)? {
        match field {
            0 => read_name(cursor, &mut into.name)?,
            _ => list(cursor, into.layers.as_mut_view(), no_layer, read_layer)?,
        }
    }
    let [_, _, loss, ..] = fields.values;
    into.loss = LOSSES.get(loss).ok_or(Wrong)?;
    fields.complete()
}

/// The name of a head. One that is too long is left empty, and what is not ASCII becomes a question mark: the check of the network refuses
/// both, and says which head it is.
fn read_name(cursor: &mut Cursor<'_>, into: &mut Name) -> Read<()> {
    let mut buffer = [0; MAX_NAME];
    for byte in cursor.string()?.unescape(&mut buffer).unwrap_or_default() {
        into.push(if byte.is_ascii() { char::from(*byte) } else { '?' }).map_err(|_| Wrong)?;
    }
    Ok(())
}

/// A kind and its fields, or for a kind without fields its name alone.
fn read_layer(cursor: &mut Cursor<'_>, into: &mut Layer) -> Read<()> {
    #[cfg(feature = "layers")]
    if cursor.peek() == b'"' {
        let bare = cursor.string()?;
        *into = if bare.is("global_average_pool") {
            Layer::GlobalAveragePool
        } else if bare.is("flatten") {
            Layer::Flatten
        } else {
            return Err(Wrong);
        };
        return Ok(());
    }
    let mut kind = Inside::object();
    if !kind.pass(cursor)? {
        return Err(Wrong);
    }
    let mut fields = Fields::new(&[
        ACTIVATIONS.0,
        "#outputs",
        #[cfg(feature = "layers")]
        "#layers",
        #[cfg(feature = "layers")]
        "#len",
        #[cfg(feature = "layers")]
        "*window",
        #[cfg(feature = "layers")]
        "#experts",
        #[cfg(feature = "layers")]
        "#gates",
        #[cfg(feature = "layers")]
        "#first",
    ]);
    #[cfg(feature = "layers")]
    let mut window = None;
    while fields.pass(cursor)?.is_some() {
        #[cfg(feature = "layers")]
        {
            window = Some(read_window(cursor)?);
        }
    }
    #[cfg(feature = "layers")]
    let layer = layer(&kind.key, fields.values, window);
    #[cfg(not(feature = "layers"))]
    let layer = layer(&kind.key, fields.values);
    *into = layer.ok_or(Wrong)?;
    kind.end(cursor)
}

#[cfg(not(feature = "layers"))]
fn layer(kind: &Raw<'_>, [activation, outputs, ..]: [usize; MOST]) -> Option<Layer> {
    if !kind.is("dense") {
        return None;
    }
    Some(Layer::Dense { outputs: known(outputs)?, activation: ACTIVATIONS.get(activation)? })
}

#[cfg(feature = "layers")]
fn layer(
    kind: &Raw<'_>,
    [activation, outputs, layers, len, _, experts, gates, first]: [usize; MOST],
    window: Option<Window>,
) -> Option<Layer> {
    let activation = ACTIVATIONS.get(activation);
    let (outputs, layers, len) = (known(outputs), known(layers), known(len));
    Some(if kind.is("dense") {
        Layer::Dense { outputs: outputs?, activation: activation? }
    } else if kind.is("convolution") {
        Layer::Convolution { outputs: outputs?, window: window?, activation: activation? }
    } else if kind.is("depthwise") {
        Layer::Depthwise { window: window?, activation: activation? }
    } else if kind.is("max_pool") {
        Layer::MaxPool { window: window? }
    } else if kind.is("average_pool") {
        Layer::AveragePool { window: window? }
    } else if kind.is("layer_norm") {
        Layer::LayerNorm { activation: activation? }
    } else if kind.is("residual") {
        Layer::Residual { layers: layers?, activation: activation? }
    } else if kind.is("context") {
        Layer::Context { len: len? }
    } else if kind.is("mixture") {
        let few = |number: usize| u8::try_from(number).ok();
        let (experts, gates, first, outputs) = (few(experts)?, few(gates)?, few(first)?, few(outputs?)?);
        Layer::Mixture { experts, gates, first, outputs, activation: activation? }
    } else {
        return None;
    })
}

#[cfg(feature = "layers")]
fn read_window(cursor: &mut Cursor<'_>) -> Read<Window> {
    let mut fields = Fields::new(&["*size", "*stride", "*padding"]);
    let mut window = Window::square(0, 0, 0);
    while let Some(field) = fields.pass(cursor)? {
        let mut pair = Vec::<u8, 2>::new();
        list(cursor, pair.as_mut_view(), u8::default, read_byte)?;
        let pair = pair.into_array().map_err(|_| Wrong)?;
        match field {
            0 => window.size = pair,
            1 => window.stride = pair,
            _ => window.padding = pair,
        }
    }
    fields.complete()?;
    Ok(window)
}

fn read_byte(cursor: &mut Cursor<'_>, into: &mut u8) -> Read<()> {
    *into = u8::try_from(cursor.whole()?).map_err(|_| Wrong)?;
    Ok(())
}

/// A kind and its fields, or for a kind without fields its name alone.
// One copy, of its own, on a microcontroller, to save flash.
#[cfg_attr(target_os = "none", inline(never))]
fn read_rule(cursor: &mut Cursor<'_>, into: &mut Rule) -> Read<()> {
    #[cfg(feature = "rules")]
    if cursor.peek() == b'"' {
        let bare = cursor.string()?;
        *into = if bare.is("bayes") {
            Rule::Bayes
        } else if bare.is("prototype") {
            Rule::Prototype
        } else {
            return Err(Wrong);
        };
        return Ok(());
    }
    let mut kind = Inside::object();
    if !kind.pass(cursor)? {
        return Err(Wrong);
    }
    let mut fields = Fields::new(&[
        "*scope",
        "#steps",
        RATES.0,
        "?momentum",
        "#rows",
        #[cfg(feature = "rules")]
        "?recursive",
        #[cfg(feature = "rules")]
        "#classes",
        #[cfg(feature = "rules")]
        "#hidden",
    ]);
    let mut scope = None;
    while fields.pass(cursor)?.is_some() {
        scope = Some(read_scope(cursor)?);
    }
    *into = rule(&kind.key, fields.values, scope).ok_or(Wrong)?;
    kind.end(cursor)
}

#[cfg(not(feature = "rules"))]
fn rule(kind: &Raw<'_>, [_, steps, rate, momentum, rows, ..]: [usize; MOST], scope: Option<Scope>) -> Option<Rule> {
    if !kind.is("gradient") {
        return None;
    }
    gradient([steps, rate, momentum, rows], scope)
}

fn gradient([steps, rate, momentum, rows]: [usize; 4], scope: Option<Scope>) -> Option<Rule> {
    let rows = known(rows).unwrap_or(0);
    // What this build cannot do is refused.
    if cfg!(not(feature = "rules")) && rows > 0 {
        return None;
    }
    Some(Rule::Gradient { steps: known(steps)?, rate: RATES.get(rate)?, scope: scope?, momentum: momentum == 1, rows })
}

#[cfg(feature = "rules")]
fn rule(
    kind: &Raw<'_>,
    [_, steps, rate, momentum, rows, recursive, classes, hidden]: [usize; MOST],
    scope: Option<Scope>,
) -> Option<Rule> {
    if kind.is("gradient") {
        return gradient([steps, rate, momentum, rows], scope);
    }
    Some(if kind.is("ridge") {
        Rule::Ridge { recursive: known(recursive)? == 1 }
    } else if kind.is("siamese") {
        Rule::Siamese { classes: known(classes)? }
    } else if kind.is("meta_lstm") {
        Rule::MetaLstm { steps: known(steps)?, hidden: known(hidden)?, scope: scope? }
    } else {
        return None;
    })
}

/// `"all"`, `"heads"`, `"contexts"` or `{"layers": [..]}`.
fn read_scope(cursor: &mut Cursor<'_>) -> Read<Scope> {
    if cursor.peek() == b'"' {
        let word = cursor.string()?;
        return Ok(if word.is("all") {
            Scope::All
        } else if word.is("heads") {
            Scope::Heads
        } else if word.is("contexts") {
            Scope::Contexts
        } else {
            return Err(Wrong);
        });
    }
    let (mut layers, mut object) = (Vec::new(), Inside::object());
    if !(object.pass(cursor)? && object.key.is("layers")) {
        return Err(Wrong);
    }
    list(cursor, layers.as_mut_view(), u8::default, read_byte)?;
    object.end(cursor)?;
    Ok(Scope::Layers(layers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sinew_models::bundle::Metadata;
    use std::vec;

    fn layer() -> impl Strategy<Value = Layer> {
        let window = || {
            let pair = prop::array::uniform2(any::<u8>());
            (pair, pair, pair).prop_map(|(size, stride, padding)| Window { size, stride, padding })
        };
        let activation = || prop::sample::select(ACTIVATIONS.1);
        let number = || 0..usize::MAX - 1;
        prop_oneof![
            (number(), activation()).prop_map(|(outputs, activation)| Layer::Dense { outputs, activation }),
            (number(), window(), activation()).prop_map(|(outputs, window, activation)| Layer::Convolution {
                outputs,
                window,
                activation
            }),
            (window(), activation()).prop_map(|(window, activation)| Layer::Depthwise { window, activation }),
            window().prop_map(|window| Layer::MaxPool { window }),
            window().prop_map(|window| Layer::AveragePool { window }),
            Just(Layer::GlobalAveragePool),
            activation().prop_map(|activation| Layer::LayerNorm { activation }),
            (number(), activation()).prop_map(|(layers, activation)| Layer::Residual { layers, activation }),
            Just(Layer::Flatten),
            number().prop_map(|len| Layer::Context { len }),
            (any::<[u8; 4]>(), activation()).prop_map(|([experts, gates, first, outputs], activation)| {
                Layer::Mixture { experts, gates, first, outputs, activation }
            }),
        ]
    }

    fn rule() -> impl Strategy<Value = Rule> {
        let number = || 0..usize::MAX - 1;
        prop_oneof![
            (number(), prop::sample::select(RATES.1), scope(), any::<bool>(), number())
                .prop_map(|(steps, rate, scope, momentum, rows)| Rule::Gradient { steps, rate, scope, momentum, rows }),
            any::<bool>().prop_map(|recursive| Rule::Ridge { recursive }),
            Just(Rule::Bayes),
            Just(Rule::Prototype),
            number().prop_map(|classes| Rule::Siamese { classes }),
            (number(), number(), scope()).prop_map(|(steps, hidden, scope)| Rule::MetaLstm { steps, hidden, scope }),
        ]
    }

    fn image() -> impl Strategy<Value = Option<Shape>> {
        let shape = (0..usize::MAX - 1, 0..usize::MAX - 1, 0..usize::MAX - 1);
        prop::option::of(shape.prop_map(|(height, width, channels)| Shape { height, width, channels }))
    }

    fn layers<const N: usize>() -> impl Strategy<Value = Vec<Layer, N>> {
        prop::collection::vec(layer(), 0..=N).prop_map(|layers| layers.into_iter().collect())
    }

    fn head() -> impl Strategy<Value = Head> {
        ("[ -~]{0,12}", layers(), prop::sample::select(LOSSES.1)).prop_map(|(name, layers, loss)| {
            let name = Name::try_from(name.as_str()).unwrap();
            Head { name, layers, loss, weight: 1.0 }
        })
    }

    fn scope() -> impl Strategy<Value = Scope> {
        prop_oneof![
            Just(Scope::All),
            Just(Scope::Heads),
            Just(Scope::Contexts),
            prop::collection::vec(any::<u8>(), 0..=28).prop_map(|layers| Scope::Layers(layers.into_iter().collect())),
        ]
    }

    proptest! {
        #[test]
        fn reads_what_serde_writes(
            len in 0..usize::MAX - 1, form in prop::sample::select(FORMS.1), backbone in layers(),
            heads in prop::collection::vec(head(), 0..=4),
            image in image(), rule in rule(),
        ) {
            let heads = heads.into_iter().collect();
            let network = NetworkSpec { input: Input { len, form, image }, backbone, heads };
            let text = serde_json::to_string(&Metadata { format: FORMAT, network, rule }).unwrap();
            let written = serde_json::from_str::<Metadata>(&text).unwrap();
            let (mut network, mut rule) = (NO_NETWORK, NO_RULE);
            parts(&mut Cursor::new(text.as_bytes()), &mut network, &mut rule).unwrap();
            prop_assert_eq!((network, rule), (written.network, written.rule));
        }
    }

    #[test]
    fn knows_every_name_that_serde_writes() {
        // A new variant fails to compile here: it belongs in the lists above.
        for (name, form) in FORMS.0.split(' ').skip(1).zip(FORMS.1) {
            let (InputForm::Plain | InputForm::Relative | InputForm::Both) = form;
            assert_eq!(serde_json::to_value(form).unwrap(), name);
        }
        for (name, activation) in ACTIVATIONS.0.split(' ').skip(1).zip(ACTIVATIONS.1) {
            let (Activation::Identity | Activation::Relu | Activation::Tanh | Activation::Silu | Activation::Sigmoid) =
                activation;
            assert_eq!(serde_json::to_value(activation).unwrap(), name);
        }
        for loss in LOSSES.1 {
            let (Loss::MeanSquared | Loss::Huber { .. } | Loss::BinaryCrossEntropy | Loss::CrossEntropy) = loss;
        }
        for (name, rate) in RATES.0.split(' ').skip(1).zip(RATES.1) {
            let (Rate::Constant | Rate::PerLayerStep | Rate::PerParameter) = rate;
            assert_eq!(serde_json::to_value(rate).unwrap(), name);
        }
    }
}
