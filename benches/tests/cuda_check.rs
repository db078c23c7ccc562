//! All that `cuda-check` does but opening a GPU, over the fibers of `sinew-tests`: fewer trials, small batches and a handful of samples.

use sinew_benches::cuda::Watched;
use sinew_benches::cuda::check::{self, Group};
use sinew_benches::cuda::report::{Place, Report, Scope};
use sinew_benches::cuda::speed::{self, Plan};
use sinew_benches::meta_step::MetaStep;
use sinew_tests::comparison;
use sinew_tests::shim::{Order, Shim};
use sinew_trainer::cuda::Limits;

fn device(limits: Limits) -> Watched<Shim> {
    Watched::new(Shim::new(limits, Order::Forward))
}

fn place(card: Limits) -> Place {
    Place::here(card, [12, 6], None)
}

/// A few trials of each group, every workload with two small tasks, and a short training run.
fn scope() -> Scope {
    let groups = check::groups().into_iter().map(|group| {
        let every = group.trials.len().div_ceil(4);
        Group { trials: group.trials.into_iter().step_by(every).collect(), ..group }
    });
    let small = |(name, step)| (name, MetaStep { tasks: 2, support: 2, query: 2, ..step });
    let steps = speed::all().into_iter().map(small).collect();
    Scope { groups: groups.collect(), iterations: 3, steps, plan: Plan::QUICK }
}

/// The cells of the rows of tables that begin so.
fn rows<'a>(text: &'a str, first: &str) -> Vec<Vec<&'a str>> {
    let cells = |line: &'a str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    text.lines().filter(|line| line.starts_with('|')).map(cells).filter(|cells| cells[0] == first).collect()
}

#[test]
fn a_report_says_what_was_found() {
    let card = Limits { multiprocessors: 4, ..Limits::h100() };
    let mut lines = Vec::new();
    let report = Report::make(&device(card.clone()), place(card), &scope(), |line| lines.push(line.to_owned()));
    let text = report.markdown();
    assert!(report.passed(), "{text}");
    assert!(lines.iter().all(|line| line.starts_with("pass  ") || line.starts_with("timed ")), "{lines:#?}");
    assert_eq!(report.file_name(), "cuda-nvidia-h100-80gb-hbm3.md");
    assert!(text.contains("- NVRTC: none; the kernels were compiled ahead of time\n- CPU: "), "{text}");
    assert!(text.contains("All is as it must be.") && !text.contains("FAIL"), "{text}");
    assert!(text.contains("in FP32 from 4 multiprocessors at 1980 MHz"), "{text}");
    assert!(text.contains("pass  3 iterations on sine waves"), "{text}");
    for group in check::groups() {
        let rows = rows(&text, group.name);
        assert_eq!([rows[0][1], rows[1][1]], ["one launch", "layer by layer"]);
        assert!(rows.len() == 2 && rows.iter().all(|row| row[2].parse::<u32>().unwrap() >= 3 && row[3] == "0"));
    }
    for ((name, _), measured) in speed::all().into_iter().zip(&report.measured) {
        let measured = measured.as_ref().unwrap();
        // Gradient, mean and AdamW where the inner loop is one launch, as it is for dense networks.
        assert_eq!(measured.fused.is_some(), !name.starts_with("conv"));
        assert!(if measured.fused.is_some() { measured.launches == 3 } else { measured.launches > 20 });
        let times = [measured.cpu.median, measured.device.median, measured.queued, measured.fused.unwrap_or(1.0)];
        assert!(times.iter().all(|time| *time > 0.0), "{times:?}");
        assert!(measured.device.samples >= 2 && measured.device.quartiles[0] <= measured.device.quartiles[1]);
    }
    let [step, alone] = &rows(&text, "conv_4")[..] else { panic!("{text}") };
    assert_eq!((step.len(), step[1], alone[5]), (9, "2", "-"));
    assert!(step[2].contains(" to ") && step[5].parse::<f64>().unwrap() > 0.0, "{step:?}");
    assert_eq!(rows(&text, "mlp_5").len(), 6);
}

/// What is wrong is told, and told again at the end.
#[test]
fn a_report_says_what_failed() {
    let card = Limits { memory: 100_000, ..Limits::h100() };
    let mut groups = vec![Group { name: "single passes", trials: comparison::passes() }];
    groups[0].trials.truncate(2);
    groups[0].trials[0].tolerance = -1.0;
    let steps = vec![("mlp_5", MetaStep { tasks: 2, ..sinew_benches::meta_step::mlp() })];
    let scope = Scope { groups, iterations: 1, steps, plan: Plan::QUICK };
    let report = Report::make(&device(card.clone()), place(card), &scope, |_| ());
    let text = report.markdown();
    assert!(!report.passed() && text.contains("**Not all is as it must be.**"), "{text}");
    assert_eq!(rows(&text, "single passes")[0][3], "1", "{text}");
    assert!(text.contains("- FAIL  single passes: rectified, one launch: "), "{text}");
    assert!(text.contains("- mlp_5 of 2 tasks: out of memory"), "{text}");
}
