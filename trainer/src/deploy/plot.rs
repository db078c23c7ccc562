//! What agents did, as curves over how much they had learned from: means with their 95% intervals.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::report::{Deployed, Deployment};
use super::roster::RIVALS;
use super::{grasp, terrain};
use crate::picture::{self, COLOURS, Drawn, GRID, INK, Picture, Scale};

const PANEL: [u32; 2] = [470, 300];
const COLUMNS: usize = 2;
const ROW: i32 = 22;
const MARGIN: i32 = 14;
/// From one agent's interval to the next, by the distance of ticks,
const ASIDE: f64 = 0.035;
/// and at most from the first to the last, so that each is near its tick.
const SPREAD: f64 = 0.6;
/// Ways of marking a point.
const SIGNS: usize = 4;

/// The curves of one panel of a deployment.
#[derive(Clone, Debug, PartialEq)]
struct Curves {
    title: String,
    /// Below the axis.
    what: String,
    unit: &'static str,
    /// What stands at the ticks.
    after: Vec<String>,
    /// For each agent at each tick the mean and half of its 95% interval.
    points: Vec<Vec<[f64; 2]>>,
}

/// An agent in the legend.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Agent {
    name: String,
    /// Whether it is a bundle; the others are thinner.
    bundle: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct CurvesPicture {
    agents: Vec<Agent>,
    panels: Vec<Curves>,
}

impl CurvesPicture {
    /// Of those panels of which every column is after some number of steps.
    fn of(deployment: &Deployment) -> Self {
        let mut first = 0;
        let mut panels = Vec::new();
        for panel in &deployment.panels {
            let columns = first..first + panel.columns.len();
            first = columns.end;
            let number = |name: &str| name.strip_prefix("after ").map(str::to_owned);
            let after: Option<Vec<String>> = panel.columns.iter().map(|column| number(&column.name)).collect();
            let Some(after) = after.filter(|after| after.len() > 1) else { continue };
            let points = |agent: &Deployed| {
                let score = |column| deployment.cell(agent, column).score;
                columns.clone().map(|column| [score(column).mean, score(column).ci95]).collect()
            };
            panels.push(Curves {
                // The axis says after what.
                title: panel.title.trim_end_matches(", after driven edges").into(),
                what: if deployment.trials == "missions" { "driven edges" } else { "tries" }.into(),
                unit: panel.columns[0].unit,
                after,
                points: deployment.agents.iter().map(points).collect(),
            });
        }
        let others = [&RIVALS[..], &terrain::OWN, &grasp::OWN].concat();
        let agent = |agent: &Deployed| Agent { bundle: !others.contains(&&*agent.name), name: agent.name.clone() };
        Self { agents: deployment.agents.iter().map(agent).collect(), panels }
    }

    fn rows(&self) -> usize {
        self.panels.len().div_ceil(COLUMNS)
    }

    fn columns(&self) -> usize {
        self.panels.len().clamp(1, COLUMNS)
    }
}

/// The colour and the sign of an agent by its place: colours go round, signs with each round.
fn look(place: usize) -> (RGBColor, usize) {
    (COLOURS[place % COLOURS.len()], place / COLOURS.len() % SIGNS)
}

/// Draws the sign of an agent about a place in pixels.
fn sign<B: DrawingBackend>(root: &DrawingArea<B, Shift>, scale: Scale, place: usize, (x, y): (i32, i32)) -> Drawn
where
    B::ErrorType: 'static,
{
    let (colour, sign) = look(place);
    let half = scale.at(4);
    match sign {
        0 => root.draw(&Circle::new((x, y), half, colour.filled()))?,
        1 => root.draw(&Rectangle::new([(x - half, y - half), (x + half, y + half)], colour.filled()))?,
        2 => root.draw(&TriangleMarker::new((x, y), scale.at(6), colour.filled()))?,
        _ => {
            let far = scale.at(5);
            root.draw(&Polygon::new([(x - far, y), (x, y - far), (x + far, y), (x, y + far)], colour.filled()))?;
        }
    }
    Ok(())
}

impl Picture for CurvesPicture {
    fn size(&self) -> [u32; 2] {
        let longest = self.agents.iter().map(|agent| agent.name.chars().count()).max().unwrap_or(0) as u32;
        let legend = 2 * MARGIN as u32 + 44 + 9 * longest;
        let height = (PANEL[1] * self.rows() as u32).max((2 * MARGIN + ROW * self.agents.len() as i32) as u32);
        [PANEL[0] * self.columns() as u32 + legend, height]
    }

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let (curves, _) = root.split_horizontally(scale.of(PANEL[0] * self.columns() as u32));
        let (curves, _) = curves.split_vertically(scale.of(PANEL[1] * self.rows() as u32));
        for (area, panel) in curves.split_evenly((self.rows(), self.columns())).iter().zip(&self.panels) {
            self.draw_panel(root, area, panel, scale)?;
        }
        let left = (PANEL[0] * self.columns() as u32) as i32 + MARGIN;
        for (place, agent) in self.agents.iter().enumerate() {
            let y = MARGIN + ROW * place as i32 + ROW / 2;
            let ends = [(scale.at(left), scale.at(y)), (scale.at(left + 30), scale.at(y))];
            let width = scale.of(if agent.bundle { 3 } else { 1 });
            root.draw(&PathElement::new(ends, look(place).0.stroke_width(width)))?;
            sign(root, scale, place, (scale.at(left + 15), scale.at(y)))?;
            let name = (scale.at(left + 40), scale.at(y));
            root.draw(&scale.word(agent.name.clone(), name, scale.text(INK, HPos::Left)))?;
        }
        Ok(())
    }
}

impl CurvesPicture {
    fn draw_panel<B: DrawingBackend>(
        &self,
        root: &DrawingArea<B, Shift>,
        area: &DrawingArea<B, Shift>,
        panel: &Curves,
        scale: Scale,
    ) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let known = |[mean, half]: &[f64; 2]| [*mean, if half.is_finite() { *half } else { 0.0 }];
        let ends = panel.points.iter().flatten().map(known).filter(|[mean, _]| mean.is_finite());
        let ends = ends.flat_map(|[mean, half]| [mean - half, mean + half]);
        let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)));
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        // Values that are all the same have an axis, too.
        let margin = (0.06 * (high - low)).max(0.02 * high.abs()).max(1e-6);
        let last = panel.after.len() as f64 - 1.0;
        let mut chart = ChartBuilder::on(area)
            .margin_left(scale.of(10))
            .margin_right(scale.of(16))
            .margin_top(scale.of(36))
            .x_label_area_size(scale.of(48))
            .y_label_area_size(scale.of(48))
            .build_cartesian_2d(-0.35..last + 0.35, low - margin..high + margin)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(scale.of(1)))
            .axis_style(INK.stroke_width(scale.of(1)))
            .label_style(("sans-serif", scale.at(13)))
            .x_labels(0)
            .y_labels(6)
            .y_label_formatter(&|value| {
                let text = format!("{value:.3}");
                text.trim_end_matches('0').trim_end_matches('.').into()
            })
            .draw()?;
        let plot = chart.plotting_area();
        let pixel = |x: f64, y: f64| plot.map_coordinate(&(x, y));
        let floor = pixel(0.0, low - margin).1;
        for (tick, text) in panel.after.iter().enumerate() {
            let (x, _) = pixel(tick as f64, low);
            root.draw(&PathElement::new([(x, floor), (x, floor + scale.at(4))], INK.stroke_width(scale.of(1))))?;
            root.draw(&scale.word(text.clone(), (x, floor + scale.at(14)), scale.text_of(13, INK, HPos::Center)))?;
        }
        let below = (pixel(0.5 * last, low).0, floor + scale.at(33));
        root.draw(&scale.word(format!("after {}", panel.what), below, scale.text_of(13, INK, HPos::Center)))?;
        let (left, top) = area.get_base_pixel();
        let unit = if panel.unit == "1" { String::new() } else { format!(" [{}]", panel.unit) };
        let head = (left + scale.at(14), top + scale.at(20));
        root.draw(&scale.word(format!("{}{unit}", panel.title), head, scale.text(INK, HPos::Left)))?;
        let gaps = panel.points.len() as f64 - 1.0;
        let aside = |place: usize| ASIDE.min(SPREAD / gaps) * (place as f64 - 0.5 * gaps);
        // Bundles come first and are drawn last.
        for (place, points) in panel.points.iter().enumerate().rev() {
            let (colour, _) = look(place);
            let width = scale.of(if self.agents[place].bundle { 3 } else { 1 });
            let known: Vec<(f64, [f64; 2])> = points
                .iter()
                .enumerate()
                .map(|(tick, point)| (tick as f64 + aside(place), known(point)))
                .filter(|(_, [mean, _])| mean.is_finite())
                .collect();
            let line: Vec<(i32, i32)> = known.iter().map(|(x, [mean, _])| pixel(*x, *mean)).collect();
            root.draw(&PathElement::new(line.clone(), colour.stroke_width(width)))?;
            for ((x, [mean, half]), at) in known.into_iter().zip(line) {
                let ends = [pixel(x, mean - half), pixel(x, mean + half)];
                root.draw(&PathElement::new(ends, colour.stroke_width(scale.of(1))))?;
                sign(root, scale, place, at)?;
            }
        }
        Ok(())
    }
}

/// A picture as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// As SVG.
    pub svg: String,
    /// As PNG.
    pub png: Vec<u8>,
}

/// The curves; none where no panel has columns after one another.
///
/// # Errors
/// If they cannot be drawn.
pub fn curves(deployment: &Deployment) -> Result<Option<Files>, Box<dyn Error>> {
    let picture = CurvesPicture::of(deployment);
    if picture.panels.is_empty() {
        return Ok(None);
    }
    Ok(Some(Files { svg: picture::svg(&picture)?, png: picture::png(&picture)? }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::report::{Column, Panel};

    #[test]
    fn panels_over_tries_become_curves() {
        let columns = |names: &[&str]| names.iter().map(|name| Column { name: (*name).into(), unit: "nat" }).collect();
        let agent = |name: &str, by: f64| Deployed {
            name: name.into(),
            scores: vec![(0..4).map(|trial| vec![9.0, by, by + 0.1 * f64::from(trial), f64::NAN]).collect()],
        };
        let deployment = Deployment {
            world: "grasp".into(),
            trials: "objects",
            seed: 0,
            panels: vec![
                Panel { title: "whole".into(), columns: columns(&["time"]) },
                Panel { title: "greedy & more".into(), columns: columns(&["after 1", "after 5", "after 10"]) },
            ],
            agents: vec![agent("ours", 0.5), agent("unadapted", 0.25)],
            reference: "unadapted".into(),
            notes: String::new(),
        };
        let picture = CurvesPicture::of(&deployment);
        assert_eq!(picture.panels.len(), 1);
        assert_eq!(picture.panels[0].after, ["1", "5", "10"]);
        assert_eq!((picture.panels[0].points[0][0], picture.panels[0].points[1][1][0]), ([0.5, 0.0], 0.4));
        assert_eq!(picture.agents.iter().map(|agent| agent.bundle).collect::<Vec<_>>(), [true, false]);
        let Files { svg, png } = curves(&deployment).unwrap().unwrap();
        assert!(svg.contains("greedy &amp; more [nat]") && svg.contains("unadapted") && svg.contains("after tries"));
        assert!(!svg.contains("whole") && !svg.contains("NaN"), "{svg}");
        assert_eq!(png, curves(&deployment).unwrap().unwrap().png);
        let without = Deployment { panels: deployment.panels[..1].to_vec(), ..deployment };
        assert!(curves(&without).unwrap().is_none());
    }

    #[test]
    fn all_learners_and_rivals_look_different() {
        let looks: std::collections::HashSet<_> =
            (0..26).map(look).map(|(RGBColor(red, green, blue), sign)| (red, green, blue, sign)).collect();
        assert_eq!(looks.len(), 26);
    }
}
