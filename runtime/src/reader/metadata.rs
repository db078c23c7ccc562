//! Network and rule, out of the JSON that `sinew_models` writes by way of serde.
//!
//! Read by hand, because the code that serde's derive makes for it takes 16 KB of a microcontroller's flash, and this 3.

use heapless::Vec;
use sinew_models::bundle::{FORMAT, MAX_METADATA};
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Head, Input, InputForm, Layer, Loss, MAX_NAME, Name, NetworkSpec, Shape, Window};

use super::BundleError;
use super::json::{Cursor, NotJson, Raw, UnescapeError};

type Read<T> = Result<T, NotJson>;

const FORMS: &[(&str, InputForm)] =
    &[("plain", InputForm::Plain), ("relative", InputForm::Relative), ("both", InputForm::Both)];

const ACTIVATIONS: &[(&str, Activation)] = &[
    ("identity", Activation::Identity),
    ("relu", Activation::Relu),
    ("tanh", Activation::Tanh),
    ("silu", Activation::Silu),
    ("sigmoid", Activation::Sigmoid),
];

/// Numbers are in the tensor `loss.constants`, so that δ is only a place here.
const LOSSES: &[(&str, Loss)] = &[
    ("mean_squared", Loss::MeanSquared),
    ("huber", Loss::Huber { delta: 1.0 }),
    ("binary_cross_entropy", Loss::BinaryCrossEntropy),
    ("cross_entropy", Loss::CrossEntropy),
];

const RATES: &[(&str, Rate)] =
    &[("constant", Rate::Constant), ("per_layer_step", Rate::PerLayerStep), ("per_parameter", Rate::PerParameter)];

/// A network to be filled.
pub(super) const NO_NETWORK: NetworkSpec =
    NetworkSpec { input: Input::vector(0, InputForm::Plain), backbone: Vec::new(), heads: Vec::new() };

/// A rule to be filled.
pub(super) const NO_RULE: Rule = Rule::Gradient { steps: 0, rate: Rate::Constant, scope: Scope::All, momentum: false };

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
    let format = format(text).ok().flatten().ok_or(BundleError::MetadataJson)?;
    if format != FORMAT as usize {
        return Err(BundleError::Format(format));
    }
    parts(&mut Cursor::new(text), network, rule).map_err(|NotJson(at)| BundleError::Unknown(at))
}

fn format(text: &[u8]) -> Read<Option<usize>> {
    let mut cursor = Cursor::new(text);
    let mut format = None;
    cursor.object(&mut |cursor, key| {
        if !key.is("format") {
            return Ok(false);
        }
        let new = cursor.whole()?;
        cursor.once(&mut format, new)
    })?;
    cursor.end()?;
    Ok(format)
}

fn parts(cursor: &mut Cursor<'_>, into: &mut NetworkSpec, into_rule: &mut Rule) -> Read<()> {
    let (mut network, mut rule) = (None, None);
    cursor.object(&mut |cursor, key| {
        if key.is("network") {
            cursor.once(&mut network, ())?;
            read_network(cursor, into)?;
        } else if key.is("rule") {
            cursor.once(&mut rule, ())?;
            *into_rule = read_rule(cursor)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    })?;
    network.and(rule).ok_or(cursor.wrong())
}

fn read_network(cursor: &mut Cursor<'_>, into: &mut NetworkSpec) -> Read<()> {
    let (mut input, mut backbone, mut heads) = (None, None, None);
    cursor.object(&mut |cursor, key| {
        if key.is("input") {
            cursor.once(&mut input, ())?;
            into.input = read_input(cursor)?;
        } else if key.is("backbone") {
            cursor.once(&mut backbone, ())?;
            list(cursor, &mut into.backbone, read_layer)?;
        } else if key.is("heads") {
            cursor.once(&mut heads, ())?;
            list(cursor, &mut into.heads, read_head)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    })?;
    input.and(backbone).and(heads).ok_or(cursor.wrong())
}

fn read_input(cursor: &mut Cursor<'_>) -> Read<Input> {
    let (mut len, mut form, mut image) = (None, None, None);
    cursor.object(&mut |cursor, key| {
        if key.is("len") {
            let new = cursor.whole()?;
            cursor.once(&mut len, new)
        } else if key.is("form") {
            let new = one_of(cursor, FORMS)?;
            cursor.once(&mut form, new)
        } else if cfg!(feature = "layers") && key.is("image") {
            let new = read_shape(cursor)?;
            cursor.once(&mut image, new)
        } else {
            Ok(false)
        }
    })?;
    let (Some(len), Some(form)) = (len, form) else {
        return Err(cursor.wrong());
    };
    Ok(Input { len, form, image })
}

fn read_shape(cursor: &mut Cursor<'_>) -> Read<Shape> {
    let (mut height, mut width, mut channels) = (None, None, None);
    cursor.object(&mut |cursor, key| {
        for (name, into) in [("height", &mut height), ("width", &mut width), ("channels", &mut channels)] {
            if key.is(name) {
                let new = cursor.whole()?;
                return cursor.once(into, new);
            }
        }
        Ok(false)
    })?;
    let (Some(height), Some(width), Some(channels)) = (height, width, channels) else {
        return Err(cursor.wrong());
    };
    Ok(Shape { height, width, channels })
}

fn read_head(cursor: &mut Cursor<'_>) -> Read<Head> {
    let (mut name, mut layers, mut loss) = (None, None, None);
    cursor.object(&mut |cursor, key| {
        if key.is("name") {
            let new = read_name(cursor)?;
            cursor.once(&mut name, new)
        } else if key.is("layers") {
            let mut new = Vec::new();
            list(cursor, &mut new, read_layer)?;
            cursor.once(&mut layers, new)
        } else if key.is("loss") {
            let new = one_of(cursor, LOSSES)?;
            cursor.once(&mut loss, new)
        } else {
            Ok(false)
        }
    })?;
    let (Some(name), Some(layers), Some(loss)) = (name, layers, loss) else {
        return Err(cursor.wrong());
    };
    Ok(Head { name, layers, loss, weight: 1.0 })
}

fn read_name(cursor: &mut Cursor<'_>) -> Read<Name> {
    let raw = cursor.string()?;
    let mut buffer = [0; MAX_NAME];
    raw.unescape(&mut buffer)
        .ok()
        .and_then(|bytes| Name::try_from(core::str::from_utf8(bytes).ok()?).ok())
        .ok_or(cursor.wrong())
}

/// A kind and its fields, or for a kind without fields its name alone.
fn read_layer(cursor: &mut Cursor<'_>) -> Read<Layer> {
    if cfg!(feature = "layers") && cursor.peek() == b'"' {
        return one_of(cursor, &[("global_average_pool", Layer::GlobalAveragePool), ("flatten", Layer::Flatten)]);
    }
    let mut layer = None;
    cursor.object(&mut |cursor, kind| {
        let fields = read_fields(cursor)?;
        let new = fields.layer(&kind).ok_or(cursor.wrong())?;
        cursor.once(&mut layer, new)
    })?;
    layer.ok_or(cursor.wrong())
}

/// What layers have; each kind takes what it needs.
#[derive(Default)]
struct Fields {
    outputs: Option<usize>,
    layers: Option<usize>,
    len: Option<usize>,
    window: Option<Window>,
    activation: Option<Activation>,
}

impl Fields {
    fn layer(&self, kind: &Raw<'_>) -> Option<Layer> {
        if kind.is("dense") {
            return Some(Layer::Dense { outputs: self.outputs?, activation: self.activation? });
        }
        if !cfg!(feature = "layers") {
            return None;
        }
        Some(if kind.is("convolution") {
            Layer::Convolution { outputs: self.outputs?, window: self.window?, activation: self.activation? }
        } else if kind.is("depthwise") {
            Layer::Depthwise { window: self.window?, activation: self.activation? }
        } else if kind.is("max_pool") {
            Layer::MaxPool { window: self.window? }
        } else if kind.is("average_pool") {
            Layer::AveragePool { window: self.window? }
        } else if kind.is("layer_norm") {
            Layer::LayerNorm { activation: self.activation? }
        } else if kind.is("residual") {
            Layer::Residual { layers: self.layers?, activation: self.activation? }
        } else if kind.is("context") {
            Layer::Context { len: self.len? }
        } else {
            return None;
        })
    }
}

fn read_fields(cursor: &mut Cursor<'_>) -> Read<Fields> {
    let mut fields = Fields::default();
    cursor.object(&mut |cursor, key| {
        if key.is("activation") {
            let new = one_of(cursor, ACTIVATIONS)?;
            return cursor.once(&mut fields.activation, new);
        }
        if cfg!(feature = "layers") && key.is("window") {
            let new = read_window(cursor)?;
            return cursor.once(&mut fields.window, new);
        }
        let Fields { outputs, layers, len, .. } = &mut fields;
        for (name, into) in [("outputs", outputs), ("layers", layers), ("len", len)] {
            if key.is(name) {
                let new = cursor.whole()?;
                return cursor.once(into, new);
            }
        }
        Ok(false)
    })?;
    Ok(fields)
}

fn read_window(cursor: &mut Cursor<'_>) -> Read<Window> {
    let (mut size, mut stride, mut padding) = (None, None, None);
    cursor.object(&mut |cursor, key| {
        for (name, into) in [("size", &mut size), ("stride", &mut stride), ("padding", &mut padding)] {
            if key.is(name) {
                let mut new = Vec::<u8, 2>::new();
                list(cursor, &mut new, |cursor| u8::try_from(cursor.whole()?).map_err(|_| cursor.wrong()))?;
                let new = new.into_array().map_err(|_| cursor.wrong())?;
                return cursor.once(into, new);
            }
        }
        Ok(false)
    })?;
    let (Some(size), Some(stride), Some(padding)) = (size, stride, padding) else {
        return Err(cursor.wrong());
    };
    Ok(Window { size, stride, padding })
}

fn read_rule(cursor: &mut Cursor<'_>) -> Read<Rule> {
    if cfg!(feature = "rules") && cursor.peek() == b'"' {
        return one_of(cursor, &[("bayes", false), ("prototype", true)])
            .map(|prototype| if prototype { Rule::Prototype } else { Rule::Bayes });
    }
    let mut rule = None;
    cursor.object(&mut |cursor, kind| {
        let numbers = read_numbers(cursor)?;
        let new = numbers.rule(&kind).ok_or(cursor.wrong())?;
        cursor.once(&mut rule, new)
    })?;
    rule.ok_or(cursor.wrong())
}

/// What rules have; each takes what it needs.
#[derive(Default)]
struct Numbers {
    steps: Option<usize>,
    rate: Option<Rate>,
    scope: Option<Scope>,
    momentum: Option<bool>,
    recursive: Option<bool>,
    classes: Option<usize>,
    hidden: Option<usize>,
}

impl Numbers {
    fn rule(self, kind: &Raw<'_>) -> Option<Rule> {
        let Self { steps, rate, scope, momentum, recursive, classes, hidden } = self;
        if kind.is("gradient") {
            let momentum = momentum.unwrap_or(false);
            return Some(Rule::Gradient { steps: steps?, rate: rate?, scope: scope?, momentum });
        }
        if !cfg!(feature = "rules") {
            return None;
        }
        Some(if kind.is("ridge") {
            Rule::Ridge { recursive: recursive? }
        } else if kind.is("siamese") {
            Rule::Siamese { classes: classes? }
        } else if kind.is("meta_lstm") {
            Rule::MetaLstm { steps: steps?, hidden: hidden?, scope: scope? }
        } else {
            return None;
        })
    }
}

fn read_numbers(cursor: &mut Cursor<'_>) -> Read<Numbers> {
    let mut numbers = Numbers::default();
    cursor.object(&mut |cursor, key| {
        if key.is("rate") {
            let new = one_of(cursor, RATES)?;
            return cursor.once(&mut numbers.rate, new);
        }
        if key.is("scope") {
            let new = read_scope(cursor)?;
            return cursor.once(&mut numbers.scope, new);
        }
        let Numbers { steps, momentum, recursive, classes, hidden, .. } = &mut numbers;
        for (name, into) in [("momentum", momentum), ("recursive", recursive)] {
            if key.is(name) {
                let new = cursor.truth()?;
                return cursor.once(into, new);
            }
        }
        for (name, into) in [("steps", steps), ("classes", classes), ("hidden", hidden)] {
            if key.is(name) {
                let new = cursor.whole()?;
                return cursor.once(into, new);
            }
        }
        Ok(false)
    })?;
    Ok(numbers)
}

/// `"all"`, `"heads"`, `"contexts"` or `{"layers": [..]}`.
fn read_scope(cursor: &mut Cursor<'_>) -> Read<Scope> {
    if cursor.peek() == b'"' {
        return Ok(match one_of(cursor, &[("all", 0), ("heads", 1), ("contexts", 2)])? {
            0 => Scope::All,
            1 => Scope::Heads,
            _ => Scope::Contexts,
        });
    }
    let mut scope = None;
    cursor.object(&mut |cursor, key| {
        if !key.is("layers") {
            return Err(cursor.wrong());
        }
        let mut new = Vec::new();
        list(cursor, &mut new, |cursor| u8::try_from(cursor.whole()?).map_err(|_| cursor.wrong()))?;
        cursor.once(&mut scope, Scope::Layers(new))
    })?;
    scope.ok_or(cursor.wrong())
}

fn list<'a, T, const N: usize>(
    cursor: &mut Cursor<'a>,
    into: &mut Vec<T, N>,
    read: fn(&mut Cursor<'a>) -> Read<T>,
) -> Read<()> {
    cursor.array(&mut |cursor| {
        let item = read(cursor)?;
        into.push(item).map_err(|_| cursor.wrong())
    })
}

fn one_of<T: Copy>(cursor: &mut Cursor<'_>, choices: &[(&str, T)]) -> Read<T> {
    let raw = cursor.string()?;
    choices.iter().find(|(name, _)| raw.is(name)).map(|&(_, choice)| choice).ok_or(cursor.wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sinew_models::bundle::Metadata;

    fn layer() -> impl Strategy<Value = Layer> {
        let window = || {
            let pair = prop::array::uniform2(any::<u8>());
            (pair, pair, pair).prop_map(|(size, stride, padding)| Window { size, stride, padding })
        };
        let activation = || prop::sample::select(ACTIVATIONS).prop_map(|(_, activation)| activation);
        let number = any::<usize>;
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
        ]
    }

    fn rule() -> impl Strategy<Value = Rule> {
        let number = any::<usize>;
        prop_oneof![
            (number(), prop::sample::select(RATES), scope(), any::<bool>())
                .prop_map(|(steps, (_, rate), scope, momentum)| Rule::Gradient { steps, rate, scope, momentum }),
            any::<bool>().prop_map(|recursive| Rule::Ridge { recursive }),
            Just(Rule::Bayes),
            Just(Rule::Prototype),
            number().prop_map(|classes| Rule::Siamese { classes }),
            (number(), number(), scope()).prop_map(|(steps, hidden, scope)| Rule::MetaLstm { steps, hidden, scope }),
        ]
    }

    fn image() -> impl Strategy<Value = Option<Shape>> {
        let shape = (any::<usize>(), any::<usize>(), any::<usize>());
        prop::option::of(shape.prop_map(|(height, width, channels)| Shape { height, width, channels }))
    }

    fn layers<const N: usize>() -> impl Strategy<Value = Vec<Layer, N>> {
        prop::collection::vec(layer(), 0..=N).prop_map(|layers| layers.into_iter().collect())
    }

    fn head() -> impl Strategy<Value = Head> {
        ("[ -~é]{0,12}", layers(), prop::sample::select(LOSSES)).prop_map(|(name, layers, (_, loss))| {
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
            len in any::<usize>(), (_, form) in prop::sample::select(FORMS), backbone in layers(),
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
        for (name, form) in FORMS {
            let (InputForm::Plain | InputForm::Relative | InputForm::Both) = form;
            assert_eq!(serde_json::to_value(form).unwrap(), *name);
        }
        for (name, activation) in ACTIVATIONS {
            let (Activation::Identity | Activation::Relu | Activation::Tanh | Activation::Silu | Activation::Sigmoid) =
                activation;
            assert_eq!(serde_json::to_value(activation).unwrap(), *name);
        }
        for (_, loss) in LOSSES {
            let (Loss::MeanSquared | Loss::Huber { .. } | Loss::BinaryCrossEntropy | Loss::CrossEntropy) = loss;
        }
        for (name, rate) in RATES {
            let (Rate::Constant | Rate::PerLayerStep | Rate::PerParameter) = rate;
            assert_eq!(serde_json::to_value(rate).unwrap(), *name);
        }
    }
}
