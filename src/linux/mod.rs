//! Reads and touches the machine; knows `domain` alone.

pub mod boot;
pub mod cgroup;
pub mod counters;
pub mod cpu;
pub mod directory;
pub mod errno;
pub mod event;
pub mod fds;
pub mod holders;
pub mod host;
pub mod hugefile;
pub mod journal_file;
pub mod limits;
pub mod list;
pub mod map;
pub mod memory;
pub mod mountinfo;
pub mod mounts;
pub mod nr_hugepages;
pub mod numa_maps;
pub mod pools;
pub mod privileges;
pub mod rights;
pub mod root;
pub mod run_directory;
pub mod smaps;
