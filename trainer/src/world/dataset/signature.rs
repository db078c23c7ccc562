//! What a data set tells the rest of the trainer: columns, units, heads and metrics.

use std::collections::BTreeMap;
use std::path::Path;

use sinew_models::spec::{Loss, MAX_HEADS};

use super::DatasetError;
use super::manifest::{self, LossName, Manifest};
use super::table::Table;
use super::target::Target;
use crate::world::{Column, HeadSignature, Metric, Signature, head_name};

/// The columns with their units, the heads, and what the targets of each are; a class column becomes one output for each class.
pub(super) fn of(manifest: &Manifest, table: &Table, path: &Path) -> Result<(Signature, Vec<Target>), DatasetError> {
    let wrong = |field, expected, found| Err(DatasetError::Field { path: path.into(), field, expected, found });
    let names = table.input_names.iter().chain(&table.output_names);
    let unused = manifest.units.keys().find(|pattern| names.clone().all(|name| !manifest::fits(pattern, name)));
    if let Some(pattern) = unused {
        return wrong("units", "names or globs of inputs and outputs", format!("`{pattern}`, which fits none"));
    }
    let column = |name: &String| Column { name: name.clone(), unit: unit(&manifest.units, name) };
    let mut signature = Signature {
        inputs: table.input_names.iter().map(column).collect(),
        image: None,
        outputs: vec![],
        heads: vec![],
    };
    let (mut targets, mut rest) = (Vec::new(), &table.output_names[..]);
    for ((head, words), columns) in manifest.heads.iter().zip(&table.words).zip(&table.head_columns) {
        let (own, others) = rest.split_at(*columns);
        rest = others;
        if head.has_classes() && own.len() != 1 {
            return wrong("outputs", "the one column that holds the class", own.join(", "));
        }
        let class = |word| Column { name: format!("{}={word}", own[0]), unit: "1".into() };
        let (loss, target, outputs): (_, _, Vec<Column>) = match head.loss {
            LossName::MeanSquared => (Loss::MeanSquared, Target::Values(*columns), own.iter().map(column).collect()),
            LossName::Huber => {
                let delta = head.huber_delta;
                (Loss::Huber { delta }, Target::Values(*columns), own.iter().map(column).collect())
            }
            LossName::BinaryCrossEntropy => {
                (Loss::BinaryCrossEntropy, Target::ZeroOrOne, own.iter().map(column).collect())
            }
            LossName::CrossEntropy => {
                (Loss::CrossEntropy, Target::OneHot(words.len()), words.iter().map(class).collect())
            }
        };
        if head.loss == LossName::CrossEntropy && outputs.len() < 2 {
            return wrong("outputs", "a column of two classes or more", format!("{} class", outputs.len()));
        }
        // What one head alone is called has always come from its outputs; of several, each is called as its column.
        let called = match (&head.name, own, outputs.as_slice()) {
            (Some(name), ..) => name,
            (None, [column], [_]) => column,
            (None, [column], _) if manifest.heads.len() > 1 => column,
            _ => "output",
        };
        let name = head_name(called);
        if head.name.as_ref().is_some_and(|given| *given != name) {
            return wrong("name", "lower-case letters, digits and `_`", format!("`{called}`"));
        }
        if signature.heads.iter().any(|other| other.name == name) {
            return wrong("heads", "a `name` for each, no two alike", format!("`{name}` twice"));
        }
        signature.heads.push(HeadSignature { name, outputs: outputs.len(), loss });
        signature.outputs.extend(outputs);
        targets.push(target);
    }
    if targets.len() > MAX_HEADS {
        return wrong("heads", "no more than a network can have", targets.len().to_string());
    }
    Ok((signature, targets))
}

/// How each head is judged, the first before the others. Names and units are leaked, once for each data set that is opened, because a
/// metric is a constant for every other world. The unit of values is that of their columns where they share one.
pub(super) fn metrics(signature: &Signature, targets: &[Target]) -> Vec<Metric> {
    let mut rest = &signature.outputs[..];
    let mut metrics = Vec::new();
    for (number, (head, target)) in signature.heads.iter().zip(targets).enumerate() {
        let (own, others) = rest.split_at(head.outputs);
        rest = others;
        let same = own.iter().all(|column| column.unit == own[0].unit);
        let unit: &'static str = if same { own[0].unit.clone().leak() } else { "mixed" };
        metrics.extend(target.metrics(unit).into_iter().map(|metric| match targets {
            [_] => metric,
            _ => Metric { name: format!("{}_{}", head.name, metric.name).leak(), ..metric }.of_head(number),
        }));
    }
    metrics
}

fn unit(units: &BTreeMap<String, String>, name: &str) -> String {
    let fitting = units.iter().filter(|(pattern, _)| manifest::fits(pattern, name));
    let best = fitting.max_by_key(|(pattern, _)| (*pattern == name, pattern.len()));
    best.map_or_else(|| "1".into(), |(_, unit)| unit.clone())
}
