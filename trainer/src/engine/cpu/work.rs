//! How the tasks of a batch fall into items of work. It depends on the batch alone, never on the threads.

use crate::engine::TaskRows;

/// Tasks that one worker takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    first: usize,
    count: usize,
    /// Whether they are computed together, a task in each lane.
    pub together: bool,
}

/// The items of a batch.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Those of several tasks first.
    pub items: Vec<Item>,
    /// The tasks in the order of the items.
    order: Vec<usize>,
}

impl Work {
    /// Plans a batch, with up to as many tasks of the same numbers of rows together as `lanes` says of one of them; what was planned
    /// before is forgotten, its memory is used again.
    pub fn plan(&mut self, tasks: &[TaskRows], lanes: impl Fn(&TaskRows) -> usize) {
        let rows = |task: &usize| (tasks[*task].support.rows, tasks[*task].query.rows);
        self.items.clear();
        self.order.clear();
        self.items.reserve_exact(tasks.len());
        self.order.extend(0..tasks.len());
        self.order.sort_unstable_by_key(|task| (rows(task), *task));
        let mut first = 0;
        for alike in self.order.chunk_by(|a, b| rows(a) == rows(b)) {
            let lanes = lanes(&tasks[alike[0]]);
            for group in alike.chunks(lanes) {
                // With fewer lanes filled than half, tasks are faster one by one.
                let together = lanes > 1 && group.len() * 2 >= lanes;
                let count = if together { group.len() } else { 1 };
                self.items.extend((0..group.len()).step_by(count).map(|at| Item {
                    first: first + at,
                    count,
                    together,
                }));
                first += group.len();
            }
        }
        // In the order of their first tasks, so that what is summed does not depend on how a sort breaks ties.
        self.items.sort_unstable_by_key(|item| (!item.together, item.first));
    }

    /// Bytes of the heap that a first plan of so many tasks takes.
    pub const fn bytes(tasks: usize) -> usize {
        tasks * (size_of::<Item>() + size_of::<usize>())
    }

    /// The tasks of an item, by their numbers in the batch.
    pub fn tasks(&self, item: &Item) -> &[usize] {
        &self.order[item.first..][..item.count]
    }

    /// Whether any are computed together.
    pub fn together(&self) -> bool {
        self.items.first().is_some_and(|item| item.together)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Rows;

    fn batch(rows: &[usize]) -> Vec<TaskRows> {
        let task = |rows: &usize| TaskRows { support: Rows { rows: *rows, ..Rows::default() }, query: Rows::default() };
        rows.iter().map(task).collect()
    }

    fn plan(rows: &[usize], lanes: usize) -> Vec<Vec<usize>> {
        let mut work = Work::default();
        work.plan(&batch(rows), |_| lanes);
        let mut all: Vec<usize> = work.items.iter().flat_map(|item| work.tasks(item)).copied().collect();
        all.sort_unstable();
        assert_eq!(all, (0..rows.len()).collect::<Vec<_>>(), "every task once");
        assert!(work.items.iter().is_sorted_by_key(|item| !item.together));
        work.items.iter().map(|item| work.tasks(item).to_vec()).collect()
    }

    #[test]
    fn one_by_one_without_lanes() {
        assert_eq!(plan(&[3, 5, 3], 1).len(), 3);
        assert!(plan(&[], 16).is_empty());
    }

    #[test]
    fn tasks_of_the_same_rows_go_together() {
        assert_eq!(plan(&[3, 5, 3, 5, 3], 2), [vec![0, 2], vec![4], vec![1, 3]]);
    }

    #[test]
    fn what_fills_less_than_half_goes_alone() {
        assert_eq!(plan(&[1; 6], 4), [vec![0, 1, 2, 3], vec![4, 5]]);
        assert_eq!(plan(&[1; 5], 4), [vec![0, 1, 2, 3], vec![4]]);
        assert_eq!(plan(&[1, 2, 1, 3], 4), [vec![0, 2], vec![1], vec![3]]);
    }
}
