//! What a data set tells the rest of the trainer: columns, units, loss and metrics.

use std::collections::BTreeMap;
use std::path::Path;

use sinew_models::spec::Loss;

use super::DatasetError;
use super::manifest::{self, LossName, Manifest};
use super::table::Table;
use crate::world::{Column, Metric, Signature};

pub(super) fn binary_metrics() -> Vec<Metric> {
    vec![Metric::higher("balanced_accuracy", "1"), Metric::higher("auroc", "1"), Metric::lower("log_loss", "nat")]
}

pub(super) fn class_metrics() -> Vec<Metric> {
    crate::metric::OF_UNEVEN_CLASSES.to_vec()
}

/// The unit is that of the outputs where they share one. It is leaked, once for each data set that is opened, because a metric is
/// a constant for every other world.
pub(super) fn value_metrics(outputs: &[Column]) -> Vec<Metric> {
    let same = outputs.iter().all(|column| column.unit == outputs[0].unit);
    let unit: &'static str = if same { outputs[0].unit.clone().leak() } else { "mixed" };
    ["rmse", "mae"].map(|name| Metric::lower(name, unit)).to_vec()
}

/// The columns with their units, and the loss; a class column becomes one output for each class.
pub(super) fn of(manifest: &Manifest, table: &Table, path: &Path) -> Result<Signature, DatasetError> {
    let wrong = |field, expected, found| Err(DatasetError::Field { path: path.into(), field, expected, found });
    let names = table.input_names.iter().chain(&table.output_names);
    let unused = manifest.units.keys().find(|pattern| names.clone().all(|name| !manifest::fits(pattern, name)));
    if let Some(pattern) = unused {
        return wrong("units", "names or globs of inputs and outputs", format!("`{pattern}`, which fits none"));
    }
    let column = |name: &String| Column { name: name.clone(), unit: unit(&manifest.units, name) };
    let mut outputs: Vec<Column> = table.output_names.iter().map(column).collect();
    let loss = match manifest.loss {
        LossName::MeanSquared => Loss::MeanSquared,
        LossName::Huber => Loss::Huber { delta: manifest.huber_delta },
        LossName::BinaryCrossEntropy => Loss::BinaryCrossEntropy,
        LossName::CrossEntropy => {
            let class = |label| Column { name: format!("{}={label}", table.output_names[0]), unit: "1".into() };
            outputs = table.labels.iter().map(class).collect();
            Loss::CrossEntropy
        }
    };
    let classes = matches!(manifest.loss, LossName::BinaryCrossEntropy | LossName::CrossEntropy);
    if classes && table.output_names.len() != 1 {
        return wrong("outputs", "the one column that holds the class", table.output_names.join(", "));
    }
    if manifest.loss == LossName::CrossEntropy && outputs.len() < 2 {
        return wrong("outputs", "a column of two classes or more", format!("{} class", outputs.len()));
    }
    Ok(Signature::of_one_head(table.input_names.iter().map(column).collect(), None, outputs, loss))
}

fn unit(units: &BTreeMap<String, String>, name: &str) -> String {
    let fitting = units.iter().filter(|(pattern, _)| manifest::fits(pattern, name));
    let best = fitting.max_by_key(|(pattern, _)| (*pattern == name, pattern.len()));
    best.map_or_else(|| "1".into(), |(_, unit)| unit.clone())
}
