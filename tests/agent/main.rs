//! The agent against an API server that fails in every way that one can: what it asks, how often, and what it ends with.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stdout)] // clippy.toml exempts functions marked #[test], not their helpers

mod bounds;
mod fits;
mod fleet;
mod kubelet;
mod outage;
mod probes;
mod refused;
mod stage;
mod sweep;
mod world;
