//! Curves of a world of one input and one output: the truth, the support, and predictions before and after adapting.

use std::error::Error;
use std::ops::Range;
use std::path::PathBuf;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use sinew_models::rule::Rule;
use sinew_runtime::{Adapter, Bundle};

use super::Order;
use super::draw::word;
use crate::aligned::Aligned;
use crate::episode::{Episode, Samples};
use crate::picture::{COLOURS, Drawn, GRID, INK, Picture, Scale, write_both};
use crate::table::number;
use crate::world::{Split, World};

/// Tasks, in rows of [`COLUMNS`].
const TASKS: u64 = 6;
const COLUMNS: usize = 3;
/// Places at which curves are drawn.
const PLACES: usize = 201;
const PANEL: [u32; 2] = [330, 250];
const HEAD: u32 = 56;
/// The colour of the truth, under all curves.
const TRUTH: RGBColor = RGBColor(196, 196, 196);
/// Curves are cut where they are farther off than the truth by this share of its range.
const BEYOND: f64 = 0.35;

/// One curve.
#[derive(Clone, Debug, PartialEq)]
struct Curve {
    name: String,
    colour: RGBColor,
    points: Vec<[f64; 2]>,
    /// Half of the 95% interval of a prediction at each point, where it is known.
    half: Option<Vec<f64>>,
}

/// One task.
#[derive(Clone, Debug, PartialEq)]
struct Panel {
    title: String,
    truth: Vec<[f64; 2]>,
    support: Vec<[f64; 2]>,
    curves: Vec<Curve>,
}

#[derive(Clone, Debug, PartialEq)]
struct WavesPicture {
    panels: Vec<Panel>,
    /// Names of the axes, with units.
    axes: [String; 2],
}

fn points(samples: &Samples) -> Vec<[f64; 2]> {
    let mut points: Vec<[f64; 2]> =
        samples.inputs.iter().zip(&samples.targets).map(|(x, y)| [(*x).into(), (*y).into()]).collect();
    points.sort_by(|one, other| one[0].total_cmp(&other[0]));
    points
}

/// Predictions of the bundle before, after one step where it takes several, and after adapting.
fn curves(bytes: &[u8], episode: &Episode, places: &[f32]) -> Result<Vec<Curve>, Box<dyn Error>> {
    let bundle = Bundle::parse(bytes)?;
    let capacity = episode.support.rows.max(1);
    let mut memory = Aligned::zeros(Adapter::memory_len(&bundle, capacity)?);
    let mut adapter = Adapter::new(&bundle, capacity, &mut memory)?;
    for row in 0..episode.support.rows {
        adapter.observe(episode.support.input(row), episode.support.target(row))?;
    }
    let steps = bundle.rule().steps();
    let [blue, vermilion, _, _, orange, ..] = COLOURS;
    let mut wanted = vec![(0, "before adapting".to_owned(), vermilion)];
    if matches!(bundle.rule(), Rule::Gradient { .. } | Rule::MetaLstm { .. }) && steps > 1 {
        wanted.push((1, "after 1 step".into(), orange));
        wanted.push((steps, format!("after {steps} steps"), blue));
    } else {
        wanted.push((steps.max(1), "after adapting".into(), blue));
    }
    let mut curves = Vec::new();
    for (steps, name, colour) in wanted {
        adapter.rollback();
        if steps > 0 && episode.support.rows > 0 {
            adapter.set_steps(steps);
            adapter.adapt(|| false)?;
        }
        let mut mean = vec![0.0; places.len()];
        let mut half = None;
        if *bundle.rule() == Rule::Bayes {
            let mut variance = vec![0.0; places.len()];
            adapter.predict_with_variance(places, &mut mean, &mut variance)?;
            half = Some(variance.iter().map(|variance| 1.96 * f64::from(*variance).sqrt()).collect());
        } else {
            adapter.predict(places, &mut mean)?;
        }
        let points = places.iter().zip(&mean).map(|(x, y)| [(*x).into(), (*y).into()]).collect();
        curves.push(Curve { name, colour, points, half });
    }
    Ok(curves)
}

/// Draws test tasks of `world`, which has one input and one output.
///
/// # Errors
/// If the bundle cannot be adapted, or a file cannot be written.
pub fn draw(world: &dyn World, order: &Order<'_>) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut panels = Vec::new();
    for number in 0..TASKS {
        let mut rng = order.rng(number);
        let task = world.task(Split::Test, &mut rng);
        let episode = world.episode(&task, order.shots, &mut rng);
        let (truth, support) = (points(&episode.query), points(&episode.support));
        let ends = truth.iter().chain(&support).map(|[x, _]| *x);
        let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let place = |number: usize| (low + (high - low) * number as f64 / (PLACES - 1) as f64) as f32;
        let places: Vec<f32> = (0..PLACES).map(place).collect();
        let curves = order.bundle.map_or(Ok(Vec::new()), |bytes| curves(bytes, &episode, &places))?;
        let title = errors(order.bundle, &episode)?;
        panels.push(Panel { title: format!("Task {}{title}", number + 1), truth, support, curves });
    }
    let signature = world.signature();
    let named = |name: &str, unit: &str| if unit == "1" { name.to_owned() } else { format!("{name} [{unit}]") };
    let axes = [&signature.inputs[0], &signature.outputs[0]].map(|column| named(&column.name, &column.unit));
    write_both(order.folder, world.name(), &WavesPicture { panels, axes })
}

/// Squared errors over the query before and after, in words; nothing without a bundle.
fn errors(bundle: Option<&[u8]>, episode: &Episode) -> Result<String, Box<dyn Error>> {
    let Some(bytes) = bundle else { return Ok(String::new()) };
    let said = curves(bytes, episode, &episode.query.inputs)?;
    let error = |curve: &Curve| {
        let said: Vec<f32> = curve.points.iter().map(|[_, y]| *y as f32).collect();
        number(crate::metric::mse(&said, &episode.query.targets))
    };
    let ends = said.first().zip(said.last());
    Ok(ends.map_or(String::new(), |(before, after)| format!(": squared error {} → {}", error(before), error(after))))
}

impl WavesPicture {
    /// What all y axes run over.
    fn range(&self) -> Range<f64> {
        let seen = self.panels.iter().flat_map(|panel| panel.truth.iter().chain(&panel.support)).map(|[_, y]| *y);
        let (low, high) = seen.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)));
        let beyond = (BEYOND * (high - low)).max(1e-3);
        low - beyond..high + beyond
    }

    fn rows(&self) -> usize {
        self.panels.len().div_ceil(COLUMNS)
    }
}

impl Picture for WavesPicture {
    fn size(&self) -> [u32; 2] {
        let [width, height] = PANEL;
        [width * COLUMNS as u32, HEAD + height * self.rows() as u32]
    }

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let mut x = 16;
        let curves = self.panels.first().map_or(&[][..], |panel| &panel.curves[..]);
        let names = curves.iter().map(|curve| (curve.name.as_str(), Some(curve.colour)));
        for (name, colour) in [("truth", None), ("support", None)].into_iter().chain(names) {
            let y = HEAD as i32 / 2 - 4;
            let dot = |x: i32, radius: i32, colour: RGBColor| {
                Circle::new((scale.at(x), scale.at(y)), scale.at(radius), colour.filled())
            };
            match (name, colour) {
                (_, Some(colour)) => {
                    let ends = [(scale.at(x), scale.at(y)), (scale.at(x + 24), scale.at(y))];
                    root.draw(&PathElement::new(ends, colour.stroke_width(scale.of(2))))?;
                }
                ("support", None) => root.draw(&dot(x + 12, 4, INK))?,
                _ => {
                    for place in 0..5 {
                        root.draw(&dot(x + 2 + 5 * place, 3, TRUTH))?;
                    }
                }
            }
            word(root, scale, name, [x + 32, y], INK, HPos::Left)?;
            x += 48 + root.estimate_text_size(name, &scale.text(INK, HPos::Left))?.0 as i32 / scale.at(1) + 12;
        }
        let y = self.range();
        let inside = |value: f64| value.clamp(y.start, y.end);
        let below = root.margin(scale.of(HEAD), 0, 0, 0);
        for (area, Panel { title, truth, support, curves }) in
            below.split_evenly((self.rows(), COLUMNS)).iter().zip(&self.panels)
        {
            let ends = truth.iter().chain(support).map(|[x, _]| *x);
            let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
            let margin = (0.02 * (high - low)).max(1e-6);
            let mut chart = ChartBuilder::on(area)
                .margin(scale.of(6))
                .margin_right(scale.of(14))
                .margin_top(scale.of(28))
                .x_label_area_size(scale.of(40))
                .y_label_area_size(scale.of(48))
                .build_cartesian_2d(low - margin..high + margin, y.clone())?;
            chart
                .configure_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(GRID.stroke_width(scale.of(1)))
                .axis_style(INK.stroke_width(scale.of(1)))
                .label_style(("sans-serif", scale.at(12)))
                .x_labels(6)
                .y_labels(6)
                .x_label_formatter(&|value| format!("{value:.0}"))
                .y_label_formatter(&|value| format!("{value:.0}"))
                .x_desc(&self.axes[0])
                .y_desc(&self.axes[1])
                .draw()?;
            for Curve { colour, points, half, .. } in curves {
                let Some(half) = half else { continue };
                let high = points.iter().zip(half).map(|([x, y], half)| (*x, inside(y + half)));
                let low = points.iter().zip(half).rev().map(|([x, y], half)| (*x, inside(y - half)));
                chart.draw_series([Polygon::new(high.chain(low).collect::<Vec<_>>(), colour.mix(0.12))])?;
            }
            let dots = |points: &[[f64; 2]], radius: i32, colour: RGBColor| -> Vec<Circle<(f64, f64), i32>> {
                points.iter().map(|[x, y]| Circle::new((*x, inside(*y)), scale.at(radius), colour.filled())).collect()
            };
            chart.draw_series(dots(truth, 3, TRUTH))?;
            for Curve { colour, points, .. } in curves {
                let line = points.iter().map(|[x, y]| (*x, inside(*y)));
                chart.draw_series(LineSeries::new(line, colour.stroke_width(scale.of(2))))?;
            }
            chart.draw_series(dots(support, 4, INK))?;
            let (left, top) = area.get_base_pixel();
            let place = (left + scale.at(56), top + scale.at(14));
            root.draw(&scale.word(title.clone(), place, scale.text_of(12, INK, HPos::Left)))?;
        }
        Ok(())
    }
}
