//! `sinew predict`

use std::path::PathBuf;

use clap::Args;
use sinew_runtime::{Adapter, Bundle};

use super::{Answer, tensors};
use crate::aligned::Aligned;
use crate::model::Model;

/// Predict with a bundle as it is, without adapting
#[derive(Debug, Args)]
pub struct Arguments {
    /// The bundle
    bundle: PathBuf,
    /// Tensor `x` [rows, input], f32
    #[arg(long, value_name = "X.safetensors")]
    input: PathBuf,
    /// Where the predictions go: tensor `y` [rows, output], f32
    #[arg(long, value_name = "Y.safetensors")]
    out: PathBuf,
}

pub fn run(arguments: &Arguments) -> Answer {
    let (model, bytes) = Model::open(&arguments.bundle)?;
    let bundle = Bundle::parse(&bytes)?;
    let x = tensors::read(&arguments.input, "x", model.network.input.len)?;
    let rows = x.len() / model.network.input.len;
    let mut memory = Aligned::zeros(Adapter::memory_len(&bundle, 64)?);
    let mut adapter = Adapter::new(&bundle, 64, &mut memory)?;
    let mut y = vec![0.0; rows * adapter.output_len()];
    adapter.predict(&x, &mut y)?;
    tensors::write(&arguments.out, &y, adapter.output_len())?;
    println!("{}: {rows} rows", arguments.out.display());
    Ok(())
}
