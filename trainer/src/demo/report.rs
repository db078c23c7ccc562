//! The report: one page of HTML that needs nothing beside it.

pub mod html;
pub mod map;
pub mod plot;

use std::error::Error;
use std::time::Duration;

use self::html::{escaped, figure, paragraph, table};
use self::plot::{ADAPTED, Axes, Curve, ORACLE, Point, UNADAPTED};
use super::campaign::{self, Driven, JUDGED, Judged, PREPARED, Who};
use super::tables;
use crate::evaluate::Evaluation;
use crate::metric::Summary;
use crate::model::Model;
use crate::table::number;
use crate::train::Line;
use crate::world::terrain::Terrain;
use crate::world::terrain::map::Surface;

/// By this the demo knows a report of its own.
pub const MARK: &str = "<meta name=\"generator\" content=\"sinew demo\">";

const STYLE: &str = include_str!("report/style.css");

/// What is told.
#[derive(Debug)]
pub struct Report<'a> {
    /// The world.
    pub world: &'a Terrain,
    /// What was trained.
    pub model: &'a Model,
    /// Bytes of the bundle.
    pub bundle_len: usize,
    /// What it is worth on test episodes.
    pub evaluation: &'a Evaluation,
    /// The missions.
    pub driven: &'a [Driven],
    /// The time that an adaptation may take.
    pub budget: Duration,
    /// Losses during training: of the bundle and of the pooled network.
    pub training: [&'a [Line]; 2],
}

impl Report<'_> {
    /// The page.
    ///
    /// # Errors
    /// If something cannot be drawn.
    pub fn page(&self) -> Result<String, Box<dyn Error>> {
        let sections = [
            ("", self.what()),
            ("Missions", self.missions()),
            ("Two of the missions", self.maps()?),
            ("What an edge costs, before and after", self.costs()?),
            ("As edges are driven", self.learning_on_the_way()?),
            ("How long adapting takes", self.latency()?),
            ("Test episodes", self.evaluated()),
            ("Training", self.training()?),
        ];
        let body: String = sections
            .into_iter()
            .map(|(title, text)| match title {
                "" => text,
                title => format!("<h2>{}</h2>\n{text}", escaped(title)),
            })
            .collect();
        let head = format!("<meta charset=\"utf-8\">\n{MARK}\n<title>sinew demo</title>\n<style>\n{STYLE}</style>");
        Ok(format!("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n{head}\n</head>\n<body>\n{body}</body>\n</html>\n"))
    }

    fn what(&self) -> String {
        let lines = campaign::lines(self.driven);
        let of = |who: Who| &lines[who as usize];
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let latencies = campaign::latencies(self.driven);
        let facts = [
            (percent(of(Who::Unadapted).regret.mean), "energy beyond the best way, without adapting"),
            (percent(of(Who::Adapted).regret.mean), "adapting on the way, from the first edge"),
            (percent(of(Who::Prepared).regret.mean), "having adapted to 16 edges elsewhere, too"),
            (format!("{:.0} µs", latencies.percentile(0.5)), "for one adaptation, median"),
        ];
        let facts: String = facts
            .iter()
            .map(|(value, what)| {
                format!("<div class=\"fact\"><b>{}</b><span>{}</span></div>\n", escaped(value), escaped(what))
            })
            .collect();
        let about = &self.model.about;
        format!(
            "<h1>A rover that learns the ground under it</h1>\n{}<div class=\"facts\">\n{facts}</div>\n{}{}",
            paragraph(
                "A simulated rover crosses country that its network has not seen. Its sensors show slopes, surfaces, wetness, \
                 roughness and steps; how strong the soil is, what the rover carries and how good its drive is they do not show. \
                 The network was meta-trained so that a few driven edges tell the rest: after each edge the rover adapts it, \
                 predicts what every edge of the map costs and plans anew."
            ),
            paragraph(
                "This world was chosen because adapting pays in it: where sites differ by a common factor only, predictions \
                 improve and routes hardly do. Training here is short; sinew train with trainer/configs/terrain.toml goes on for longer."
            ),
            paragraph(&format!(
                "sinew {}, seed {}, the best of its training at {} iterations, {} parameters, a bundle of {} bytes. Every ± is half \
                 of a 95% interval.",
                about.version,
                about.seed,
                about.iterations,
                self.model.state.params.len(),
                self.bundle_len
            )),
        )
    }

    fn missions(&self) -> String {
        let (header, rows) = tables::missions(self.driven);
        paragraph(&format!(
            "{} missions, each on a test task of its own: another site, another load, from one cell to another at least 72 m away. All \
             rovers of a mission have the same noise. The un-adapted one plans once, with a network that was trained on all tasks \
             pooled; the oracle plans once, on the true energies. Two adapt on the way, to the last {} edges; of these, the one that \
             adapted before, too, had driven {PREPARED} edges on another map of its site when it set out. Regret is the true energy \
             that a rover took beyond that of the oracle, as a share of it; stuck are edges at a slip beyond 0.8, through which it \
             had to dig itself. The last columns count for each mission.",
            self.driven.len(),
            campaign::REMEMBERED
        )) + &table(&header, &rows)
    }

    fn maps(&self) -> Result<String, Box<dyn Error>> {
        let [median, best] = campaign::pictured(self.driven);
        let mut figures = String::new();
        for (driven, which) in [(median, "the median saving"), (best, "the largest saving")] {
            let Some(driven) = driven else { continue };
            let rover = driven.mission.rover(self.world);
            let [unadapted, adapted] =
                [Who::Unadapted, Who::Adapted].map(|who| format!("{:.1}", 100.0 * driven.regret(who)));
            let caption = format!(
                "The mission with {which}: regret {unadapted} % without adapting, {adapted} % adapting on the way."
            );
            figures += &figure(&map::map(rover.map(), driven)?, &caption);
        }
        let swatch = |colour: plotters::style::RGBColor, name: &str| {
            let plotters::style::RGBColor(red, green, blue) = colour;
            format!("<span><i style=\"background:rgb({red},{green},{blue})\"></i>{}</span>\n", escaped(name))
        };
        let ways: String = [(ORACLE, "oracle"), (UNADAPTED, "un-adapted"), (ADAPTED, "adapted on the way")]
            .map(|(colour, name)| swatch(colour, name))
            .concat();
        let surfaces: String =
            Surface::ALL.map(|surface| swatch(map::colour(surface), &format!("{surface:?}").to_lowercase())).concat();
        Ok(format!(
            "{}<div class=\"legend\">{ways}</div>\n<div class=\"legend\">{surfaces}</div>\n<div class=\"pair\">\n{figures}</div>\n",
            paragraph(
                "128 m along each side, lit from the upper left. The rover goes from the ring to the square. Narrow lines lie on \
                 wide ones where rovers share the way."
            )
        ))
    }

    fn costs(&self) -> Result<String, Box<dyn Error>> {
        /// Every so many edges are drawn.
        const EVERY: usize = 23;
        let joules = |log: &f32| f64::from(*log).exp();
        let mut rows = String::new();
        for (driven, which) in campaign::pictured(self.driven).into_iter().zip(["median", "largest"]) {
            let Some(driven) = driven else { continue };
            let truth = || driven.truth.iter().step_by(EVERY).map(joules);
            let (least, most) = truth().fold((f64::INFINITY, 0.0_f64), |(least, most), x| (least.min(x), most.max(x)));
            let range = least / 2.0..most * 2.0;
            let mut figures = String::new();
            for (predictions, colour, who) in [
                (&driven.predictions[0], UNADAPTED, "un-adapted"),
                (&driven.predictions[1], ADAPTED, "adapted, at the end of the way"),
            ] {
                let pairs: Vec<[f64; 2]> =
                    truth().zip(predictions.iter().step_by(EVERY).map(joules)).map(|(x, y)| [x, y]).collect();
                let [error, spread] = campaign::errors(predictions, &driven.truth).map(number);
                let caption = format!(
                    "Mission with the {which} saving, {who}: root mean square error {error} in ln(J/m) over all edges of the map, \
                     {spread} without the common factor."
                );
                figures += &figure(&plot::scatter(range.clone(), colour, &pairs)?, &caption);
            }
            rows += &format!("<div class=\"pair\">\n{figures}</div>\n");
        }
        let text = "Each dot is an edge of the map, most of which the rover never drove; on the line a prediction is right. A factor that \
                    is common to all edges moves all dots alike and changes no route.";
        Ok(paragraph(text) + &rows)
    }

    fn learning_on_the_way(&self) -> Result<String, Box<dyn Error>> {
        let mut figures = String::new();
        for (of, y, caption) in [
            (
                (|judged| judged.rmse) as fn(&Judged) -> f64,
                "error of ln energy",
                "Root mean square error over all edges of the map, in ln(J/m).",
            ),
            (
                |judged| judged.regret,
                "regret",
                "Regret of the route from start to goal that would be planned after so many edges.",
            ),
        ] {
            let summary = |values: Vec<f64>| Summary::of(&values);
            let flat = summary(self.driven.iter().map(|driven| of(&driven.unadapted)).collect());
            let adapted: Vec<Point> = JUDGED
                .iter()
                .enumerate()
                .map(|(place, &edges)| {
                    let values = self.driven.iter().filter_map(|driven| driven.judged.get(place)).map(of);
                    let summary = summary(values.collect());
                    [edges as f64, summary.mean, summary.ci95]
                })
                .collect();
            let high = adapted.iter().map(|point| point[1] + point[2]).fold(flat.mean, f64::max);
            let curves = [
                Curve {
                    name: "un-adapted".into(),
                    colour: UNADAPTED,
                    points: JUDGED.map(|edges| [edges as f64, flat.mean, 0.0]).into(),
                },
                Curve { name: "adapted on the way".into(), colour: ADAPTED, points: adapted },
            ];
            let axes = Axes { x: "driven edges", y };
            figures += &figure(&plot::curves(axes, 0.0..high * 1.3, &curves)?, caption);
        }
        let text = "Means over all missions, with their 95% intervals. Missions differ much more from each other than rovers do, so the \
                    intervals are wide; the table above compares mission by mission.";
        Ok(format!("{}<div class=\"pair\">\n{figures}</div>\n", paragraph(text)))
    }

    fn latency(&self) -> Result<String, Box<dyn Error>> {
        let latencies = campaign::latencies(self.driven);
        let (header, rows) = tables::latency(self.driven, self.budget);
        let end = (3.0 * latencies.percentile(0.5)).max(1.0);
        let axes = Axes { x: "one adaptation [µs]", y: "adaptations" };
        let text = format!(
            "Each adaptation takes {} inner steps over up to {} edges in memory that was set up before; it is asked before each \
             step whether its {} µs are over. Measured without real-time priority, while missions kept all processors but one busy: the \
             longest times are those in which the operating system ran something else.",
            self.model.rule.steps(),
            campaign::REMEMBERED,
            self.budget.as_micros()
        );
        let caption = "The last bar also holds what took longer.";
        Ok(paragraph(&text) + &table(&header, &rows) + &figure(&plot::histogram(axes, end, &latencies)?, caption))
    }

    fn evaluated(&self) -> String {
        let mut text = paragraph(&format!(
            "{} test tasks; {} edges of one driven path to adapt to, judged on another map. Adapted at 0 steps is the meta-learned \
             start; finetuned is the pooled network, trained on the support with Adam for as long as was best on validation tasks; \
             classical is a linear model, pulled toward the pooled one; the oracle knows everything hidden, but not more than the \
             sensors say of the ground. Lower is better.",
            self.evaluation.clusters.len(),
            self.evaluation.shots
        ));
        for (place, metric) in self.evaluation.metrics.iter().enumerate() {
            let (header, rows) = tables::evaluation(self.evaluation, place);
            text += &format!("<h3>{}</h3>\n", escaped(&format!("{} [{}]", metric.name, metric.unit)));
            text += &table(&header, &rows);
        }
        text
    }

    fn training(&self) -> Result<String, Box<dyn Error>> {
        let curve = |lines: &[Line], name: &str, colour, of: fn(&Line) -> Option<f64>| Curve {
            name: name.into(),
            colour,
            points: lines.iter().filter_map(|line| Some([line.iteration as f64, of(line)?, 0.0])).collect(),
        };
        let [meta, pooled] = self.training;
        let curves = [
            curve(pooled, "pooled, not adapted", UNADAPTED, |line| line.validation),
            curve(meta, "meta-learned, adapted", ADAPTED, |line| line.validation),
        ];
        let high = curves.iter().flat_map(|curve| &curve.points).map(|point| point[1]).fold(0.0, f64::max);
        let axes = Axes { x: "iterations", y: "validation loss" };
        let caption = "Mean squared error on validation tasks, of log energies scaled to a deviation of one.";
        Ok(figure(&plot::curves(axes, 0.0..high * 1.4, &curves)?, caption))
    }
}
