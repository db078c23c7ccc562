//! The sum of a gradient over processes, each with a device of its own, without a way through the host.
//!
//! Every process gathers what all have, times their shares, and adds it up in the order of ranks. That is more to carry than a sum that is made
//! in pieces, as NCCL's all-reduce makes it, but NCCL promises neither an order of that sum nor the same bits on another number of machines or
//! with another version. Carrying what is there as it is leaves no choice of order.

use std::fmt;

use super::CollectiveError;
use crate::cuda::arrange::put;
use crate::cuda::reduce::{mean, parts};
use crate::cuda::{Address, Device, DeviceError, PerTask};

/// What carries words between the devices of processes.
pub trait Transport<D: Device>: fmt::Debug {
    /// How many processes there are.
    fn size(&self) -> usize;

    /// Puts the first `words` of `mine` of every process into `all`, one process after another in the order of ranks; after all launches
    /// so far, and before all that come later. Every process makes the same call.
    ///
    /// # Errors
    /// If the device, or the way between them, failed.
    fn all_gather(
        &mut self,
        device: &D,
        mine: &D::Memory,
        words: usize,
        all: &mut D::Memory,
    ) -> Result<(), DeviceError>;
}

/// Sums over processes, and the memory for them.
#[derive(Debug)]
pub struct OnDevice<D: Device, T> {
    transport: T,
    /// What this process has, and what all have; for so many words of each.
    memory: Option<(usize, D::Memory, D::Memory)>,
}

impl<D: Device, T: Transport<D>> OnDevice<D, T> {
    /// Sums by way of `transport`.
    pub const fn new(transport: T) -> Self {
        Self { transport, memory: None }
    }

    /// Replaces values, each so many at an address, by Σ share · values over processes: the same bits on all of them. Returns before it is
    /// done, as a launch does.
    ///
    /// # Errors
    /// If there is no memory for what all processes have, or the device or the way between them failed.
    ///
    /// # Safety
    /// The addresses are of memory of `device`, of as many words, that nobody else uses until this is done.
    pub unsafe fn sum(&mut self, device: &D, values: &[(Address, usize)], share: f32) -> Result<(), CollectiveError> {
        let size = self.transport.size();
        let words = values.iter().map(|(_, len)| len).sum::<usize>();
        if words == 0 {
            return Ok(());
        }
        if self.memory.as_ref().is_none_or(|(room, ..)| *room < words) {
            // What is there goes first, for both may not fit at once.
            self.memory = None;
            self.memory = Some((words, device.allocate(words)?, device.allocate(words * size)?));
        }
        let Some((_, mine, all)) = &mut self.memory else { return Ok(()) };
        let at = device.address(mine);
        let places = values.iter().scan(0, |next, (values, len)| {
            let place = at.plus(*next);
            *next += len;
            Some((*values, place, *len))
        });
        let places: Vec<_> = places.filter(|(.., len)| *len > 0).collect();
        let scale = |&(from, to, len)| mean(PerTask { at: from, stride: len }, 1, [len, 0], share, [to, Address::NONE]);
        // SAFETY: what is read is there, by the caller; what is written is `mine`, of as many words as all values have.
        unsafe { device.run(&places.iter().map(scale).collect::<Vec<_>>()) }?;
        self.transport.all_gather(device, mine, words, all)?;
        let sum = parts(device.address(all), size, 1, words, PerTask { at, stride: words }, false);
        let back = places.iter().map(|&(to, from, len)| put(from, to, 1, len, false));
        // SAFETY: `all` has as many words for each process as `mine`; what is written behind them is there, by the caller.
        unsafe { device.run(&[sum].into_iter().chain(back).collect::<Vec<_>>()) }?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier, Mutex};

    use super::*;
    use crate::cuda::{Kernel, Launch, Limits};

    /// A device in host memory that knows the three kernels that are used here.
    #[derive(Debug)]
    struct Host(Limits);

    fn low(word: u64) -> usize {
        word as u32 as usize
    }

    fn high(word: u64) -> usize {
        (word >> 32) as usize
    }

    fn run(launch: &Launch) {
        let a = &launch.arguments;
        let at = |address: u64, place: usize| (address as usize as *mut f32).wrapping_add(place);
        // SAFETY: the addresses are of `Host`'s memory, which tests give enough of.
        unsafe {
            match launch.kernel {
                Kernel::Mean => {
                    assert_eq!(low(a[4]), 1);
                    let (len, share) = (high(a[4]), f32::from_bits(high(a[5]) as u32));
                    (0..len).for_each(|i| *at(a[1], i) = *at(a[0], i) * share);
                }
                Kernel::Parts => {
                    let (count, len) = (low(a[3]), low(a[4]));
                    (0..len)
                        .for_each(|i| *at(a[1], i) = (0..count).fold(0.0, |sum, part| sum + *at(a[0], part * len + i)));
                }
                Kernel::Place => (0..low(a[3])).for_each(|i| *at(a[1], i) = *at(a[0], i)),
                other => panic!("{other:?}"),
            }
        }
    }

    impl Device for Host {
        type Memory = Vec<u32>;

        fn limits(&self) -> &Limits {
            &self.0
        }

        fn allocate(&self, words: usize) -> Result<Vec<u32>, DeviceError> {
            Ok(vec![f32::NAN.to_bits(); words])
        }

        fn address(&self, memory: &Vec<u32>) -> Address {
            Address(memory.as_ptr() as u64)
        }

        fn write(&self, to: &mut Vec<u32>, words: &[u32]) -> Result<(), DeviceError> {
            to[..words.len()].copy_from_slice(words);
            Ok(())
        }

        fn read(&self, from: &Vec<u32>, words: &mut [u32]) -> Result<(), DeviceError> {
            words.copy_from_slice(&from[..words.len()]);
            Ok(())
        }

        unsafe fn run(&self, launches: &[Launch]) -> Result<(), DeviceError> {
            launches.iter().for_each(run);
            Ok(())
        }
    }

    /// Threads that lay what they have on a table.
    #[derive(Debug)]
    struct Threads {
        rank: usize,
        table: Arc<Mutex<Vec<Vec<u32>>>>,
        barrier: Arc<Barrier>,
    }

    impl Transport<Host> for Threads {
        fn size(&self) -> usize {
            self.table.lock().unwrap().len()
        }

        fn all_gather(
            &mut self,
            device: &Host,
            mine: &Vec<u32>,
            words: usize,
            all: &mut Vec<u32>,
        ) -> Result<(), DeviceError> {
            let mut read = vec![0; words];
            device.read(mine, &mut read)?;
            self.table.lock().unwrap()[self.rank] = read;
            self.barrier.wait();
            let gathered = self.table.lock().unwrap().concat();
            self.barrier.wait();
            device.write(all, &gathered)
        }
    }

    /// What each rank has in round `round`: of all magnitudes, so that the order of a sum shows.
    fn values(rank: usize, round: usize, len: usize) -> Vec<f32> {
        (0..len)
            .map(|i| ((rank * 31 + round * 7 + i * 13) as f32).sin() * 10_f32.powi((rank + i) as i32 % 7 - 3))
            .collect()
    }

    #[test]
    fn sums_are_in_the_order_of_ranks_and_the_same_on_all() {
        for size in [1, 2, 3, 8, 11] {
            let (table, barrier) = (Arc::new(Mutex::new(vec![Vec::new(); size])), Arc::new(Barrier::new(size)));
            let share = |rank: usize| (rank + 1) as f32 / 7.0;
            // Longer, shorter, and nothing in between.
            let rounds = [[5, 3], [40, 0], [0, 0], [2, 1]];
            let of_rank = |rank: usize| {
                let device = Host(Limits::h100());
                let transport = Threads { rank, table: Arc::clone(&table), barrier: Arc::clone(&barrier) };
                let mut together = OnDevice::<Host, _>::new(transport);
                rounds
                    .iter()
                    .enumerate()
                    .map(|(round, lens)| {
                        let mut held = lens.map(|len| values(rank, round, len));
                        // Values of no length may be nowhere.
                        let places = held.each_mut().map(|of| match of.len() {
                            0 => (Address::NONE, 0),
                            len => (Address(of.as_mut_ptr() as u64), len),
                        });
                        // SAFETY: they are of this device.
                        unsafe { together.sum(&device, &places, share(rank)) }.unwrap();
                        held
                    })
                    .collect::<Vec<_>>()
            };
            let all: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..size).map(|rank| scope.spawn(move || of_rank(rank))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            for (round, lens) in rounds.iter().enumerate() {
                let expected = lens.map(|len| {
                    let mut sum = vec![0.0_f32; len];
                    for rank in 0..size {
                        sum.iter_mut()
                            .zip(values(rank, round, len))
                            .for_each(|(sum, value)| *sum += share(rank) * value);
                    }
                    sum
                });
                assert!(all.iter().all(|of| of[round] == expected), "{size}, {round}");
            }
        }
    }
}
