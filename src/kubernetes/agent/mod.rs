//! `hugeprobe agent`: the loop around the pure core, on one thread.

pub mod health;
pub mod http;
pub mod log;
pub mod metrics;
pub mod node;
pub mod pause;
pub mod pods;

use std::net::SocketAddr;
use std::path::Path;

/// TEMPORARY
pub async fn main(_: &Path, _: SocketAddr) -> Result<(), String> {
    Err("not yet".to_owned())
}
