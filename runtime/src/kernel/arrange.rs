//! Values put elsewhere: an image as a vector, a context behind every row.
//!
//! Nothing is computed here that could be vectorised; the loops are the same on every path.

use sinew_models::spec::Shape;

use super::Path;
use super::dense::Update;
use super::scale::add_scaled;

/// `to = from`, or `to += factor · from`.
pub fn put(path: Path, to: &mut [f32], from: &[f32], update: Update) {
    match update {
        Update::Store => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
        Update::Add(factor) => add_scaled(path, to, factor, from),
    }
}

/// `to = first + second`
pub fn sum(to: &mut [f32], first: &[f32], second: &[f32]) {
    to.iter_mut().zip(first.iter().zip(second)).for_each(|(to, (first, second))| *to = first + second);
}

/// From pixel by pixel, `[height, width, channels]`, to channel by channel, `[channels, height, width]`; row after row.
pub fn flatten(shape: Shape, x: &[f32], z: &mut [f32]) {
    let (len, pixels) = (shape.len().max(1), (shape.height * shape.width).max(1));
    for (x, z) in x.chunks_exact(len).zip(z.chunks_exact_mut(len)) {
        for (channel, z) in z.chunks_exact_mut(pixels).enumerate() {
            let values = x.iter().skip(channel).step_by(shape.channels.max(1));
            z.iter_mut().zip(values).for_each(|(z, x)| *z = *x);
        }
    }
}

/// The way back: `dx (+)= dz`, each value in its place.
pub fn unflatten(shape: Shape, dz: &[f32], dx: &mut [f32], update: Update) {
    let (len, pixels) = (shape.len().max(1), (shape.height * shape.width).max(1));
    for (dz, dx) in dz.chunks_exact(len).zip(dx.chunks_exact_mut(len)) {
        for (channel, dz) in dz.chunks_exact(pixels).enumerate() {
            let places = dx.iter_mut().skip(channel).step_by(shape.channels.max(1));
            match update {
                Update::Store => places.zip(dz).for_each(|(dx, dz)| *dx = *dz),
                Update::Add(factor) => places.zip(dz).for_each(|(dx, dz)| *dx += factor * dz),
            }
        }
    }
}

/// Each row of `z [rows, inputs + context]` is a row of `x [rows, inputs]` and then `context`; zeros stand for an `x` that is `None`.
pub fn append(inputs: usize, x: Option<&[f32]>, context: &[f32], z: &mut [f32]) {
    let mut rows = x.map(|x| x.chunks_exact(inputs.max(1)));
    for z in z.chunks_exact_mut((inputs + context.len()).max(1)) {
        let (front, behind) = z.split_at_mut(inputs.min(z.len()));
        match rows.as_mut().and_then(Iterator::next) {
            Some(x) => front.iter_mut().zip(x).for_each(|(z, x)| *z = *x),
            None => front.fill(0.0),
        }
        behind.iter_mut().zip(context).for_each(|(z, context)| *z = *context);
    }
}

/// `dx (+)=` the first `inputs` values of each row of `dz [rows, inputs + context]`.
pub fn append_input_gradient(inputs: usize, context: usize, dz: &[f32], dx: &mut [f32], update: Update) {
    for (dz, dx) in dz.chunks_exact((inputs + context).max(1)).zip(dx.chunks_exact_mut(inputs.max(1))) {
        match update {
            Update::Store => dx.iter_mut().zip(dz).for_each(|(dx, dz)| *dx = *dz),
            Update::Add(factor) => dx.iter_mut().zip(dz).for_each(|(dx, dz)| *dx += factor * dz),
        }
    }
}

/// `dcontext (+)= Σ_rows` of the last values of each row of `dz [rows, inputs + context]`.
pub fn append_context_gradient(inputs: usize, dz: &[f32], dcontext: &mut [f32], update: Update) {
    let row = (inputs + dcontext.len()).max(1);
    for (place, dcontext) in dcontext.iter_mut().enumerate() {
        let sum = dz.chunks_exact(row).filter_map(|dz| dz.get(inputs + place)).fold(0.0, |sum, dz| sum + dz);
        match update {
            Update::Store => *dcontext = sum,
            Update::Add(factor) => *dcontext += factor * sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_flattened_as_by_pytorch_and_back() {
        let shape = Shape { height: 2, width: 3, channels: 2 };
        let x: std::vec::Vec<f32> = (0..24).map(|i| i as f32).collect();
        let mut z = [0.0; 24];
        flatten(shape, &x, &mut z);
        assert_eq!(z[..12], [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 1.0, 3.0, 5.0, 7.0, 9.0, 11.0]);
        assert_eq!(z[12..15], [12.0, 14.0, 16.0]);
        let mut back = [1.0; 24];
        unflatten(shape, &z, &mut back, Update::Store);
        assert_eq!(back[..], x);
        unflatten(shape, &z, &mut back, Update::Add(-1.0));
        assert_eq!(back, [0.0; 24]);
    }

    #[test]
    fn a_context_stands_behind_every_row() {
        let mut z = [9.0; 10];
        append(2, Some(&[1.0, 2.0, 3.0, 4.0]), &[7.0, 8.0, 9.0], &mut z);
        assert_eq!(z, [1.0, 2.0, 7.0, 8.0, 9.0, 3.0, 4.0, 7.0, 8.0, 9.0]);
        let (mut dx, mut dcontext) = ([0.0; 4], [1.0; 3]);
        append_input_gradient(2, 3, &z, &mut dx, Update::Store);
        assert_eq!(dx, [1.0, 2.0, 3.0, 4.0]);
        append_context_gradient(2, &z, &mut dcontext, Update::Add(-0.5));
        assert_eq!(dcontext, [-6.0, -7.0, -8.0]);
        append(2, None, &[7.0, 8.0, 9.0], &mut z);
        assert_eq!(z[..5], [0.0, 0.0, 7.0, 8.0, 9.0]);
    }
}
