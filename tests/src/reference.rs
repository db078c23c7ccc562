//! A network in f64, from the definitions alone. Slow; differentiated exactly, once and twice, by a tape of dual numbers.

mod dual;
mod tape;

use sinew_models::layout::{Place, PlacedLayer};
use sinew_models::spec::{Activation, Layer, Loss, NetworkSpec, Shape, Window};

use tape::{Tape, Variable};

pub use dual::{Dual, Number};

fn activate<N: Number>(activation: Activation, z: N) -> N {
    let (zero, one) = (N::constant(0.0), N::constant(1.0));
    let sigmoid = |z: N| one / (one + (zero - z).exp());
    match activation {
        Activation::Identity => z,
        Activation::Relu if z.above(zero) => z,
        Activation::Relu => zero,
        Activation::Tanh => z.tanh(),
        Activation::Sigmoid => sigmoid(z),
        Activation::Silu => z * sigmoid(z),
    }
}

/// Outputs of all heads side by side for one presented row.
pub fn outputs<N: Number>(spec: &NetworkSpec, params: &[N], x: &[f64]) -> Vec<N> {
    features_and_outputs(spec, params, x).1
}

/// What the heads see of one presented row.
pub fn features(spec: &NetworkSpec, params: &[f64], x: &[f64]) -> Vec<f64> {
    let params: Vec<Dual> = params.iter().map(|p| Dual::constant(*p)).collect();
    features_and_outputs(spec, &params, x).0.iter().map(|z| z.value).collect()
}

fn features_and_outputs<N: Number>(spec: &NetworkSpec, params: &[N], x: &[f64]) -> (Vec<N>, Vec<N>) {
    let input: Vec<N> = x.iter().map(|x| N::constant(*x)).collect();
    let (mut features, mut values, mut all) = (input.clone(), input, Vec::new());
    let layers: Vec<_> = spec.layers().collect();
    // What each layer of this backbone or head took in.
    let mut taken: Vec<Vec<N>> = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        if layer.index == 0 {
            taken.clear();
        }
        if layer.place != Place::Backbone && layer.index == 0 {
            values = features.clone();
        }
        taken.push(values.clone());
        let (w, b) = params[layer.offset..][..layer.param_len()].split_at(layer.weight_len());
        values = sums(layer, w, b, &values, &taken).into_iter().map(|z| activate(layer.activation(), z)).collect();
        if layer.place == Place::Backbone {
            features = values.clone();
        }
        let ends = layers.get(number + 1).is_none_or(|next| next.place != layer.place);
        if ends && layer.place != Place::Backbone {
            all.extend_from_slice(&values);
        }
    }
    (features, all)
}

/// What a layer makes of `x` before its activation.
fn sums<N: Number>(layer: &PlacedLayer, w: &[N], b: &[N], x: &[N], taken: &[Vec<N>]) -> Vec<N> {
    let Shape { height, width, channels } = layer.input;
    let zero = N::constant(0.0);
    let sum = |values: &mut dyn Iterator<Item = N>, start: N| values.fold(start, |sum, value| sum + value);
    // The pixel at a place that may lie in the padding.
    let pixel = |y: isize, x_at: isize, channel: usize| {
        let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x_at);
        inside.then(|| x[(y as usize * width + x_at as usize) * channels + channel])
    };
    // For each place and tap of a window: tap, and where in the image it lies.
    let taps = |window: Window, at: [usize; 2]| -> Vec<([usize; 2], isize, isize)> {
        let [kernel_height, kernel_width] = window.size.map(usize::from);
        let from =
            |axis: usize| (at[axis] * usize::from(window.stride[axis])) as isize - isize::from(window.padding[axis]);
        (0..kernel_height)
            .flat_map(|v| (0..kernel_width).map(move |h| [v, h]))
            .map(|[v, h]| ([v, h], from(0) + v as isize, from(1) + h as isize))
            .collect()
    };
    let mut z = Vec::new();
    let over_places = |each: &mut dyn FnMut([usize; 2])| {
        for v in 0..layer.output.height {
            for h in 0..layer.output.width {
                each([v, h]);
            }
        }
    };
    match layer.layer {
        Layer::Dense { outputs, .. } => {
            for o in 0..outputs {
                z.push(sum(&mut x.iter().enumerate().map(|(i, x)| w[o * layer.inputs() + i] * *x), b[o]));
            }
        }
        Layer::Convolution { outputs, window, .. } => {
            let [kernel_height, kernel_width] = window.size.map(usize::from);
            over_places(&mut |at| {
                for o in 0..outputs {
                    let mut total = b[o];
                    for ([v, h], y, x) in taps(window, at) {
                        for c in 0..channels {
                            let weight = w[((o * channels + c) * kernel_height + v) * kernel_width + h];
                            total = total + pixel(y, x, c).map_or(zero, |value| weight * value);
                        }
                    }
                    z.push(total);
                }
            });
        }
        Layer::Depthwise { window, .. } => {
            let [kernel_height, kernel_width] = window.size.map(usize::from);
            over_places(&mut |at| {
                for c in 0..channels {
                    let products = taps(window, at).into_iter().map(|([v, h], y, x)| {
                        pixel(y, x, c).map_or(zero, |value| w[(c * kernel_height + v) * kernel_width + h] * value)
                    });
                    z.push(products.fold(b[c], |sum, product| sum + product));
                }
            });
        }
        Layer::MaxPool { window } => over_places(&mut |at| {
            for c in 0..channels {
                let values = taps(window, at).into_iter().filter_map(|(_, y, x)| pixel(y, x, c));
                z.extend(values.reduce(|best, value| if value.above(best) { value } else { best }));
            }
        }),
        Layer::AveragePool { window } => over_places(&mut |at| {
            for c in 0..channels {
                let taps = taps(window, at);
                let count = N::constant(taps.len() as f64);
                z.push(sum(&mut taps.into_iter().filter_map(|(_, y, x)| pixel(y, x, c)), zero) / count);
            }
        }),
        Layer::GlobalAveragePool => {
            for c in 0..channels {
                let values = sum(&mut x.iter().skip(c).step_by(channels).copied(), zero);
                z.push(values / N::constant((height * width) as f64));
            }
        }
        Layer::LayerNorm { .. } => {
            let count = N::constant(x.len() as f64);
            let mean = sum(&mut x.iter().copied(), zero) / count;
            let square = |value: &N| (*value - mean) * (*value - mean);
            let variance = sum(&mut x.iter().map(square), zero) / count;
            let deviation = (variance + N::constant(1e-5)).sqrt();
            z.extend(x.iter().enumerate().map(|(i, x)| w[i % channels] * (*x - mean) / deviation + b[i % channels]));
        }
        Layer::Residual { layers, .. } => {
            let skip = &taken[layer.index - layers];
            z.extend(x.iter().zip(skip).map(|(x, skip)| *x + *skip));
        }
        Layer::Flatten => {
            for c in 0..channels {
                z.extend(x.iter().skip(c).step_by(channels));
            }
        }
        Layer::Context { .. } => z.extend(x.iter().chain(w)),
        Layer::Mixture { experts, gates, first, outputs, activation } => {
            let [experts, gates, first, outputs] = [experts, gates, first, outputs].map(usize::from);
            let (values, logits) = x.split_at(x.len() - gates * experts);
            let units = values.len() / experts;
            let values: Vec<N> = values.iter().map(|h| activate(activation, *h)).collect();
            for logits in logits.chunks_exact(experts).skip(first).take(outputs) {
                let top = N::constant(logits.iter().fold(f64::NEG_INFINITY, |top, l| top.max(l.value())));
                let powers: Vec<N> = logits.iter().map(|l| (*l - top).exp()).collect();
                let whole = sum(&mut powers.iter().copied(), zero);
                for unit in 0..units {
                    let of_experts = values.iter().skip(unit).step_by(units);
                    z.push(sum(&mut of_experts.zip(&powers).map(|(a, p)| *a * *p / whole), zero));
                }
            }
        }
    }
    z
}

/// Σ λ L over heads, the mean over rows. A target that is NaN is missing and adds nothing; with the cross-entropy so is its row.
pub fn loss<N: Number>(spec: &NetworkSpec, params: &[N], x: &[f64], y: &[f64], rows: usize) -> N {
    let (inputs, outs) = (spec.input.presented_len(), spec.output_len());
    let mut total = N::constant(0.0);
    for row in 0..rows {
        let z = outputs(spec, params, &x[row * inputs..][..inputs]);
        let mut column = 0;
        for head in &spec.heads {
            let z = &z[column..][..head.outputs()];
            let y = &y[row * outs + column..][..head.outputs()];
            let count = if head.loss == Loss::CrossEntropy { rows } else { rows * head.outputs() };
            let share = N::constant(f64::from(head.weight) / count as f64);
            total = total + row_loss(head.loss, z, y) * share;
            column += head.outputs();
        }
    }
    total
}

fn row_loss<N: Number>(loss: Loss, z: &[N], y: &[f64]) -> N {
    let there: Vec<_> = z.iter().zip(y).filter(|(_, y)| !y.is_nan()).map(|(z, y)| (*z, *y)).collect();
    if there.len() < y.len() {
        if there.is_empty() || loss == Loss::CrossEntropy {
            return N::constant(0.0);
        }
        let (z, y): (Vec<N>, Vec<f64>) = there.into_iter().unzip();
        return row_loss(loss, &z, &y);
    }
    let one = N::constant(1.0);
    let sum = |values: &mut dyn Iterator<Item = N>| values.fold(N::constant(0.0), |a, b| a + b);
    match loss {
        Loss::MeanSquared => sum(&mut z.iter().zip(y).map(|(z, y)| {
            let e = *z - N::constant(*y);
            e * e
        })),
        Loss::Huber { delta } => sum(&mut z.iter().zip(y).map(|(z, y)| {
            let (e, delta, half) = (*z - N::constant(*y), N::constant(f64::from(delta)), N::constant(0.5));
            let size = if e.value() < 0.0 { N::constant(0.0) - e } else { e };
            if size.above(delta) { delta * (size - half * delta) } else { half * e * e }
        })),
        // −y ln σ(z) − (1 − y) ln(1 − σ(z)), in a form that no large z overflows; so is the next.
        Loss::BinaryCrossEntropy => sum(&mut z.iter().zip(y).map(|(z, y)| {
            let zero = N::constant(0.0);
            let softplus = |z: N| {
                if z.value() > 0.0 { z + (one + (zero - z).exp()).ln() } else { (one + z.exp()).ln() }
            };
            N::constant(*y) * softplus(zero - *z) + N::constant(1.0 - *y) * softplus(*z)
        })),
        Loss::CrossEntropy => {
            let top = N::constant(z.iter().fold(f64::NEG_INFINITY, |top, z| top.max(z.value())));
            let whole = top + sum(&mut z.iter().map(|z| (*z - top).exp())).ln();
            sum(&mut z.iter().zip(y).map(|(z, y)| N::constant(*y) * (whole - *z)))
        }
    }
}

/// What the derivatives of a loss are at some parameters.
#[derive(Clone, Debug)]
pub struct Derivatives {
    /// The loss itself.
    pub loss: f64,
    /// ∇L, as the parameters lie.
    pub gradient: Vec<f64>,
    /// ∇²L v, as the parameters lie.
    pub product: Vec<f64>,
    /// How far the nearest kink is: the least |z| before a rectifier, ||e| − δ| of a Huber loss, or difference of two values that a
    /// pool compared. Arithmetic that is off by less takes the same side of each.
    pub margin: f64,
}

/// The loss at `params` with its gradient and the product of its Hessian with `v`.
pub fn derivatives(spec: &NetworkSpec, params: &[f64], v: &[f64], x: &[f64], y: &[f64], rows: usize) -> Derivatives {
    assert_eq!(params.len(), v.len());
    let tape = Tape::new();
    let variable = |(value, slope): (&f64, &f64)| tape.variable(Dual { value: *value, slope: *slope });
    let params: Vec<Variable<'_>> = params.iter().zip(v).map(variable).collect();
    let result = loss(spec, &params, x, y, rows);
    let by_params = tape.derivatives(result, params.len());
    Derivatives {
        loss: result.value(),
        gradient: by_params.iter().map(|dual| dual.value).collect(),
        product: by_params.iter().map(|dual| dual.slope).collect(),
        margin: tape.margin(),
    }
}

/// The loss and its gradient at `params`.
pub fn gradient(spec: &NetworkSpec, params: &[f64], x: &[f64], y: &[f64], rows: usize) -> (f64, Vec<f64>) {
    let derivatives = derivatives(spec, params, &vec![0.0; params.len()], x, y, rows);
    (derivatives.loss, derivatives.gradient)
}

/// `d/dt f(p + t e_j)` for every j by central differences.
pub fn differences(params: &[f64], step: f64, f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut at = params.to_vec();
    (0..params.len())
        .map(|j| {
            let here = at[j];
            at[j] = here + step;
            let above = f(&at);
            at[j] = here - step;
            let below = f(&at);
            at[j] = here;
            (above - below) / (2.0 * step)
        })
        .collect()
}

/// `max |a − b| / (largest |b| + floor)`; NaN if any difference is.
pub fn relative_error(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let scale = b.iter().fold(1e-3_f64, |scale, b| scale.max(b.abs()));
    a.iter().zip(b).fold(0.0, |worst: f64, (a, b)| {
        let error = (f64::from(*a) - b).abs() / scale;
        if error.is_nan() || worst.is_nan() { f64::NAN } else { worst.max(error) }
    })
}
