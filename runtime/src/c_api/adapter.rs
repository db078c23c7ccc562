//! The functions on an adapter that is set up: [`Adapter`]'s own, with checked pointers.

use core::ffi::{c_int, c_void};

use sinew_models::rule::{MAX_STEPS, RuleError};

use super::block::{SinewAdapter, array, array_mut, overlap, span};
use super::code::SinewCode;
use super::report::{SinewGuard, SinewReport};
use crate::adapter::Adapter;

/// Asked before each inner step, with the context that was given to sinew_adapter_adapt: anything but 0 ends the adaptation. It must
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
    let observe = || {
        // SAFETY: the contract of this module.
        let (adapter, block) = unsafe { SinewAdapter::enter(adapter) }?;
        if overlap(block, span(x, x_len)?) || overlap(block, span(y, y_len)?) {
            return Err(SinewCode::Overlap);
        }
        // SAFETY: the contract of this module; neither lies in what the adapter writes to.
        let (x, y) = unsafe { (array(x, x_len)?, array(y, y_len)?) };
        Ok(adapter.observe(x, y)?)
    };
    observe().into()
}

/// Fits the network to the support rows, from the meta-learned start, and commits the result if the guard lets it; report tells.
///
/// until is asked before each inner step, whose cost is fixed, and ends the adaptation: the steps taken so far are then judged by the
/// guard. NULL takes all steps. All or nothing: whatever happens, predictions come from whole, finite, accepted parameters. An update
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

/// The loss of the parameters that predict now, on the support rows, summed over heads with their weights.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_support_loss(adapter: *mut SinewAdapter, loss: *mut f32) -> SinewCode {
    let judge = || {
        // SAFETY: the contract of this module.
        let (adapter, block) = unsafe { SinewAdapter::enter(adapter) }?;
        if overlap(block, span(loss, 1)?) {
            return Err(SinewCode::Overlap);
        }
        let value = adapter.support_loss()?;
        // SAFETY: neither null nor misaligned, so writable.
        unsafe { loss.write(value) };
        Ok(())
    };
    judge().into()
}

/// Back to the meta-learned start; the support rows stay.
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

/// Commits adaptations as guard says from now on: a value of sinew_guard.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sinew_adapter_set_guard(adapter: *mut SinewAdapter, guard: i32) -> SinewCode {
    let set = || {
        // SAFETY: the contract of this module.
        let (adapter, _) = unsafe { SinewAdapter::enter(adapter) }?;
        adapter.set_guard(SinewGuard::of(guard).ok_or(SinewCode::UnknownGuard)?);
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

/// What `answer` says of the adapter, or the default.
///
/// # Safety
/// The contract of this module.
unsafe fn ask<T: Default>(adapter: *const SinewAdapter, answer: impl FnOnce(&Adapter<'static>) -> T) -> T {
    // SAFETY: nothing is written through it; what else is needed, the caller says.
    unsafe { SinewAdapter::enter(adapter.cast_mut()) }.map_or_else(|_| T::default(), |(adapter, _)| answer(adapter))
}
