//! Maps of what a metre costs, all on one scale of colours.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::picture::{Drawn, INK, Picture, Scale};
use crate::show::draw::{Bar, cells, frame, level, line, word};
use crate::world::terrain::grid::{SIDE, edges};

/// Pixels of a cell.
const CELL: i32 = 5;
const MAP: i32 = CELL * SIDE as i32;
const MARGIN: i32 = 16;
const BETWEEN: i32 = 18;
const HEAD: i32 = 44;
const FOOT: i32 = 40;
const BAR: i32 = 104;
/// The scale runs over all true costs but this share at each end.
const LEFT_OUT: f64 = 0.01;

/// One map.
#[derive(Clone, Debug, PartialEq)]
pub struct Costs {
    /// What stands above.
    pub title: String,
    /// For each cell, in J/m; NaN where it cannot be entered.
    pub per_metre: Vec<f64>,
}

/// Maps beside each other, of which the first is the truth.
#[derive(Clone, Debug, PartialEq)]
pub struct CostPicture {
    /// From the left.
    pub costs: Vec<Costs>,
    /// Edges that were driven, which the last map shows.
    pub driven: Vec<usize>,
}

/// Logarithms of the least and the largest cost on a scale for these.
pub fn range(per_metre: &[f64]) -> [f64; 2] {
    let mut truth: Vec<f64> = per_metre.iter().copied().filter(|cost| *cost > 0.0).collect();
    truth.sort_by(f64::total_cmp);
    let at = |share: f64| truth.get((share * truth.len() as f64) as usize).map_or(f64::NAN, |cost| cost.ln());
    [at(LEFT_OUT), at(1.0 - LEFT_OUT)]
}

/// The colour of a cost on a scale.
pub fn level_of(cost: f64, [low, high]: [f64; 2]) -> RGBColor {
    level((cost.ln() - low) / (high - low))
}

/// Round values (1, 2 and 5 times powers of ten) of which the logarithms are in this range.
fn ticks([low, high]: [f64; 2]) -> Vec<(f64, String)> {
    let round = (-3..9).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)));
    let share = |value: f64| (value.ln() - low) / (high - low);
    let inside = round.map(|value| (share(value), format!("{value}")));
    inside.filter(|(share, _)| (0.0..=1.0).contains(share)).collect()
}

impl Picture for CostPicture {
    fn size(&self) -> [u32; 2] {
        let count = self.costs.len() as i32;
        [(2 * MARGIN + count * MAP + (count - 1) * BETWEEN + BAR) as u32, (HEAD + MAP + FOOT) as u32]
    }

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let range = range(self.costs.first().map_or(&[], |costs| &costs.per_metre));
        for (place, Costs { title, per_metre }) in self.costs.iter().enumerate() {
            let left = MARGIN + place as i32 * (MAP + BETWEEN);
            word(root, scale, title.clone(), [left, HEAD - 16], INK, HPos::Left)?;
            let colour = |cell: usize| level_of(per_metre[cell], range);
            cells(root, scale, [left, HEAD], CELL, [SIDE; 2], colour)?;
            if place + 1 == self.costs.len() {
                let middle = |cell: usize| {
                    let at = |place: usize, from: i32| f64::from(from) + (place as f64 + 0.5) * f64::from(CELL);
                    [at(cell % SIDE, left), at(cell / SIDE, HEAD)]
                };
                for edge in self.driven.iter().map(|edge| &edges()[*edge]) {
                    line(root, scale, &[middle(edge.from), middle(edge.to)], WHITE, 3, false)?;
                }
            }
            frame(root, scale, [left, HEAD], [MAP, MAP])?;
        }
        let left = MARGIN + self.costs.len() as i32 * (MAP + BETWEEN);
        let bar = Bar { title: "energy [J/m]".into(), ticks: ticks(range) };
        bar.draw(root, scale, [left, HEAD], [18, MAP])?;
        let mut note = "Energy of a metre on the way into each cell, 128 m × 128 m".to_owned();
        if !self.driven.is_empty() {
            note += "; white: what was driven. One scale for all.";
        }
        word(root, scale, note, [MARGIN, HEAD + MAP + 20], INK, HPos::Left)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_in_range() {
        let found = ticks([90_f64.ln(), 1100_f64.ln()]);
        assert_eq!(found.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["100", "200", "500", "1000"]);
        assert!(found.is_sorted_by(|(one, _), (other, _)| one < other));
        let [low, high] = range(&(1..=1000).map(f64::from).collect::<Vec<_>>());
        assert!((low.exp() - 11.0).abs() <= 1e-9 && (high.exp() - 991.0).abs() <= 1e-6);
    }
}
