//! Rows in `.safetensors` files: tensor `x` or `y`, `[rows, values]`, f32.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

type Failure = Box<dyn std::error::Error>;

/// Reads tensor `name` of the file at `path`, which must be `[rows, values]`; the rows.
pub fn read(path: &Path, name: &str, values: usize) -> Result<Vec<f32>, Failure> {
    let at = path.display();
    let bytes = std::fs::read(path).map_err(|why| format!("{at}: {why}"))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|why| format!("{at}: not a safetensors file: {why}"))?;
    let names = file.names().iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let tensor = file.tensor(name).map_err(|_| format!("{at}: expected a tensor `{name}`, found {names}"))?;
    if tensor.dtype() != Dtype::F32 {
        return Err(format!("{at}: tensor `{name}`: expected F32, found {:?}", tensor.dtype()).into());
    }
    if !matches!(tensor.shape(), [_, columns] if *columns == values) {
        let shape = tensor.shape();
        return Err(format!("{at}: tensor `{name}`: expected shape [rows, {values}], found {shape:?}").into());
    }
    let numbers: Vec<f32> =
        tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(index) => {
            let (row, column) = (index / values, index % values);
            let number = numbers[index];
            Err(format!("{at}: tensor `{name}`, row {row}, column {column}: expected a finite number, found {number}")
                .into())
        }
        None => Ok(numbers),
    }
}

/// Writes `rows` as tensor `y`, `[rows, values]`.
pub fn write(path: &Path, rows: &[f32], values: usize) -> Result<(), Failure> {
    let bytes: Vec<u8> = rows.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![rows.len() / values.max(1), values], &bytes)?;
    let file = safetensors::serialize([("y", view)], None)?;
    crate::files::replace(path, &file).map_err(|why| format!("{}: {why}", path.display()))?;
    Ok(())
}
