//! Reads the kernel's interfaces and wraps its calls, one module for each interface. It decides nothing: what a value
//! means for a workload is in `hugeprobe_domain::inspect`.
//!
//! Reading order: [`root`] is the tree below which files are read, and a fake one in tests. [`pools`], [`mounts`],
//! [`cgroup`], [`limits`] and [`privileges`] read the facts of an inventory. [`map`] and [`hugefile`] own huge pages;
//! all `unsafe` code is there, in [`fds`], [`seccomp`] and [`signals`].

pub mod beneath;
pub mod boot;
pub mod cgroup;
pub mod counters;
pub mod cpu;
pub mod device_metadata;
pub mod directory;
pub mod directory_lock;
pub mod errno;
pub mod event;
pub mod fds;
pub mod fields;
pub mod holders;
pub mod host;
pub mod hugefile;
pub mod init_namespaces;
pub mod journal_file;
pub mod limits;
pub mod list;
pub mod map;
pub mod meminfo;
pub mod mountinfo;
pub mod mounts;
pub mod nr_hugepages;
pub mod numa_maps;
pub mod pattern;
pub mod pools;
pub mod privileges;
pub mod recording;
pub mod rights;
pub mod root;
pub mod run_directory;
pub mod runtime_directory;
pub mod seccomp;
pub mod signals;
pub mod smaps;
pub mod status;
pub mod unix_sockets;
pub mod unnamed_file;
