//! `hugeprobe agent`: the loop around the pure core, on one thread.

pub mod health;
pub mod http;
pub mod log;
pub mod metrics;
pub mod node;
pub mod pause;
pub mod pods;
