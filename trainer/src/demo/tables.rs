//! The tables of the demo, for the terminal and the page alike: a header and rows of text.

use std::time::Duration;

use sinew_runtime::Outcome;

use super::campaign::{Driven, Who, latencies, lines};
use crate::evaluate::Evaluation;
use crate::table::{number, with_interval};

/// A header and the rows under it.
pub type Rows = (Vec<&'static str>, Vec<Vec<String>>);

/// What the rovers took.
pub fn missions(driven: &[Driven]) -> Rows {
    let header =
        vec!["rover", "regret ± 95%", "median", "less un-adapted", "ratio to un-adapted", "edges", "stuck", "replans"];
    let row = |line: super::campaign::Line| {
        let compared = |text: String| if line.who == Who::Unadapted { String::new() } else { text };
        vec![
            line.who.name().into(),
            with_interval([line.regret.mean, line.regret.ci95]),
            number(line.regret.median),
            compared(with_interval([line.difference.mean, line.difference.ci95])),
            compared(with_interval([line.ratio.ratio, line.ratio.ci95])),
            format!("{:.1}", line.edges),
            format!("{:.2}", line.stuck),
            format!("{:.1}", line.replans),
        ]
    };
    (header, lines(driven).into_iter().map(row).collect())
}

/// How long adaptations took, and what became of them.
pub fn latency(driven: &[Driven], budget: Duration) -> Rows {
    let header = vec!["adaptations", "p50 [µs]", "p99 [µs]", "max [µs]", "budget [µs]", "committed", "cut short"];
    let latencies = latencies(driven);
    let all = || driven.iter().flat_map(|driven| &driven.adaptations);
    let most = all().map(|adaptation| adaptation.steps).max().unwrap_or(0);
    let row = vec![
        latencies.sorted().len().to_string(),
        format!("{:.1}", latencies.percentile(0.5)),
        format!("{:.1}", latencies.percentile(0.99)),
        format!("{:.0}", latencies.percentile(1.0)),
        budget.as_micros().to_string(),
        all().filter(|adaptation| adaptation.outcome == Outcome::Committed).count().to_string(),
        all().filter(|adaptation| adaptation.steps < most).count().to_string(),
    ];
    (header, vec![row])
}

/// One metric of an evaluation.
pub fn evaluation(evaluation: &Evaluation, metric: usize) -> Rows {
    let header = vec!["method", "steps", "mean ± 95%", "median", "ratio to unadapted", "less finetuned"];
    let optional = |pair: Option<[f64; 2]>| pair.map_or_else(String::new, with_interval);
    let row = |row: crate::evaluate::Row| {
        vec![
            row.method.to_owned(),
            row.steps.to_string(),
            with_interval([row.mean, row.ci95]),
            number(row.median),
            optional(row.ratio),
            optional(row.beside_finetuned),
        ]
    };
    (header, evaluation.rows(metric).into_iter().map(row).collect())
}
