//! Reads and touches the machine; knows `domain` alone.

pub mod cgroup;
pub mod counters;
pub mod directory;
pub mod errno;
pub mod hugefile;
pub mod journal_file;
pub mod limits;
pub mod list;
pub mod map;
pub mod mountinfo;
pub mod mounts;
pub mod nr_hugepages;
pub mod numa_maps;
pub mod privileges;
pub mod root;
pub mod run_directory;
pub mod smaps;
