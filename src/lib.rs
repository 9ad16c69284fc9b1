//! Uses a machine's huge pages as OVS-DPDK and QEMU will use them, and reports the results.
//!
//! ```text
//!    /sys  /proc  cgroup
//!         |
//!    linux::{pools, mounts, cgroup, ...} --> domain::Inventory --> inspect --> Finding --+
//!                                                                                        |
//!    allocation (reserve, touch, populate), in workers --+                               +--> judge --> Report
//!    exchange (frontend <=> backend), in pairs of them --+--> Part --> merge --> Finding -+               |
//!                                                                                  render::{table, short, json, junit}
//! ```
//!
//! Layers import downwards only: `domain` <- `linux` <- `allocation` and `exchange` <- `probe` <- `kubernetes` <-
//! `cli`, and `render` over `domain` alone. The test `architecture` checks that. docs/internals/architecture.md says
//! which process does what.

pub mod allocation;
pub mod cli;
pub mod domain;
pub mod exchange;
#[cfg(feature = "cluster")]
pub mod kubernetes;
pub mod linux;
pub mod probe;
pub mod render;
