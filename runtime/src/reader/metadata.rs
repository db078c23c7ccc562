//! Network and rule, out of the JSON that `sinew_models` writes by way of serde.
//!
//! Read by hand, because the code that serde's derive makes for it takes 16 KB of a microcontroller's flash, and this 3.

use heapless::Vec;
use sinew_models::bundle::{FORMAT, MAX_METADATA};
use sinew_models::rule::{Rate, Rule, Scope};
use sinew_models::spec::{Activation, Head, Input, InputForm, Layer, Loss, MAX_NAME, Name, NetworkSpec};

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
    NetworkSpec { input: Input { len: 0, form: InputForm::Plain }, backbone: Vec::new(), heads: Vec::new() };

/// A rule to be filled.
pub(super) const NO_RULE: Rule = Rule::Gradient { steps: 0, rate: Rate::Constant, scope: Scope::All };

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
    let (mut len, mut form) = (None, None);
    cursor.object(&mut |cursor, key| {
        if key.is("len") {
            let new = cursor.whole()?;
            cursor.once(&mut len, new)
        } else if key.is("form") {
            let new = one_of(cursor, FORMS)?;
            cursor.once(&mut form, new)
        } else {
            Ok(false)
        }
    })?;
    let (Some(len), Some(form)) = (len, form) else {
        return Err(cursor.wrong());
    };
    Ok(Input { len, form })
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

fn read_layer(cursor: &mut Cursor<'_>) -> Read<Layer> {
    let mut layer = None;
    cursor.object(&mut |cursor, kind| {
        let new = if kind.is("dense") { read_dense(cursor)? } else { return Err(cursor.wrong()) };
        cursor.once(&mut layer, new)
    })?;
    layer.ok_or(cursor.wrong())
}

fn read_dense(cursor: &mut Cursor<'_>) -> Read<Layer> {
    let (mut outputs, mut activation) = (None, None);
    cursor.object(&mut |cursor, key| {
        if key.is("outputs") {
            let new = cursor.whole()?;
            cursor.once(&mut outputs, new)
        } else if key.is("activation") {
            let new = one_of(cursor, ACTIVATIONS)?;
            cursor.once(&mut activation, new)
        } else {
            Ok(false)
        }
    })?;
    let (Some(outputs), Some(activation)) = (outputs, activation) else {
        return Err(cursor.wrong());
    };
    Ok(Layer::Dense { outputs, activation })
}

fn read_rule(cursor: &mut Cursor<'_>) -> Read<Rule> {
    let mut rule = None;
    cursor.object(&mut |cursor, kind| {
        let new = if kind.is("gradient") { read_gradient(cursor)? } else { return Err(cursor.wrong()) };
        cursor.once(&mut rule, new)
    })?;
    rule.ok_or(cursor.wrong())
}

fn read_gradient(cursor: &mut Cursor<'_>) -> Read<Rule> {
    let (mut steps, mut rate, mut scope) = (None, None, None);
    cursor.object(&mut |cursor, key| {
        if key.is("steps") {
            let new = cursor.whole()?;
            cursor.once(&mut steps, new)
        } else if key.is("rate") {
            let new = one_of(cursor, RATES)?;
            cursor.once(&mut rate, new)
        } else if key.is("scope") {
            let new = read_scope(cursor)?;
            cursor.once(&mut scope, new)
        } else {
            Ok(false)
        }
    })?;
    let (Some(steps), Some(rate), Some(scope)) = (steps, rate, scope) else {
        return Err(cursor.wrong());
    };
    Ok(Rule::Gradient { steps, rate, scope })
}

/// `"all"`, `"heads"` or `{"layers": [..]}`.
fn read_scope(cursor: &mut Cursor<'_>) -> Read<Scope> {
    if cursor.peek() == b'"' {
        return Ok(if one_of(cursor, &[("all", false), ("heads", true)])? { Scope::Heads } else { Scope::All });
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
        let dense = |(outputs, (_, activation))| Layer::Dense { outputs, activation };
        (any::<usize>(), prop::sample::select(ACTIVATIONS)).prop_map(dense)
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
            prop::collection::vec(any::<u8>(), 0..=20).prop_map(|layers| Scope::Layers(layers.into_iter().collect())),
        ]
    }

    proptest! {
        #[test]
        fn reads_what_serde_writes(
            len in any::<usize>(), (_, form) in prop::sample::select(FORMS), backbone in layers(),
            heads in prop::collection::vec(head(), 0..=4),
            steps in any::<usize>(), (_, rate) in prop::sample::select(RATES), scope in scope(),
        ) {
            let heads = heads.into_iter().collect();
            let network = NetworkSpec { input: Input { len, form }, backbone, heads };
            let rule = Rule::Gradient { steps, rate, scope };
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
