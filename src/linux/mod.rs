//! Reads and touches the machine; knows `domain` alone.

pub mod cgroup;
pub mod directory;
pub mod journal_file;
pub mod limits;
pub mod list;
pub mod map;
pub mod mountinfo;
pub mod mounts;
pub mod nr_hugepages;
pub mod privileges;
pub mod root;
pub mod run_directory;
