//! hugeprobe does to a machine's huge pages what OVS-DPDK and QEMU will do to them, and tells how it went.
//!
//! ```text
//!    /sys /proc /cgroup
//!         |
//!    linux::{pools, mounts, cgroup, ...} --> domain::Inventory
//!         |                                        |
//!    allocation (reserve, touch, populate) --> Finding --> judge --> Report --> render::{table, json, junit}
//! ```
//!
//! Layers import downwards only: `domain` <- `linux` <- `allocation` <- `probe` <- `render` <- `cli`; the test
//! `architecture` holds that. docs/architecture.md tells which process does what.

pub mod allocation;
pub mod domain;
pub mod linux;
pub mod probe;
pub mod render;
