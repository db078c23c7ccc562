//! The cells that wait: OPEN as a heap of four, and INCONS, in one slice of the caller.

use super::grid::{Cell, Grid};
use super::node::{Node, OUT};

/// A cell that waits to be expanded, and its key. The caller gives memory for one for each cell of the grid.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub(super) key: u64,
    pub(super) cell: Cell,
}

impl Entry {
    /// What memory is filled with before it is handed over.
    pub const EMPTY: Self = Self { key: u64::MAX, cell: Cell::new(0, 0) };
}

impl Default for Entry {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// Children of an entry of the heap: the four lie in one or two cache lines.
const ARITY: usize = 4;

/// OPEN from the front of the slice, INCONS from its back. A cell is in one of them at most, so they never meet.
///
/// Each node knows the place of its entry, so that a key can be changed and an entry taken out.
#[derive(Debug)]
pub(super) struct Open<'m> {
    grid: Grid,
    entries: &'m mut [Entry],
    /// Entries of OPEN.
    len: usize,
    /// Entries of INCONS.
    aside: usize,
    /// Whether OPEN is a heap now; otherwise it is a bag.
    ordered: bool,
}

impl<'m> Open<'m> {
    pub fn new(grid: Grid, entries: &'m mut [Entry]) -> Self {
        Self { grid, entries, len: 0, aside: 0, ordered: true }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        (self.len, self.aside, self.ordered) = (0, 0, true);
    }

    /// Entries of OPEN.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the entry at `place` is one of OPEN.
    pub fn holds(&self, place: u32) -> bool {
        (place as usize) < self.len
    }

    /// The entry at `place` of OPEN.
    pub fn get(&self, place: usize) -> Option<Entry> {
        self.entries.get(..self.len)?.get(place).copied()
    }

    /// The smallest key, where OPEN is a heap.
    pub fn first(&self) -> Option<Entry> {
        self.get(0)
    }

    /// From here on OPEN is a bag, until [`Open::order`] has been called for each place from the last to the first, and then
    /// [`Open::tighten`].
    pub fn loosen(&mut self) {
        self.ordered = false;
    }

    /// Puts `entry` into OPEN.
    pub fn push(&mut self, nodes: &mut [Node], entry: Entry) {
        let place = self.len;
        self.len += 1;
        self.settle(nodes, place, entry);
    }

    /// Gives the entry at `place` of OPEN another key.
    pub fn update(&mut self, nodes: &mut [Node], place: u32, entry: Entry) {
        self.settle(nodes, place as usize, entry);
    }

    /// Takes the entry at `place` out of OPEN or INCONS. The node's own place is left to the caller.
    pub fn remove(&mut self, nodes: &mut [Node], place: u32) {
        let place = place as usize;
        if place < self.len {
            self.len -= 1;
            let last = self.entries.get(self.len).copied();
            if let (true, Some(last)) = (place < self.len, last) {
                self.settle(nodes, place, last);
            }
        } else {
            let first = self.entries.len().saturating_sub(self.aside);
            self.aside = self.aside.saturating_sub(1);
            if let (true, Some(moved)) = (place != first, self.entries.get(first).copied()) {
                self.put(nodes, place, moved);
            }
        }
    }

    /// Puts `cell` into INCONS.
    pub fn set_aside(&mut self, nodes: &mut [Node], cell: Cell) {
        self.aside += 1;
        let place = self.entries.len().saturating_sub(self.aside);
        self.put(nodes, place, Entry { key: u64::MAX, cell });
    }

    /// Moves one entry from INCONS to OPEN, which must be a bag; false where INCONS is empty.
    pub fn take_back(&mut self, nodes: &mut [Node]) -> bool {
        if self.aside == 0 {
            return false;
        }
        let from = self.entries.len().saturating_sub(self.aside);
        self.aside -= 1;
        if let Some(entry) = self.entries.get(from).copied() {
            let to = self.len;
            self.len += 1;
            self.put(nodes, to, entry);
        }
        true
    }

    /// Gives the entry at `place` its key anew and lets it sink, where all places after it were ordered before (Floyd 1964).
    pub fn order(&mut self, nodes: &mut [Node], place: usize, entry: Entry) {
        self.sink(nodes, place, entry);
    }

    /// From here on OPEN is a heap.
    pub fn tighten(&mut self) {
        self.ordered = true;
    }

    fn settle(&mut self, nodes: &mut [Node], place: usize, entry: Entry) {
        if !self.ordered {
            return self.put(nodes, place, entry);
        }
        let above = place.checked_sub(1).and_then(|place| self.entries.get(place / ARITY));
        if above.is_some_and(|above| above.key > entry.key) {
            self.rise(nodes, place, entry);
        } else {
            self.sink(nodes, place, entry);
        }
    }

    fn rise(&mut self, nodes: &mut [Node], mut place: usize, entry: Entry) {
        while let Some(above) = place.checked_sub(1).map(|place| place / ARITY) {
            match self.entries.get(above).copied() {
                Some(parent) if parent.key > entry.key => self.put(nodes, place, parent),
                _ => break,
            }
            place = above;
        }
        self.put(nodes, place, entry);
    }

    fn sink(&mut self, nodes: &mut [Node], mut place: usize, entry: Entry) {
        loop {
            let first = place * ARITY + 1;
            let children = self.entries.get(first..self.len.min(first + ARITY)).unwrap_or_default();
            let least = children.iter().enumerate().min_by_key(|(_, child)| child.key);
            match least.map(|(i, child)| (first + i, *child)) {
                Some((below, child)) if child.key < entry.key => {
                    self.put(nodes, place, child);
                    place = below;
                }
                _ => break,
            }
        }
        self.put(nodes, place, entry);
    }

    fn put(&mut self, nodes: &mut [Node], place: usize, entry: Entry) {
        if let Some(slot) = self.entries.get_mut(place) {
            *slot = entry;
        }
        if let Some(node) = self.grid.index(entry.cell).and_then(|i| nodes.get_mut(i)) {
            // Below `OUT`, since the planner takes no grid of so many cells.
            node.place = place as u32 & !OUT;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const CELLS: u16 = 40;

    proptest! {
        #[test]
        fn behaves_as_a_sorted_map(steps in prop::collection::vec((0u8..4, 0..CELLS, 0u64..50), 0..300)) {
            let grid = Grid { width: CELLS, height: 1, side: 1.0 };
            let (mut nodes, mut entries) = (vec![Node::EMPTY; CELLS.into()], vec![Entry::EMPTY; CELLS.into()]);
            let mut open = Open::new(grid, &mut entries);
            let (mut model, mut aside) = (BTreeMap::new(), Vec::new());
            for (step, x, key) in steps {
                let cell = Cell::new(x, 0);
                let place = nodes[usize::from(x)].place;
                match step {
                    0 if model.contains_key(&x) => {
                        open.update(&mut nodes, place, Entry { key, cell });
                        model.insert(x, key);
                    }
                    0 | 1 if !model.contains_key(&x) && !aside.contains(&x) => {
                        open.push(&mut nodes, Entry { key, cell });
                        model.insert(x, key);
                    }
                    2 if model.remove(&x).is_some() => {
                        open.remove(&mut nodes, place);
                        open.set_aside(&mut nodes, cell);
                        aside.push(x);
                    }
                    3 if model.contains_key(&x) || aside.contains(&x) => {
                        open.remove(&mut nodes, place);
                        model.remove(&x);
                        aside.retain(|a| *a != x);
                    }
                    _ => {}
                }
                prop_assert_eq!(open.first().map(|e| e.key), model.values().min().copied());
                prop_assert_eq!((open.len(), open.aside), (model.len(), aside.len()));
                for x in model.keys() {
                    let place = nodes[usize::from(*x)].place;
                    prop_assert!(open.holds(place) && open.get(place as usize).unwrap().cell.x == *x);
                }
            }
            open.loosen();
            while open.take_back(&mut nodes) {}
            model.extend(aside.iter().map(|x| (*x, u64::from(*x))));
            for place in (0..open.len()).rev() {
                let cell = open.get(place).unwrap().cell;
                open.order(&mut nodes, place, Entry { key: model[&cell.x], cell });
            }
            open.tighten();
            let mut keys: Vec<_> = model.values().copied().collect();
            keys.sort_unstable();
            for key in keys {
                let first = open.first().unwrap();
                prop_assert_eq!(first.key, key);
                open.remove(&mut nodes, 0);
            }
            prop_assert_eq!(open.len(), 0);
        }
    }
}
