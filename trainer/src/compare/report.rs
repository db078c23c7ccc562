//! A comparison in words: tables for people, in a terminal and as Markdown, and JSON for programs.

use comfy_table::presets::ASCII_MARKDOWN;
use serde::Serialize;

use super::combine::{self, Interval};
use super::cost::Cost;
use super::gain::{gains, metrics_of_heads};
use super::plot::{Panel, Point};
use super::pulls::Linked;
use super::{Kind, Line, Table};
use crate::table::{number, plain, with_interval};
use crate::world::Split;

/// All that was compared.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The world.
    pub world: String,
    /// Whose tasks were drawn.
    pub split: Split,
    /// The seeds of the runs, by their distance from each configuration's own.
    pub seeds: usize,
    /// Folds of a cross-validation.
    pub folds: Option<usize>,
    /// From which the episodes follow.
    pub evaluation_seed: u64,
    /// With what everything is compared.
    pub reference: String,
    /// A table for each number of shots.
    pub tables: Vec<Table>,
    /// Of configurations of several heads, how those pulled.
    pub pulls: Vec<Linked>,
}

#[derive(Debug, Serialize)]
struct Json<'a> {
    source: &'a str,
    split: Split,
    seeds: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    folds: Option<usize>,
    evaluation_seed: u64,
    reference: &'a str,
    tables: Vec<JsonTable<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonTable<'a> {
    shots: usize,
    metric: &'a str,
    unit: &'a str,
    higher_is_better: bool,
    episodes: usize,
    results: Vec<JsonLine<'a>>,
}

#[derive(Debug, Serialize)]
struct JsonLine<'a> {
    method: &'a str,
    kind: Kind,
    config: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<usize>,
    #[serde(flatten)]
    score: Interval,
    /// The mean of each seed.
    seeds: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    less_best: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    less_reference: Option<[f64; 2]>,
    /// In µs and bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Cost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    training_seconds: Option<f64>,
}

fn pair(interval: Interval) -> [f64; 2] {
    [interval.mean, interval.ci95]
}

impl Comparison {
    /// The place of the reference in a table; all tables have the same methods.
    fn reference_in(&self, table: &Table) -> usize {
        table.find(&self.reference).unwrap_or(0)
    }

    fn lines<'a>(&self, table: &'a Table, metric: usize) -> Vec<Line<'a>> {
        table.lines(metric, self.reference_in(table))
    }

    /// The table of one metric: columns that are empty everywhere are left out, and costs stand beside the main metric only.
    pub fn table(&self, table: &Table, metric: usize) -> comfy_table::Table {
        let name = table.metrics[metric].name;
        let reference = self.reference_in(table);
        let label = table.entries.get(reference).map_or_else(String::new, super::Entry::label);
        let optional =
            |interval: Option<Interval>| interval.map_or_else(String::new, |interval| with_interval(pair(interval)));
        let cells = |line: Line<'_>| {
            let cost = line.entry.cost.filter(|_| metric == 0);
            let training = line.entry.training.filter(|_| metric == 0);
            vec![
                line.entry.name.clone(),
                line.entry.steps.map_or_else(String::new, |steps| steps.to_string()),
                with_interval(pair(line.score)),
                optional(line.less_best),
                optional(line.less_reference),
                cost.map_or_else(String::new, |cost| number(cost.adapt)),
                cost.map_or_else(String::new, |cost| number(cost.observe_and_adapt)),
                cost.map_or_else(String::new, |cost| cost.bundle.to_string()),
                cost.map_or_else(String::new, |cost| cost.memory.to_string()),
                training.map_or_else(String::new, |seconds| format!("{seconds:.1}")),
            ]
        };
        let mut rows: Vec<Vec<String>> = self.lines(table, metric).into_iter().map(cells).collect();
        let mut header = vec![
            "method".to_owned(),
            "steps".into(),
            format!("{name} ± 95%"),
            "less the best".into(),
            format!("less {label}"),
            "adapt µs".into(),
            "observe + adapt µs".into(),
            "bundle bytes".into(),
            "memory bytes".into(),
            "training s".into(),
        ];
        for column in (0..header.len()).rev() {
            if rows.iter().all(|row| row[column].is_empty()) {
                header.remove(column);
                rows.iter_mut().for_each(|row| drop(row.remove(column)));
            }
        }
        plain(&header.iter().map(String::as_str).collect::<Vec<_>>(), rows)
    }

    /// What models of several heads gain over models of one each, in percent; none where the latter are missing.
    pub fn gains(&self, table: &Table) -> Option<comfy_table::Table> {
        let gains = gains(table);
        let metrics = metrics_of_heads(table).filter(|_| !gains.is_empty())?;
        let names = metrics.iter().map(|metric| format!("{} %", table.metrics[*metric].name));
        let header: Vec<String> = ["method".into(), "steps".into(), "Δm %".into()].into_iter().chain(names).collect();
        let row = |gain: &super::gain::Gain<'_>| {
            let steps = gain.entry.steps.map_or_else(String::new, |steps| steps.to_string());
            let of_heads = gain.of_heads.iter().map(|of| with_interval(pair(*of)));
            [gain.entry.name.clone(), steps, with_interval(pair(gain.mean))]
                .into_iter()
                .chain(of_heads)
                .collect::<Vec<String>>()
        };
        Some(plain(&header.iter().map(String::as_str).collect::<Vec<_>>(), gains.iter().map(row).collect::<Vec<_>>()))
    }

    /// What stands above that table.
    fn heading_of_gains(&self, table: &Table) -> String {
        format!("Gain over models of one head each on {} [%], {} shots, higher is better", self.world, table.shots)
    }

    /// What stands above the table of one metric.
    fn heading(&self, table: &Table, metric: usize) -> String {
        let metric = &table.metrics[metric];
        let better = if metric.higher_is_better { "higher is better" } else { "lower is better" };
        format!("{} on {} [{}], {} shots, {better}", metric.name, self.world, metric.unit, table.shots)
    }

    /// What makes the numbers readable.
    pub fn notes(&self) -> String {
        let which = match self.split {
            Split::Train => "training",
            Split::Validation => "validation",
            Split::Test => "test",
        };
        let counts = self.tables.first().map_or((0, 0), |table| {
            let mut clusters = table.clusters.clone();
            clusters.sort_unstable();
            clusters.dedup();
            (table.clusters.len(), clusters.len())
        });
        let folds = self.folds.map_or_else(String::new, |folds| format!(" over {folds} folds"));
        let mut text = format!(
            "All on the same {} {which} episodes{folds}, of {} independent clusters, evaluation seed {}. ",
            counts.0, counts.1, self.evaluation_seed
        );
        text += &if self.seeds == 1 {
            "Intervals are over clusters of one seed: what other tasks would give, not what other seeds would.\n"
                .to_owned()
        } else {
            format!(
                "Means are over {} seeds; intervals over clusters and seeds together: the variance of the mean over clusters plus that over seeds, \
                 Student's t with Satterthwaite's degrees of freedom.\n",
                self.seeds
            )
        };
        text + "Differences are paired, episode by episode and seed by seed; the best (the oracle aside) was picked on these episodes. \
                Times are medians on one core of this machine; memory is the adapter's, for the largest support set.\n"
    }

    /// The tables and notes for a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for table in &self.tables {
            for metric in 0..table.metrics.len() {
                text += &format!("\n{}\n{}\n", self.heading(table, metric), self.table(table, metric));
            }
            if let Some(gains) = self.gains(table) {
                text += &format!("\n{}\n{gains}\n", self.heading_of_gains(table));
            }
        }
        text + "\n" + &self.notes()
    }

    /// The same as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n{}\n![Scores with 95% intervals](compare.svg)\n", self.world, self.notes());
        for table in &self.tables {
            for metric in 0..table.metrics.len() {
                let mut of_metric = self.table(table, metric);
                of_metric.load_preset(ASCII_MARKDOWN);
                text += &format!("\n## {}\n\n{of_metric}\n", self.heading(table, metric));
            }
            if let Some(mut gains) = self.gains(table) {
                gains.load_preset(ASCII_MARKDOWN);
                text += &format!("\n## {}\n\n{gains}\n", self.heading_of_gains(table));
            }
        }
        for Linked { title, note, files } in &self.pulls {
            text += &format!("\n## {title}\n\n{note}\n");
            // In angle brackets, for a name may have spaces.
            files.iter().for_each(|(what, file)| text += &format!("\n![{what}](<{file}>)\n"));
        }
        text
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// Never, unless memory runs out: there are only numbers and words.
    pub fn json(&self) -> serde_json::Result<String> {
        let tables = self
            .tables
            .iter()
            .flat_map(|table| (0..table.metrics.len()).map(move |metric| (table, metric)))
            .map(|(table, metric)| {
                let of = &table.metrics[metric];
                JsonTable {
                    shots: table.shots,
                    metric: of.name,
                    unit: of.unit,
                    higher_is_better: of.higher_is_better,
                    episodes: table.clusters.len(),
                    results: self
                        .lines(table, metric)
                        .into_iter()
                        .map(|line| json_line(table, metric, &line))
                        .collect(),
                }
            })
            .collect();
        let json = Json {
            source: &self.world,
            split: self.split,
            seeds: self.seeds,
            folds: self.folds,
            evaluation_seed: self.evaluation_seed,
            reference: &self.reference,
            tables,
        };
        Ok(serde_json::to_string_pretty(&json)? + "\n")
    }

    /// The main metric as panels of a picture.
    pub fn panels(&self) -> Vec<Panel> {
        let panel = |table: &Table| Panel {
            title: self.heading(table, 0),
            points: self.lines(table, 0).iter().map(Point::of).collect(),
            higher_is_better: table.metrics[0].higher_is_better,
        };
        self.tables.iter().map(panel).collect()
    }
}

fn json_line<'a>(table: &Table, metric: usize, line: &Line<'a>) -> JsonLine<'a> {
    let of_seed = |seed: &Vec<Vec<f64>>| {
        let scores = seed.iter().map(|episode| episode[metric]).collect();
        combine::over(&[scores], &table.clusters).mean
    };
    JsonLine {
        method: &line.entry.name,
        kind: line.entry.kind,
        config: &line.entry.config,
        steps: line.entry.steps,
        score: line.score,
        seeds: line.entry.scores.iter().map(of_seed).collect(),
        less_best: line.less_best.map(pair),
        less_reference: line.less_reference.map(pair),
        cost: line.entry.cost.filter(|_| metric == 0),
        training_seconds: line.entry.training.filter(|_| metric == 0),
    }
}
