//! The report's one table.

use comfy_table::{CellAlignment, Table, presets};

use crate::measure::Timing;

/// The id of the workload that the others are held against.
pub const PEAK: &str = "peak/fma";

const HEADER: [&str; 6] = ["id", "µs", "MFLOP", "GFLOP/s", "% of peak", "× peer's speed"];

/// One row for each timing: time, work, rate, share of the peak of the same run, and how often it fits into its peer's time.
pub fn table(timings: &[Timing], preset: &str) -> Table {
    let find = |id: &str| timings.iter().find(|timing| timing.id == id);
    let peak = find(PEAK).map(Timing::rate);
    let mut table = Table::new();
    table.load_preset(preset).set_header(HEADER);
    for timing in timings {
        let share = peak.map_or(String::new(), |peak| format!("{:.1}", 100.0 * timing.rate() / peak));
        let peer = timing.peer.and_then(find);
        let speed = peer.map_or(String::new(), |peer| format!("{:.2}", peer.nanoseconds / timing.nanoseconds));
        table.add_row([
            timing.id.to_owned(),
            digits(timing.nanoseconds / 1e3),
            digits(timing.operations as f64 / 1e6),
            digits(timing.rate()),
            share,
            speed,
        ]);
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

/// The table as Markdown.
pub fn markdown(timings: &[Timing]) -> String {
    format!("{}\n", table(timings, presets::ASCII_MARKDOWN))
}

/// At least three digits that count.
pub(crate) fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0..100.0 => 1,
        1.0..10.0 => 2,
        0.1..1.0 => 3,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(id: &'static str, operations: u64, nanoseconds: f64, peer: Option<&'static str>) -> Timing {
        Timing { id, operations, peer, nanoseconds }
    }

    #[test]
    fn compares_with_the_peak_and_the_peer() {
        let timings = [
            timing("predict/sinew", 10_752, 200.0, Some("predict/candle")),
            timing("predict/candle", 10_752, 2_400.0, None),
            timing("predict/other", 10_752, 10_752.0, Some("predict/nobody")),
            timing(PEAK, 1_000_000, 10_000.0, None),
        ];
        let text = markdown(&timings);
        let rows: Vec<Vec<&str>> =
            text.lines().map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect();
        assert_eq!(rows.len(), 6);
        assert_eq!(rows[0], HEADER);
        assert_eq!(rows[2], ["predict/sinew", "0.200", "0.0108", "53.8", "53.8", "12.00"]);
        assert_eq!(rows[3], ["predict/candle", "2.40", "0.0108", "4.48", "4.5", ""]);
        assert_eq!(rows[4], ["predict/other", "10.8", "0.0108", "1.00", "1.0", ""]);
        assert_eq!(rows[5], [PEAK, "10.0", "1.00", "100", "100.0", ""]);
        assert_eq!(digits(0.0), "0.0000");
    }
}
