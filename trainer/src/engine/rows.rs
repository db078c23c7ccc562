//! Tasks as an engine takes them.

use sinew_runtime::network::Batch;

/// Rows as the network sees them: presented inputs, scaled targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// `[rows, presented]`.
    pub x: Vec<f32>,
    /// `[rows, outputs]`; empty where no loss is asked for.
    pub y: Vec<f32>,
    /// How many there are.
    pub rows: usize,
}

impl Rows {
    /// All of them, to learn from.
    pub fn batch(&self) -> Batch<'_> {
        Batch::whole(&self.x, &self.y, self.rows)
    }
}

/// One task of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskRows {
    /// What the inner loop sees.
    pub support: Rows,
    /// What the adapted parameters are judged on.
    pub query: Rows,
}

impl TaskRows {
    /// One side of it.
    pub fn side(&self, side: Side) -> &Rows {
        match side {
            Side::Support => &self.support,
            Side::Query => &self.query,
        }
    }
}

/// A side of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What the inner loop sees.
    Support,
    /// What the adapted parameters are judged on.
    Query,
}
