//! Parts of slices, without a way to panic.
//!
//! Every length on a device is worked out once, at set-up, so a part that is asked for is there; but the compiler does not know it, and
//! would keep a panic for the case that it is not. These give an empty slice in that case, and code over rows then does nothing. On a
//! microcontroller there is one copy of each, to save flash.

/// The `len` values of `values` from `from` on; none if there are not as many.
#[cfg_attr(target_os = "none", inline(never))]
pub(crate) fn part<T>(values: &[T], from: usize, len: usize) -> &[T] {
    values.get(from..).and_then(|rest| rest.get(..len)).unwrap_or_default()
}

/// As [`part`].
#[cfg_attr(target_os = "none", inline(never))]
pub(crate) fn part_mut<T>(values: &mut [T], from: usize, len: usize) -> &mut [T] {
    values.get_mut(from..).and_then(|rest| rest.get_mut(..len)).unwrap_or_default()
}

/// Cuts at `at`; everything is in the first part where there is less.
#[cfg_attr(target_os = "none", inline(never))]
pub(crate) fn cut<T>(values: &mut [T], at: usize) -> (&mut [T], &mut [T]) {
    let at = at.min(values.len());
    values.split_at_mut_checked(at).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_or_empty() {
        let mut values = [0, 1, 2, 3];
        for (from, len, expected) in [
            (0, 4, &[0, 1, 2, 3][..]),
            (1, 2, &[1, 2]),
            (4, 0, &[]),
            (3, 2, &[]),
            (5, 0, &[]),
            (2, usize::MAX, &[]),
            (usize::MAX, 1, &[]),
        ] {
            assert_eq!(part(&values, from, len), expected);
            assert_eq!(part_mut(&mut values, from, len), expected);
        }
        assert_eq!(cut(&mut values, 1), (&mut [0][..], &mut [1, 2, 3][..]));
        assert_eq!(cut(&mut values, 5), (&mut [0, 1, 2, 3][..], &mut [][..]));
    }
}
