//! The facts, rules and results of hugeprobe. This layer is pure: no I/O, no clock, no async. The other layers provide
//! its input or present its output.
//!
//! Reading order: [`size`], [`reading`] and [`inventory`] hold the facts, and [`request`] what the user asks for.
//! [`check`] and [`catalogue`] define results. [`inspect`] judges the facts.

pub mod catalogue;
pub mod cgroup;
pub mod check;
pub mod check_id;
pub mod compact;
pub mod counters;
pub mod device_metadata;
pub mod digits;
pub mod fit;
pub mod footprint;
pub mod holders;
pub mod inspect;
pub mod inventory;
pub mod journal;
pub mod judge;
pub mod limit_conflict;
pub mod memory_cgroup;
pub mod merge;
pub mod movement;
pub mod node_report;
pub mod part;
pub mod peer;
pub mod plan;
pub mod pool_id;
pub mod published;
pub mod reading;
pub mod report;
pub mod request;
pub mod reserve;
pub mod role_cgroups;
pub mod session;
pub mod settle;
pub mod sharing;
pub mod size;
pub mod standalone;
pub mod text;
pub mod troubleshooting;
pub mod who;
pub mod why;
pub mod workload;
