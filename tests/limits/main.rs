//! Mounts, cgroups, limits and privileges: from captured trees, and from this kernel.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)] // it is a test

mod kernel;
mod trees;

use hugeprobe::domain::size::PageSize;

const MIB: u64 = 1 << 20;

fn size(text: &str) -> PageSize {
    text.parse().unwrap()
}
