//! The functions on an adapter that is set up: [`Adapter`]'s own, with checked pointers.

use core::ffi::{c_int, c_void};

use sinew_models::rule::{MAX_STEPS, RuleError};

use super::block::{SinewAdapter, array, array_mut, overlap, span};
use super::code::SinewCode;
use super::report::{SinewBudget, SinewGuard, SinewNovelty, SinewReport};
use crate::adapter::{Adapter, HeadSet};
use crate::guard::Limits;

/// Asked before each unit of work, with the context that was given to sinew_adapter_adapt: anything but 0 ends the adaptation. It must
/// return: no exception and no longjmp may leave it.
pub type SinewUntil = Option<unsafe extern "C" fn(context: *mut c_void) -> c_int>;

/// Puts one labelled sample into the support ring: x of sinew_adapter_input_len and y of sinew_adapter_output_len values, in the units of
/// the bundle; a class is a row of zeros with a one. The oldest sample leaves if there is no room. Of a refused sample nothing is kept.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_observe(
    adapter: *mut SinewAdapter,
    x: *const f32,
    x_len: usize,
    y: *const f32,
    y_len: usize,
) -> SinewCode {
    // SAFETY: the contract of this module.
    unsafe { sinew_adapter_observe_heads(adapter, x, x_len, y, y_len, u32::MAX) }
}

/// As sinew_adapter_observe, of a sample that carries the labels of some heads only: bit i of labelled is for head i of the bundle, in the
/// order of the outputs. What y has in the columns of the others is not looked at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_observe_heads(
    adapter: *mut SinewAdapter,
    x: *const f32,
    x_len: usize,
    y: *const f32,
    y_len: usize,
    labelled: u32,
) -> SinewCode {
    let observe = || {
        // SAFETY: the contract of this module.
        let (adapter, block) = unsafe { SinewAdapter::enter(adapter) }?;
        if overlap(block, span(x, x_len)?) || overlap(block, span(y, y_len)?) {
            return Err(SinewCode::Overlap);
        }
        // SAFETY: the contract of this module; neither lies in what the adapter writes to.
        let (x, y) = unsafe { (array(x, x_len)?, array(y, y_len)?) };
        Ok(adapter.observe_heads(x, y, HeadSet::from_bits(labelled))?)
    };
    observe().into()
}

/// Fits the network to the support rows, from the meta-learned start, and commits the result if the guard lets it; report tells.
///
/// until is asked before each unit of work, whose cost is fixed (sinew_adapter_budget), and ends the adaptation: of what was judged so
/// far the best is committed, or nothing. NULL does all of the work. All or nothing: whatever happens, predictions come from whole, finite, accepted parameters. An update
/// that the guard refuses is no error: the outcome says so. While it runs, every call on this adapter is refused, until's too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_adapt(
    adapter: *mut SinewAdapter,
    until: SinewUntil,
    context: *mut c_void,
    report: *mut SinewReport,
) -> SinewCode {
    let adapt = || {
        // SAFETY: the contract of this module.
        let (inner, block) = unsafe { SinewAdapter::enter(adapter) }?;
        if overlap(block, span(report, 1)?) {
            return Err(SinewCode::Overlap);
        }
        // SAFETY: entered above.
        unsafe { SinewAdapter::set_busy(adapter, true) };
        let adapted = inner.adapt(|| {
            // SAFETY: the contract of this module: a function that takes this context.
            until.is_some_and(|until| unsafe { until(context) } != 0)
        });
        // SAFETY: entered above; `report` is neither null nor misaligned, so writable.
        unsafe {
            SinewAdapter::set_busy(adapter, false);
            report.write(adapted?.into());
        }
        Ok(())
    };
    adapt().into()
}

/// Predicts for one input row or several, x [rows, input_len], into y [rows, output_len]: values in the units of the bundle, or
/// probabilities for classes. x_len and y_len count values, not rows. x and y must not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_predict(
    adapter: *mut SinewAdapter,
    x: *const f32,
    x_len: usize,
    y: *mut f32,
    y_len: usize,
) -> SinewCode {
    let predict = || {
        // SAFETY: the contract of this module.
        let (adapter, block) = unsafe { SinewAdapter::enter(adapter) }?;
        let (read, written) = (span(x, x_len)?, span(y, y_len)?);
        if overlap(block, read) || overlap(block, written) || overlap(read, written) {
            return Err(SinewCode::Overlap);
        }
        // SAFETY: the contract of this module; they do not overlap.
        let (x, y) = unsafe { (array(x, x_len)?, array_mut(y, y_len)?) };
        Ok(adapter.predict(x, y)?)
    };
    predict().into()
}

/// As sinew_adapter_predict, with the variance of each prediction, noise included, in squares of the bundle's units: variance
/// [rows, output_len]. No two of x, y and variance may overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_predict_with_variance(
    adapter: *mut SinewAdapter,
    x: *const f32,
    x_len: usize,
    y: *mut f32,
    y_len: usize,
    variance: *mut f32,
    variance_len: usize,
) -> SinewCode {
    let predict = || {
        // SAFETY: the contract of this module.
        let (adapter, block) = unsafe { SinewAdapter::enter(adapter) }?;
        let (read, written, beside) = (span(x, x_len)?, span(y, y_len)?, span(variance, variance_len)?);
        if overlap(block, read) || overlap(block, written) || overlap(block, beside) {
            return Err(SinewCode::Overlap);
        }
        if overlap(read, written) || overlap(read, beside) || overlap(written, beside) {
            return Err(SinewCode::Overlap);
        }
        // SAFETY: the contract of this module; they do not overlap.
        let (x, y, variance) = unsafe { (array(x, x_len)?, array_mut(y, y_len)?, array_mut(variance, variance_len)?) };
        Ok(adapter.predict_with_variance(x, y, variance)?)
    };
    predict().into()
}

/// The loss of the parameters that predict now, on the support rows, summed over heads with their weights; NaN for similarities, which
/// have none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_support_loss(adapter: *mut SinewAdapter, loss: *mut f32) -> SinewCode {
    // SAFETY: the contract of this module.
    unsafe { tell(adapter, loss, |adapter| Ok(adapter.support_loss()?)) }
}

/// How far the support inputs are from what the bundle was trained on. What is not known is NaN.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_novelty(adapter: *mut SinewAdapter, novelty: *mut SinewNovelty) -> SinewCode {
    // SAFETY: the contract of this module.
    unsafe { tell(adapter, novelty, |adapter| Ok(adapter.novelty().into())) }
}

/// What adaptation and prediction cost at most, with the steps and the guard that are set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_budget(adapter: *mut SinewAdapter, budget: *mut SinewBudget) -> SinewCode {
    // SAFETY: the contract of this module.
    unsafe { tell(adapter, budget, |adapter| Ok(adapter.budget().into())) }
}

/// Whether the parameters that predict are, to the bit, those that were committed. If not, the meta-learned start is brought back from the
/// bundle, and SINEW_CODE_VERIFY_CORRUPTED says so. For where memory can be disturbed: it reads every parameter once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_verify(adapter: *mut SinewAdapter) -> SinewCode {
    let verify = || {
        // SAFETY: the contract of this module.
        let (adapter, _) = unsafe { SinewAdapter::enter(adapter) }?;
        Ok(adapter.verify()?)
    };
    verify().into()
}

/// Back to the meta-learned start; the support rows stay, unless a recovery is set that asks for new ones.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_rollback(adapter: *mut SinewAdapter) -> SinewCode {
    let rollback = || {
        // SAFETY: the contract of this module.
        let (adapter, _) = unsafe { SinewAdapter::enter(adapter) }?;
        adapter.rollback();
        Ok(())
    };
    rollback().into()
}

/// A new task: back to the meta-learned start, without support rows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_reset(adapter: *mut SinewAdapter) -> SinewCode {
    let reset = || {
        // SAFETY: the contract of this module.
        let (adapter, _) = unsafe { SinewAdapter::enter(adapter) }?;
        adapter.reset();
        Ok(())
    };
    reset().into()
}

/// Takes 1 to 1000 inner steps from now on, instead of as many as the bundle says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_set_steps(adapter: *mut SinewAdapter, steps: u32) -> SinewCode {
    let set = || {
        // SAFETY: the contract of this module.
        let (adapter, _) = unsafe { SinewAdapter::enter(adapter) }?;
        let steps = usize::try_from(steps).unwrap_or(usize::MAX);
        if !(1..=MAX_STEPS).contains(&steps) {
            return Err(RuleError::Steps(steps).into());
        }
        adapter.set_steps(steps);
        Ok(())
    };
    set().into()
}

/// Commits adaptations as guard says from now on: a value of sinew_guard. With SINEW_GUARD_HELD_BACK, held_back newest support rows
/// judge and are not learned from: 1 to one less than there is room for. With SINEW_GUARD_EACH_HEAD, the held_back newest labels of each head:
/// 0, for all of them to judge and to be learned from, to one less than there is room for. 0 with another guard.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_set_guard(
    adapter: *mut SinewAdapter,
    guard: i32,
    held_back: usize,
) -> SinewCode {
    let set = || {
        // SAFETY: the contract of this module.
        let (adapter, _) = unsafe { SinewAdapter::enter(adapter) }?;
        adapter.set_guard(SinewGuard::of(guard, held_back, adapter.support().capacity())?);
        Ok(())
    };
    set().into()
}

/// Bounds adaptations from now on. trust_radius: the longest way from the meta-learned start, the root of the summed squares of what the
/// parameters changed by, that is committed; INFINITY, as at first, for no limit. patience: so many refused adaptations in a row bring the
/// start back; 0, as at first, for never. recovery: after a return to the start the support rows are forgotten, and so many new ones are
/// waited for before adapting again; 0, as at first, keeps the rows and goes on at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_set_limits(
    adapter: *mut SinewAdapter,
    trust_radius: f32,
    patience: u32,
    recovery: usize,
) -> SinewCode {
    let set = || {
        // SAFETY: the contract of this module.
        let (adapter, _) = unsafe { SinewAdapter::enter(adapter) }?;
        // Not by what it is below, which NaN would pass.
        if !matches!(trust_radius, 0.0..) {
            return Err(SinewCode::TrustRadius);
        }
        adapter.set_limits(Limits { trust_radius, patience, recovery });
        Ok(())
    };
    set().into()
}

/// Values in one input row; 0 where another function would refuse the adapter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_input_len(adapter: *const SinewAdapter) -> usize {
    // SAFETY: the contract of this module.
    unsafe { ask(adapter, |adapter| adapter.input_len()) }
}

/// Values in one output row; 0 where another function would refuse the adapter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_output_len(adapter: *const SinewAdapter) -> usize {
    // SAFETY: the contract of this module.
    unsafe { ask(adapter, |adapter| adapter.output_len()) }
}

/// Support rows that it has room for; 0 where another function would refuse the adapter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_capacity(adapter: *const SinewAdapter) -> usize {
    // SAFETY: the contract of this module.
    unsafe { ask(adapter, |adapter| adapter.support().capacity()) }
}

/// Support rows that it holds; 0 also where another function would refuse the adapter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_support_rows(adapter: *const SinewAdapter) -> usize {
    // SAFETY: the contract of this module.
    unsafe { ask(adapter, |adapter| adapter.support().rows()) }
}

/// Inner steps that sinew_adapter_adapt takes; 0 where another function would refuse the adapter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_steps(adapter: *const SinewAdapter) -> u32 {
    // SAFETY: the contract of this module.
    unsafe { ask(adapter, |adapter| u32::try_from(adapter.steps()).unwrap_or(u32::MAX)) }
}

/// Writes to `to` what `answer` says of the adapter.
///
/// # Safety
/// The contract of this module.
unsafe fn tell<T>(
    adapter: *mut SinewAdapter,
    to: *mut T,
    answer: impl FnOnce(&mut Adapter<'static>) -> Result<T, SinewCode>,
) -> SinewCode {
    let tell = || {
        // SAFETY: the contract of this module.
        let (adapter, block) = unsafe { SinewAdapter::enter(adapter) }?;
        if overlap(block, span(to, 1)?) {
            return Err(SinewCode::Overlap);
        }
        let value = answer(adapter)?;
        // SAFETY: neither null nor misaligned, so writable.
        unsafe { to.write(value) };
        Ok(())
    };
    tell().into()
}

/// What `answer` says of the adapter, or the default.
///
/// # Safety
/// The contract of this module.
unsafe fn ask<T: Default>(adapter: *const SinewAdapter, answer: impl FnOnce(&Adapter<'static>) -> T) -> T {
    // SAFETY: nothing is written through it; what else is needed, the caller says.
    unsafe { SinewAdapter::enter(adapter.cast_mut()) }.map_or_else(|_| T::default(), |(adapter, _)| answer(adapter))
}
