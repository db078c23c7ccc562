//! What a depth camera sees of a scene, and the patch of it before a grasp, in false colours.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use crate::picture::{COLOURS, Drawn, INK, Picture, Scale};
use crate::show::draw::{Bar, cells, frame, level, line, word};
use crate::world::grasp::depth::{Image, PATCH_PIXELS, PIXEL, PIXELS, Patch};
use crate::world::grasp::gripper::{FINGER, Grasp, PAD_HALF_WIDTH, STROKE};

const SIDE: i32 = 384;
const MARGIN: i32 = 16;
const HEAD: i32 = 76;
const BAR: i32 = 120;
const FOOT: i32 = 66;
/// The colour of the gripper: vermilion.
const GRIPPER: RGBColor = COLOURS[1];

/// The picture of an image, a grasp and its patch.
#[derive(Clone, Debug)]
pub struct PatchPicture {
    /// What the camera sees.
    pub image: Image,
    /// The grasp.
    pub grasp: Grasp,
    /// The patch before it.
    pub patch: Patch,
    /// Places of the closed pads along the closing direction, in m.
    pub pads: [f64; 2],
}

/// The least and the largest value, a little apart at least.
fn range(values: &[f32]) -> [f64; 2] {
    let start = [f64::INFINITY, f64::NEG_INFINITY];
    let [low, high] =
        values.iter().fold(start, |[low, high], value| [low.min((*value).into()), high.max((*value).into())]);
    if high - low > 1e-3 { [low, high] } else { [low - 1e-3, high + 1e-3] }
}

impl PatchPicture {
    /// Of what `image` shows before `grasp`, with pads that have closed at these places.
    pub fn new(image: Image, grasp: Grasp, pads: [f64; 2]) -> Self {
        Self { patch: image.patch(&grasp), image, grasp, pads }
    }

    fn right(&self) -> i32 {
        MARGIN + SIDE + BAR
    }
}

impl Picture for PatchPicture {
    fn size(&self) -> [u32; 2] {
        [(self.right() + SIDE + BAR) as u32, (HEAD + SIDE + FOOT) as u32]
    }

    fn draw<B: DrawingBackend>(&self, root: &DrawingArea<B, Shift>, scale: Scale) -> Drawn
    where
        B::ErrorType: 'static,
    {
        let share = |value: f32, [low, high]: [f64; 2]| 1.0 - (f64::from(value) - low) / (high - low);
        let title = |text: &str, left: i32| word(root, scale, text, [left, 22], INK, HPos::Left);

        title("What the depth camera sees, and the grasp", MARGIN)?;
        let depths = range(self.image.depths());
        let pixel = SIDE / PIXELS as i32;
        let colour = |place: usize| level(share(self.image.depths()[place], depths));
        cells(root, scale, [MARGIN, HEAD], pixel, [PIXELS; 2], colour)?;
        frame(root, scale, [MARGIN, HEAD], [SIDE, SIDE])?;
        Bar::round("depth [m]", depths, true).draw(root, scale, [MARGIN + SIDE + 16, HEAD], [18, SIDE])?;
        let place = |point| {
            let [column, row] = Image::place(point);
            let [x, y] = [column, row].map(|at| (at + 0.5) * f64::from(pixel));
            [f64::from(MARGIN) + x, f64::from(HEAD) + y]
        };
        let Grasp { centre, axis, .. } = self.grasp;
        line(
            root,
            scale,
            &[place(centre - 0.5 * STROKE * axis), place(centre + 0.5 * STROKE * axis)],
            GRIPPER,
            2,
            true,
        )?;
        for pad in self.pads {
            let ends = [-1.0, 1.0].map(|sign| place(centre + pad * axis + sign * PAD_HALF_WIDTH * self.grasp.side()));
            line(root, scale, &ends, GRIPPER, 3, true)?;
        }
        // The border of the patch.
        let half = 0.5 * PATCH_PIXELS as f64 * PIXEL;
        let corner = |[along, across]: [f64; 2]| place(centre + half * (along * axis + across * self.grasp.side()));
        let corners = [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0]].map(corner);
        let inside = |[x, y]: [f64; 2]| {
            [x.clamp(MARGIN.into(), (MARGIN + SIDE).into()), y.clamp(HEAD.into(), (HEAD + SIDE).into())]
        };
        line(root, scale, &corners.map(inside), WHITE, 1, false)?;

        let left = self.right();
        title("The patch before the grasp, 32 × 32 pixels of 3 mm", left)?;
        let depths = range(&self.patch.depths);
        let pixel = SIDE / PATCH_PIXELS as i32;
        let colour = |place: usize| level(share(self.patch.depths[place], depths));
        cells(root, scale, [left, HEAD], pixel, [PATCH_PIXELS; 2], colour)?;
        frame(root, scale, [left, HEAD], [SIDE, SIDE])?;
        let millimetres = depths.map(|depth| 1000.0 * depth);
        Bar::round("ahead [mm]", millimetres, true).draw(root, scale, [left + SIDE + 16, HEAD], [18, SIDE])?;
        let metre = f64::from(pixel) / PIXEL;
        let at = |along: f64, across: f64| {
            [
                f64::from(left) + 0.5 * f64::from(SIDE) + along * metre,
                f64::from(HEAD) + 0.5 * f64::from(SIDE) + across * metre,
            ]
        };
        for (sign, pad) in [-1.0, 1.0].into_iter().zip(self.pads) {
            let [inner, outer] = [pad, pad + sign * FINGER];
            let rectangle = |[inner, outer]: [f64; 2]| {
                [[inner, -1.0], [outer, -1.0], [outer, 1.0], [inner, 1.0], [inner, -1.0]]
                    .map(|[along, sign]| at(along.clamp(-half, half), sign * PAD_HALF_WIDTH))
            };
            line(root, scale, &rectangle([inner, outer]), GRIPPER, 2, true)?;
        }
        line(root, scale, &[at(self.pads[0], 0.0), at(self.pads[1], 0.0)], GRIPPER, 1, true)?;
        let notes = [
            "Camera straight above, noise of Dex-Net 2.0, levelled by the table. Vermilion: pads where they close; white: the patch."
                .to_owned(),
            format!(
                "Columns of the patch lie along the closing direction; its depths are ahead of the gripper, which is {:.3} m from the camera. Light is near.",
                self.patch.gripper_depth
            ),
        ];
        for (number, note) in notes.into_iter().enumerate() {
            word(root, scale, note, [MARGIN, HEAD + SIDE + 24 + 20 * number as i32], INK, HPos::Left)?;
        }
        Ok(())
    }
}
