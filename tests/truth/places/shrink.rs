//! Finds the fewest faults that still show what a place showed.

/// Returns the smallest part of `all` for which `still` holds, in the order of `all`. Of several parts of the same size
/// it returns the first. If no smaller part will do, it returns all of them.
pub(crate) fn smallest<T: Clone>(all: &[T], mut still: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut parts: Vec<Vec<T>> = (0..(1_u32 << all.len()) - 1)
        .map(|chosen| {
            let kept = all.iter().enumerate().filter(|(index, _)| chosen & (1 << index) != 0);
            kept.map(|(_, one)| one.clone()).collect()
        })
        .collect();
    parts.sort_by_key(Vec::len);
    parts.into_iter().find(|part| still(part)).unwrap_or_else(|| all.to_vec())
}
