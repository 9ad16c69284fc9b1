//! Uses a machine's huge pages as OVS-DPDK and QEMU will use them, and reports the results.
//!
//! ```text
//!    /sys  /proc  cgroup
//!         |
//!    linux::{pools, mounts, cgroup, ...} --> domain::Inventory --> inspect --> Finding --+
//!                                                                                        |
//!    allocation (reserve, touch, populate), in workers --+                               +--> judge --> Report
//!    exchange (frontend <=> backend), in pairs of them --+--> Part --> merge --> Finding -+               |
//!                                                                                  render::{table, short, json, junit, html}
//! ```
//!
//! Layers import downwards only: `domain` <- `linux` <- `allocation` and `exchange` <- `probe` <- `kubernetes` <-
//! `cli`, and `render` over `domain` alone. Each layer is a crate in a folder of its own. docs/internals/architecture.md
//! says which process does what.

pub mod cli;

pub use hugeprobe_allocation as allocation;
pub use hugeprobe_domain as domain;
pub use hugeprobe_exchange as exchange;
#[cfg(feature = "cluster")]
pub use hugeprobe_kubernetes as kubernetes;
pub use hugeprobe_linux as linux;
pub use hugeprobe_probe as probe;
pub use hugeprobe_render as render;
