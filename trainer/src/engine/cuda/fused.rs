//! The inner loop of a dense network in one launch.

use std::sync::Arc;

use sinew_models::spec::NetworkSpec;

use super::store::{Held, Pieces, Store};
use super::tasks::SideRows;
use crate::cuda::dense::{self, Archive, Geometry, Plan, SideAddresses, Work};
use crate::cuda::{Address, Device, DeviceError, Launch, Limits, PerTask};
use crate::engine::InnerLoop;

/// A block that works in global memory reads 2 bytes of it for a multiply-add, a tile of the layered kernels 0.2, but those are some hundred
/// launches: up to so many multiply-adds a batch is through before they are launched (`docs/engine.md`).
const IN_GLOBAL: u64 = 1 << 29;

/// A dense network, and the table of its layers on the device.
#[derive(Debug)]
pub(super) struct Fused<D: Device> {
    plan: Plan,
    table: Held<D>,
}

/// An inner loop in one launch, and where its memory lies behind the address that it is given.
pub(super) struct Planned<'a> {
    plan: &'a Plan,
    table: Address,
    work: Work<'a>,
    geometry: Geometry,
    /// Words of a task's part.
    stride: usize,
}

impl<D: Device> Fused<D> {
    /// `None` for a network with layers that are not dense.
    pub fn new(store: &Arc<Store<D>>, spec: &NetworkSpec) -> Result<Option<Self>, DeviceError> {
        let Some(plan) = Plan::new(spec) else { return Ok(None) };
        let words = plan.table();
        let mut table = store.take(words.len())?;
        table.write(&words)?;
        Ok(Some(Self { plan, table }))
    }

    /// The launch over these tasks, of so many multiply-adds in all; with a gradient `wanted`, by so many rates too. `None` where a block
    /// would have no room in shared memory and more work than pays in global memory.
    pub fn plan<'a>(
        &'a self,
        inner: &'a InnerLoop,
        sides: &[SideRows; 2],
        wanted: bool,
        [params, rates]: [usize; 2],
        multiply_adds: u64,
        limits: &Limits,
    ) -> Option<Planned<'a>> {
        let (tasks, rows) = (sides[0].rows.tasks, [sides[0].rows.most, sides[1].rows.most]);
        let work = Work { inner, gradient: wanted, tasks, rows };
        let geometry = Geometry::new(&self.plan, &work, limits)?;
        if geometry.archive == Archive::AllGlobal && multiply_adds > IN_GLOBAL {
            return None;
        }
        let stride = if wanted { params + rates } else { 0 };
        Some(Planned { plan: &self.plan, table: self.table.address(), work, geometry, stride })
    }
}

impl Planned<'_> {
    fn lay_out(&self) -> ([usize; 2], usize) {
        let mut pieces = Pieces::default();
        let scratch = self.geometry.scratch as usize * self.geometry.blocks as usize;
        let places = [pieces.next(self.work.tasks * self.stride), pieces.next(scratch)];
        (places, pieces.words())
    }

    /// Words of memory that it needs.
    pub fn words(&self) -> usize {
        self.lay_out().1
    }

    /// The launch, and where the gradients of tasks are after it.
    pub fn launch(
        &self,
        sides: &[SideRows; 2],
        (params, rates): (Address, Address),
        losses: Address,
        memory: Address,
    ) -> (Launch, PerTask) {
        let [parts, scratch] = self.lay_out().0.map(|words| memory.plus(words));
        let [support, query] = sides.map(|side| SideAddresses { x: side.x, y: side.y, starts: side.rows.starts });
        let table = self.table;
        let at = dense::Addresses { table, params, rates, support, query, losses, parts, scratch };
        let launch = dense::launch(self.plan, &self.work, &self.geometry, &at);
        (launch, PerTask { at: parts, stride: self.stride })
    }
}
