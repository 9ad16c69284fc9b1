//! Reads and touches the machine; knows `domain` alone.

pub mod cgroup;
pub mod counters;
pub mod directory;
pub mod errno;
pub mod hugefile;
pub mod limits;
pub mod list;
pub mod map;
pub mod mountinfo;
pub mod mounts;
pub mod numa_maps;
pub mod privileges;
pub mod root;
pub mod smaps;
