//! How the tasks of a batch fall into items of work. It depends on the batch alone, never on the threads.

use crate::engine::TaskRows;

/// Tasks that one worker takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    first: usize,
    count: usize,
}

/// The items of a batch.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub items: Vec<Item>,
    /// The tasks in the order of the items.
    order: Vec<usize>,
}

impl Work {
    /// Plans a batch; what was planned before is forgotten, its memory is used again.
    pub fn plan(&mut self, tasks: &[TaskRows]) {
        self.items.clear();
        self.order.clear();
        self.order.extend(0..tasks.len());
        self.items.extend((0..tasks.len()).map(|first| Item { first, count: 1 }));
    }

    /// The tasks of an item, by their numbers in the batch.
    pub fn tasks(&self, item: &Item) -> &[usize] {
        &self.order[item.first..][..item.count]
    }
}
