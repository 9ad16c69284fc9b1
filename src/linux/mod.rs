//! Reads and touches the machine; knows `domain` alone.

pub mod counters;
pub mod errno;
pub mod hugefile;
pub mod list;
pub mod map;
pub mod numa_maps;
pub mod root;
pub mod smaps;
