//! Processes that each have a device of their own: messages go by way of the host, gradients from device to device.

use super::on_device::{OnDevice, Transport};
use super::{Collective, CollectiveError};
use crate::aligned::Aligned;
use crate::cuda::{Device, DeviceError};
use crate::engine::cuda::Values;

/// Processes with devices.
#[derive(Debug)]
pub struct OnDevices<'a, D: Device, T> {
    host: &'a mut dyn Collective<Aligned>,
    /// `None` for one process, which has nothing to sum.
    devices: Option<OnDevice<D, T>>,
}

impl<'a, D: Device, T: Transport<D>> OnDevices<'a, D, T> {
    /// The processes of `host`, whose devices are joined by `transport` where there are several.
    pub fn new(host: &'a mut dyn Collective<Aligned>, transport: Option<T>) -> Self {
        Self { host, devices: transport.map(OnDevice::new) }
    }
}

#[cfg(feature = "cuda")]
impl<'a> OnDevices<'a, crate::cuda::Driver, super::nccl::Nccl> {
    /// Joins the GPUs of all processes by NCCL.
    ///
    /// # Errors
    /// As [`super::nccl::Nccl::join`].
    pub fn join(driver: &crate::cuda::Driver, host: &'a mut dyn Collective<Aligned>) -> Result<Self, CollectiveError> {
        let several = host.size() > 1;
        let nccl = several.then(|| super::nccl::Nccl::join(driver, host)).transpose()?;
        Ok(Self::new(host, nccl))
    }
}

impl<D: Device, T: Transport<D>> Collective<Values<D>> for OnDevices<'_, D, T> {
    fn rank(&self) -> usize {
        self.host.rank()
    }

    fn size(&self) -> usize {
        self.host.size()
    }

    fn neighbours(&self) -> usize {
        self.host.neighbours()
    }

    fn gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.host.gather(mine)
    }

    fn sum(&mut self, values: &mut [&mut Values<D>], share: f32) -> Result<(), CollectiveError> {
        let Some(devices) = &mut self.devices else { return Ok(()) };
        let places: Vec<_> = values.iter().map(|values| (values.address(), values.len())).collect();
        // Values without a device are none.
        let mut on = values.iter().filter_map(|values| values.device());
        let Some(device) = on.next() else { return Ok(()) };
        if !on.all(|other| std::ptr::eq(device, other)) {
            return Err(DeviceError::Elsewhere { what: "values to be summed" }.into());
        }
        // SAFETY: the values are of this device, of these lengths, and borrowed alone.
        unsafe { devices.sum(device, &places, share) }
    }
}
