//! Tables that the kernels read: which parameter has which inner rate.

use std::sync::Arc;

use sinew_models::rule::Rate;
use sinew_runtime::Network;

use super::store::{Held, Store};
use crate::cuda::adapt::{NOT_ADAPTED, RatesAt};
use crate::cuda::{Address, Device, DeviceError};
use crate::engine::InnerLoop;

/// Those of every kind of rate and set of layers that was asked for: a learner asks for one or two.
#[derive(Debug)]
pub(super) struct Tables<D: Device>(Vec<Table<D>>);

#[derive(Debug)]
struct Table<D: Device> {
    rate: Rate,
    /// The adapted layers that have parameters.
    adapted: Vec<usize>,
    /// The rate of each parameter, and behind them the first parameter of each adapted layer and the one behind its last.
    held: Held<D>,
}

impl<D: Device> Default for Tables<D> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<D: Device> Tables<D> {
    /// The rates of an inner loop at its first step.
    pub fn rates(
        &mut self,
        store: &Arc<Store<D>>,
        network: &Network,
        inner: &InnerLoop,
        rates: Address,
    ) -> Result<RatesAt, DeviceError> {
        let layers = 0..network.layer_count();
        let adapted: Vec<usize> =
            layers.filter(|layer| inner.adapted.has(*layer) && !network.params_of(*layer).is_empty()).collect();
        let layer_count = adapted.len();
        let found = self.0.iter().find(|table| table.rate == inner.rate && table.adapted == adapted);
        let rate_of = match found {
            Some(table) => table.held.address(),
            None => {
                let words = table(network, inner.rate, &adapted);
                let mut held = store.take(words.len())?;
                held.write(&words)?;
                let at = held.address();
                self.0.push(Table { rate: inner.rate, adapted, held });
                at
            }
        };
        let layers = if inner.rate == Rate::PerParameter { Address::NONE } else { rate_of.plus(network.param_len()) };
        Ok(RatesAt { rates, rate_of, first: 0, layers, layer_count })
    }
}

fn table(network: &Network, rate: Rate, adapted: &[usize]) -> Vec<u32> {
    let mut words = vec![NOT_ADAPTED; network.param_len()];
    for layer in adapted {
        let range = network.params_of(*layer);
        for (place, word) in range.clone().zip(&mut words[range]) {
            *word = match rate {
                Rate::Constant => 0,
                Rate::PerLayerStep => *layer as u32,
                Rate::PerParameter => place as u32,
            };
        }
    }
    for layer in adapted {
        let range = network.params_of(*layer);
        words.extend([range.start as u32, range.end as u32]);
    }
    words
}
