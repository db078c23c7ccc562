//! The null test: how much of a task is recognisable from *when* its rows were recorded?
//!
//! Rows of one class are recorded one after the other, and sensors drift. Where the classes of a task come in blocks, a learner may
//! tell blocks apart and not classes. Here one class alone is cut in two, the earlier half called 0 and the later half 1, and
//! learners go through the same protocol. Whatever they score above chance, drift alone can give.

use super::table::TaskRows;

/// Two halves with a row for the support and a row for the query each.
const FEWEST_ROWS: usize = 4;

/// The null tasks of one task: one for each class of four rows or more, in the order of the classes. Of an odd number of rows
/// the middle one belongs to the later half.
pub(super) fn halves(task: &TaskRows, classes: usize, label: impl Fn(usize) -> String) -> Vec<TaskRows> {
    let of_class = |class: usize| -> Vec<usize> {
        task.rows.iter().zip(&task.classes).filter(|row| *row.1 == class).map(|row| *row.0).collect()
    };
    (0..classes)
        .map(|class| (class, of_class(class)))
        .filter(|(_, rows)| rows.len() >= FEWEST_ROWS)
        .map(|(class, rows)| TaskRows {
            name: format!("{} / {}", task.name, label(class)),
            group: task.group,
            classes: (0..rows.len()).map(|place| usize::from(place >= rows.len() / 2)).collect(),
            rows,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_is_halved_in_file_order() {
        let task = TaskRows {
            name: "cup".into(),
            group: 3,
            rows: vec![10, 11, 12, 13, 14, 20, 21, 22],
            classes: vec![0, 1, 0, 0, 0, 0, 1, 1],
        };
        let null = halves(&task, 2, |class| format!("slipped={class}"));
        assert_eq!(null.len(), 1, "three rows of class 1 are too few");
        assert_eq!((null[0].name.as_str(), null[0].group), ("cup / slipped=0", 3));
        assert_eq!(null[0].rows, [10, 12, 13, 14, 20]);
        assert_eq!(null[0].classes, [0, 0, 1, 1, 1]);
    }
}
