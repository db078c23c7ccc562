//! What an edge costs: energy and slip of a wheeled rover on soil.
//!
//! The traction law has the form of Wismer and Luth, *Off-road traction prediction for wheeled vehicles*, Journal of
//! Terramechanics 10(2), 1973: a wheel on soil of mobility number `Cn` (soil strength · tyre width · diameter / load) that
//! slips by `s` pulls with `0.75 (1 − exp(−0.3 Cn s))` of its load, and `1.2 / Cn + 0.04` of the load resists its motion.
//! Here the constant 0.04 is the tyre's own resistance, a hidden fact. Tyre pressure, roughness, side slope, steps
//! and the mobility numbers of the surfaces are engineering choices of plausible size, not from that paper.
//!
//! ```text
//! m  = 100 kg (1 + payload)            N = m g cosθ cosφ        θ: grade along the heading, φ: side slope
//! Cn = exp(ln Cn_mid + a z_site + b z_soil − k_w (wetness − ½)) / (1 + payload) · ρ^−½ / variation
//! C  = rr₀ ρ^−0.4 + 1.2 / Cn + 0.02 k_rough · roughness / 0.03 m
//! F  = N (C + k_side tan²φ) + k_step m g · step / 2 m + m g sinθ
//! q  = F⁺ / (0.75 N)
//! s  = −ln(1 − min(q, 0.985)) / (0.3 Cn) + 100 max(q − 0.985, 0)
//! E  = (P / V) / (1 − s) + F⁺ / ((1 − s) η) − min(η_r F⁻, ½ P / V)        [J/m], with s no more than 0.8
//! ```

use super::grid::CELL;
use super::hidden::Hidden;

/// Slip beyond which an edge cannot be driven. The energy of such an edge is that at this slip: five times the work.
pub const LARGEST_SLIP: f64 = 0.8;
/// Mass of the rover without payload, in kg.
pub const MASS: f64 = 100.0;
/// Speed of the rover where its wheels do not slip, in m/s.
pub const SPEED: f64 = 0.5;
pub(super) const GRAVITY: f64 = 9.81;

/// Mobility number of each surface: rock, gravel, grass, loam, sand; half wet and without payload.
pub(super) const MOBILITY: [f64; 5] = [80.0, 26.0, 20.0, 16.0, 11.0];
/// How far one standard deviation of the site's strength moves the log mobility.
pub(super) const SITE_SPREAD: [f64; 5] = [0.1, 0.2, 0.35, 0.45, 0.45];
/// How far one standard deviation of the soil's own strength moves the log mobility.
pub(super) const SOIL_SPREAD: [f64; 5] = [0.2, 0.4, 0.5, 0.5, 0.5];

/// What lies under the wheels along one edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ground {
    /// Tangent of the grade along the heading; uphill is positive.
    pub grade: f64,
    /// Tangent of the side slope, at least 0.
    pub side: f64,
    /// Shares of the surfaces rock, gravel, grass, loam and sand; they sum to one.
    pub surface: [f64; 5],
    /// Wetness, from 0 to 1.
    pub wetness: f64,
    /// Roughness, in m.
    pub roughness: f64,
    /// Height of the steps in a cell, in m.
    pub step: f64,
    /// What divides the soil's strength here, around 1. No sensor shows it.
    pub variation: f64,
}

/// What driving along an edge takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passage {
    /// Energy per metre, in J/m.
    pub energy: f64,
    /// Slip; beyond [`LARGEST_SLIP`] the edge cannot be driven.
    pub slip: f64,
}

/// The time of a metre at `slip`, in s: what slips does not get on, and who is stuck digs at a fifth of the speed.
pub fn time(slip: f64) -> f64 {
    1.0 / (SPEED * (1.0 - slip.min(LARGEST_SLIP)))
}

/// What `ground` takes of a rover with these hidden facts.
pub fn passage(hidden: &Hidden, ground: &Ground) -> Passage {
    let weight = MASS * (1.0 + hidden.payload) * GRAVITY;
    // cosθ and cosφ by their tangents.
    let cos_grade = 1.0 / (1.0 + ground.grade.powi(2)).sqrt();
    let load = weight * cos_grade / (1.0 + ground.side.powi(2)).sqrt();
    let mobility = mobility(hidden, ground);
    let Losses { rolling, step, roughness, side } = losses(hidden, ground);
    let rolling =
        rolling * hidden.tyre_pressure.powf(-0.4) + 1.2 / mobility + 0.02 * roughness * ground.roughness / 0.03;
    let force = load * (rolling + side * ground.side.powi(2))
        + step * weight * ground.step / CELL
        + weight * ground.grade * cos_grade;
    let (push, brake) = (force.max(0.0), (-force).max(0.0));
    let pull = push / load / 0.75;
    let slip = -(1.0 - pull.min(0.985)).ln() / (0.3 * mobility) + (pull - 0.985).max(0.0) * 100.0;
    let progress = 1.0 - slip.min(LARGEST_SLIP);
    let base = hidden.base_power / SPEED;
    let energy =
        base / progress + push / (progress * hidden.drive_efficiency) - (hidden.recovery * brake).min(0.5 * base);
    Passage { energy, slip }
}

/// The four losses beside the soil's strength, as they are on one ground.
#[derive(Clone, Copy, Debug)]
pub(super) struct Losses {
    pub rolling: f64,
    pub step: f64,
    pub roughness: f64,
    pub side: f64,
}

/// The losses on `ground`: those of the rover, or the mean over its surfaces where each has its own.
pub(super) fn losses(hidden: &Hidden, ground: &Ground) -> Losses {
    let Hidden { rolling, step_loss, roughness_loss, side_loss, .. } = *hidden;
    let Some(own) = &hidden.by_surface else {
        return Losses { rolling, step: step_loss, roughness: roughness_loss, side: side_loss };
    };
    let mean = |values: &[f64; 5]| values.iter().zip(&ground.surface).map(|(value, share)| value * share).sum();
    Losses {
        rolling: mean(&own.rolling),
        step: mean(&own.step_loss),
        roughness: mean(&own.roughness_loss),
        side: mean(&own.side_loss),
    }
}

/// The mobility number `Cn`.
pub(super) fn mobility(hidden: &Hidden, ground: &Ground) -> f64 {
    let log: f64 = (0..5)
        .filter(|&class| ground.surface[class] != 0.0)
        .map(|class| {
            ground.surface[class]
                * (MOBILITY[class].ln()
                    + SITE_SPREAD[class] * hidden.site_strength
                    + SOIL_SPREAD[class] * hidden.soil_strength[class]
                    - hidden.wetness_effect[class] * (ground.wetness - 0.5))
        })
        .sum();
    log.exp() / (1.0 + hidden.payload) / hidden.tyre_pressure.sqrt() / ground.variation
}
