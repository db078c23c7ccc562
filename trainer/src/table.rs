//! Results as tables for people and as JSON for programs.

use std::path::Path;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table};
use serde::Serialize;

use crate::baseline::choose::Choice;
use crate::evaluate::{Evaluation, Row};

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Json<'a> {
    source: &'a str,
    metric: &'a str,
    unit: &'a str,
    higher_is_better: bool,
    results: Vec<Row>,
    /// The world's other metrics.
    others: Vec<Other<'a>>,
    /// What was chosen for the baselines on validation tasks.
    choices: Vec<Choice>,
}

#[derive(Debug, Serialize)]
struct Other<'a> {
    metric: &'a str,
    unit: &'a str,
    higher_is_better: bool,
    results: Vec<Row>,
}

/// A table with right-aligned columns but the first.
pub fn plain(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Four digits that mean something.
pub fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
    format!("{value:.digits$}")
}

/// A value and half of its 95% interval.
pub fn with_interval([value, ci95]: [f64; 2]) -> String {
    format!("{} ± {}", number(value), number(ci95))
}

/// The table of one metric, over one or several numbers of shots.
pub fn of_metric(evaluations: &[Evaluation], metric: usize) -> Table {
    let rows = evaluations.iter().flat_map(|evaluation| evaluation.rows(metric));
    let optional = |pair: Option<[f64; 2]>| pair.map_or_else(String::new, with_interval);
    let line = |row: Row| {
        vec![
            row.method.to_owned(),
            row.shots.to_string(),
            row.steps.to_string(),
            row.rate.map_or_else(String::new, |rate| rate.to_string()),
            row.episodes.to_string(),
            with_interval([row.mean, row.ci95]),
            number(row.median),
            optional(row.ratio),
            optional(row.beside_finetuned),
            row.refused.map_or_else(String::new, |refused| refused.to_string()),
        ]
    };
    let header = [
        "method",
        "shots",
        "steps",
        "rate",
        "episodes",
        "mean ± 95%",
        "median",
        "ratio to unadapted",
        "less finetuned",
        "refused",
    ];
    let lines: Vec<Vec<String>> = rows.map(line).collect();
    let mut table = plain(&header, lines.iter().cloned());
    for (number, column) in table.column_iter_mut().enumerate() {
        if lines.iter().all(|line| line[number].is_empty()) {
            column.set_constraint(ColumnConstraint::Hidden);
        }
    }
    table
}

/// Prints every metric's table, and the notes that make them readable.
pub fn print(evaluations: &[Evaluation]) {
    let Some(first) = evaluations.first() else { return };
    for (place, metric) in first.metrics.iter().enumerate() {
        let better = if metric.higher_is_better { "higher is better" } else { "lower is better" };
        println!("\n{} on {} [{}], {better}", metric.name, first.source, metric.unit);
        println!("{}", of_metric(evaluations, place));
    }
    if first.has_baselines() {
        println!("adapted at 0 steps is the meta-learned start; unadapted is the pooled network.");
    } else {
        println!("unadapted is the bundle as it is, without a step.");
    }
    if evaluations.iter().any(|evaluation| !evaluation.descent_rates.is_empty()) {
        println!(
            "sgd is gradient descent from where the bundle starts, at the best of the rates on these very episodes."
        );
    }
    for choice in evaluations.iter().filter_map(|evaluation| evaluation.choice) {
        println!(
            "Chosen on validation tasks for {} shots: fine-tuning {} x {}, scratch {} x {}, pull of the linear model {} and of the \
             intercept {}, Gaussian process on the residual with length {} and noise {}.",
            choice.shots,
            choice.fine_tuned.steps,
            choice.fine_tuned.rate,
            choice.scratch.steps,
            choice.scratch.rate,
            choice.strength,
            choice.intercept,
            number(choice.residual.length),
            choice.residual.noise
        );
    }
}

/// Writes the JSON of `evaluations` to `path`.
pub fn write_json(evaluations: &[Evaluation], path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let Some(first) = evaluations.first() else { return Ok(()) };
    let rows = |metric: usize| evaluations.iter().flat_map(|evaluation| evaluation.rows(metric)).collect();
    let main = first.metrics[0];
    let other = |(place, metric): (usize, &crate::world::Metric)| Other {
        metric: metric.name,
        unit: metric.unit,
        higher_is_better: metric.higher_is_better,
        results: rows(place),
    };
    let json = Json {
        source: &first.source,
        metric: main.name,
        unit: main.unit,
        higher_is_better: main.higher_is_better,
        results: rows(0),
        others: first.metrics.iter().enumerate().skip(1).map(other).collect(),
        choices: evaluations.iter().filter_map(|evaluation| evaluation.choice).collect(),
    };
    write(path, &json)
}

/// Writes any value as JSON, whole or not at all.
pub fn write(path: &Path, value: &impl Serialize) -> Result<(), Box<dyn std::error::Error>> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    crate::files::replace(path, text.as_bytes()).map_err(|why| format!("{}: {why}", path.display()))?;
    Ok(())
}
