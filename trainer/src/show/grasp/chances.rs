//! Predicted beside true probabilities of grasps, before and after adapting.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::metric::{expected_auroc, expected_log_loss};
use crate::picture::{COLOURS, Drawn, GRID, INK, Picture, Scale};
use crate::show::draw::word;

const SIDE: i32 = 400;
const HEAD: i32 = 52;

/// What one says, and what is true.
#[derive(Clone, Debug, PartialEq)]
pub struct Chances {
    /// What stands above.
    pub title: String,
    /// What is said, a grasp each.
    pub said: Vec<f32>,
}

/// The picture.
#[derive(Clone, Debug, PartialEq)]
pub struct ChancesPicture {
    /// From the left.
    pub panels: Vec<Chances>,
    /// What is true.
    pub truth: Vec<f32>,
}

impl Picture for ChancesPicture {
    fn size(&self) -> [u32; 2] {
        [(SIDE * self.panels.len() as i32 + 20) as u32, (HEAD + SIDE) as u32]
    }

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let (above, below) = root.split_vertically(scale.at(HEAD));
        let _ = above;
        let areas = below.split_evenly((1, self.panels.len()));
        for (place, (area, Chances { title, said })) in areas.iter().zip(&self.panels).enumerate() {
            let left = SIDE * place as i32 + 66;
            word(root, scale, title.clone(), [left, 18], INK, HPos::Left)?;
            let scores = format!(
                "area under ROC {:.2}, log loss {:.2} nat",
                expected_auroc(said, &self.truth),
                expected_log_loss(said, &self.truth)
            );
            word(root, scale, scores, [left, 38], INK, HPos::Left)?;
            let mut chart = ChartBuilder::on(area)
                .margin(scale.of(8))
                .margin_right(scale.of(20))
                .x_label_area_size(scale.of(46))
                .y_label_area_size(scale.of(56))
                .build_cartesian_2d(-0.03..1.03, -0.03..1.03)?;
            chart
                .configure_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(GRID.stroke_width(scale.of(1)))
                .axis_style(INK.stroke_width(scale.of(1)))
                .label_style(("sans-serif", scale.at(13)))
                .x_labels(6)
                .y_labels(6)
                .x_label_formatter(&|value| format!("{value:.1}"))
                .y_label_formatter(&|value| format!("{value:.1}"))
                .x_desc("true probability that it holds [1]")
                .y_desc("predicted [1]")
                .draw()?;
            let diagonal = PathElement::new([(0.0, 0.0), (1.0, 1.0)], INK.stroke_width(scale.of(1)));
            chart.draw_series([diagonal])?;
            let points = said.iter().zip(&self.truth).map(|(said, truth)| {
                Circle::new((f64::from(*truth), f64::from(*said)), scale.at(4), COLOURS[0].mix(0.6).filled())
            });
            chart.draw_series(points)?;
        }
        Ok(())
    }
}
