//! What is timed, by name. A new one is a constructor here, a bench file that hands it to criterion, and a line in `report`.

use std::fmt;
use std::hint::black_box;

use sinew_models::rule::Scope;
use sinew_runtime::{Guard, Outcome, Path};

use crate::peak::Peak;
use crate::problem::Problem;

/// One thing to time.
pub struct Workload {
    /// `question/answer`, such as `predict/sinew`: criterion's id.
    pub id: &'static str,
    /// Operations of one run, as [`crate::count`] counts them.
    pub operations: u64,
    /// The id of what it is compared with in the report.
    pub peer: Option<&'static str>,
    /// One run.
    pub run: Box<dyn FnMut()>,
}

impl Workload {
    /// A workload without a peer.
    pub fn new(id: &'static str, operations: u64, run: impl FnMut() + 'static) -> Self {
        Self { id, operations, peer: None, run: Box::new(run) }
    }

    /// The same, compared with the workload of this id.
    pub fn beside(mut self, peer: &'static str) -> Self {
        self.peer = Some(peer);
        self
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workload").field("id", &self.id).field("operations", &self.operations).finish_non_exhaustive()
    }
}

/// One prediction for one row of plain values.
///
/// # Panics
/// If the adapter refuses the row.
pub fn predict(id: &'static str, path: Path) -> Workload {
    let problem = Problem::standard();
    let mut adapter = problem.adapter(path);
    let (x, mut y) = (problem.first_input().to_vec(), vec![0.0; adapter.output_len()]);
    let operations = problem.count().forward(1);
    Workload::new(id, operations, move || {
        adapter.predict(black_box(&x), black_box(&mut y)).expect("one row in, one row out");
    })
    .beside("predict/candle")
}

/// One adaptation from the start of the bundle to rows that were observed before.
///
/// # Panics
/// If the guard does not commit it.
pub fn adapt(id: &'static str, path: Path, guard: Guard) -> Workload {
    let problem = Problem::standard();
    let mut adapter = problem.adapter(path);
    adapter.set_guard(guard);
    let operations = problem.operations();
    Workload::new(id, operations, move || {
        let report = black_box(&mut adapter).adapt(|| false).expect("there is support");
        assert_eq!(report.outcome, Outcome::Committed);
        black_box(adapter.parameters());
    })
    .beside("adapt/candle")
}

/// One adaptation to the labels of one head of three, each head judged by 4 labels that are held back. The numbers mean nothing, so that
/// the guard may refuse what comes of it; the work is the same.
///
/// # Panics
/// If it is not done.
pub fn adapt_heads(id: &'static str, path: Path) -> Workload {
    let problem = Problem::heads();
    let mut adapter = problem.adapter(path);
    adapter.set_guard(Guard::EachHead(Problem::JUDGING));
    let operations = problem.operations();
    Workload::new(id, operations, move || {
        let report = black_box(&mut adapter).adapt(|| false).expect("there is support");
        assert!(matches!(report.outcome, Outcome::Committed | Outcome::Worse));
        black_box(adapter.parameters());
    })
}

/// One adaptation of a convolutional network to images: of all layers, or of the head alone on features that are computed once.
///
/// The head's run observes the images first, for the features of rows that were seen before are kept.
///
/// # Panics
/// If the guard does not commit it.
pub fn adapt_images(id: &'static str, path: Path, scope: Scope) -> Workload {
    let problem = Problem::images(scope);
    let mut adapter = problem.adapter(path);
    adapter.set_guard(Guard::Finite);
    let operations = problem.operations();
    Workload::new(id, operations, move || {
        if problem.scope == Scope::Heads {
            problem.observe(&mut adapter);
        }
        let report = black_box(&mut adapter).adapt(|| false).expect("there is support");
        assert_eq!(report.outcome, Outcome::Committed);
        black_box(adapter.parameters());
    })
}

/// What this core can do at best.
pub fn peak() -> Workload {
    peak_of(crate::table::PEAK, Peak::detect())
}

/// The AVX2 path and the peak of AVX2, where that is not the fastest path.
pub fn avx2() -> Vec<Workload> {
    #[cfg(target_arch = "x86_64")]
    if let Some(peak) = Peak::avx2()
        && let Some(path) = Path::available().find(|path| path.name() == "avx2" && *path != Path::detect())
    {
        return vec![
            adapt("adapt/avx2", path, Guard::Finite),
            adapt_images("images/all_avx2", path, Scope::All),
            adapt_images("images/head_avx2", path, Scope::Heads),
            peak_of("peak/fma_avx2", peak),
        ];
    }
    Vec::new()
}

fn peak_of(id: &'static str, peak: Peak) -> Workload {
    const ROUNDS: u32 = 10_000;
    Workload::new(id, peak.operations(ROUNDS), move || {
        black_box(peak.run(black_box(ROUNDS)));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_run() {
        for path in Path::available() {
            for guard in [Guard::Finite, Guard::Improve] {
                (adapt("adapt/it", path, guard).run)();
            }
            for scope in [Scope::All, Scope::Heads] {
                (adapt_images("images/it", path, scope).run)();
            }
            (adapt_heads("heads/it", path).run)();
            (predict("predict/it", path).run)();
        }
        (peak().run)();
    }
}
