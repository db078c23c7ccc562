//! What a network should have said of a row, head by head, and how what it said is judged.

use crate::metric;
use crate::world::Metric;

/// What the targets of a head are. Among the labels of a row it has [`Target::labels`] numbers, NaN where the row lacks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The values of that many columns.
    Values(usize),
    /// One value, 0 or 1.
    ZeroOrOne,
    /// As many values as classes, one of them 1; its label is the number of the class.
    OneHot(usize),
}

impl Target {
    /// Numbers that it has among the labels of a row.
    pub const fn labels(self) -> usize {
        match self {
            Self::Values(columns) => columns,
            Self::ZeroOrOne | Self::OneHot(_) => 1,
        }
    }

    /// Values that a network predicts.
    pub const fn outputs(self) -> usize {
        match self {
            Self::Values(outputs) | Self::OneHot(outputs) => outputs,
            Self::ZeroOrOne => 1,
        }
    }

    /// How many classes it tells apart, if it does.
    pub const fn classes(self) -> Option<usize> {
        match self {
            Self::Values(_) => None,
            Self::ZeroOrOne => Some(2),
            Self::OneHot(classes) => Some(classes),
        }
    }

    /// Appends what the outputs should be.
    pub fn push(self, labels: &[f32], outputs: &mut Vec<f32>) {
        match (self, labels) {
            (Self::OneHot(classes), [class]) if class.is_nan() => {
                outputs.extend(std::iter::repeat_n(f32::NAN, classes))
            }
            (Self::OneHot(classes), [class]) => {
                outputs.extend((0..classes).map(|other| f32::from(u8::from(other as f32 == *class))));
            }
            _ => outputs.extend_from_slice(labels),
        }
    }

    /// What [`Target::score`] measures; `unit` is that of values.
    pub fn metrics(self, unit: &'static str) -> Vec<Metric> {
        match self {
            Self::Values(_) => ["rmse", "mae"].map(|name| Metric::lower(name, unit)).to_vec(),
            Self::ZeroOrOne => {
                let better = ["balanced_accuracy", "auroc"].map(|name| Metric::higher(name, "1"));
                better.into_iter().chain([Metric::lower("log_loss", "nat")]).collect()
            }
            Self::OneHot(_) => metric::OF_UNEVEN_CLASSES.to_vec(),
        }
    }

    /// Judges `said` by `targets`, rows of [`Target::outputs`] values that all have labels. NaN without rows.
    pub fn score(self, said: &[f32], targets: &[f32]) -> Vec<f64> {
        match self {
            Self::Values(_) => vec![metric::rmse(said, targets), metric::mae(said, targets)],
            Self::ZeroOrOne => vec![
                metric::balanced_accuracy(said, targets),
                metric::auroc(said, targets),
                metric::log_loss(said, targets),
            ],
            Self::OneHot(classes) => vec![
                metric::balanced_accuracy_of_classes(said, targets, classes),
                metric::accuracy(said, targets, classes),
                metric::class_log_loss(said, targets, classes),
            ],
        }
    }
}
