//! Hands workloads to criterion, which prints their operations as elements: Gelem/s are GFLOP/s.

use criterion::{Criterion, Throughput};
use sinew_benches::Workload;

/// Times each of them under its id.
pub fn with_criterion(workloads: impl IntoIterator<Item = Workload>) {
    let mut criterion = Criterion::default().configure_from_args();
    for Workload { id, operations, mut run, .. } in workloads {
        let (group, function) = id.split_once('/').expect("an id is question/answer");
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Elements(operations));
        group.bench_function(function, |bencher| bencher.iter(&mut run));
        group.finish();
    }
    criterion.final_summary();
}
