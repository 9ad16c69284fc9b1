//! Names a pool, and the files of its counters.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::size::PageSize;

/// The directory that has one subdirectory for each page size that the kernel supports.
pub const SIZES: &str = "/sys/kernel/mm/hugepages";
/// The directory that has one subdirectory for each NUMA node that is online.
pub const NODES: &str = "/sys/devices/system/node";

/// A pool: a page size on one NUMA node, or on the whole machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PoolId {
    /// The page size.
    pub size: PageSize,
    /// The NUMA node; `None` for the whole machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u32>,
}

// === impl PoolId ===

impl PoolId {
    /// Returns the pool of the whole machine.
    #[must_use]
    pub const fn machine(size: PageSize) -> Self {
        Self { size, node: None }
    }

    /// Returns the pool of a NUMA node.
    #[must_use]
    pub const fn node(size: PageSize, node: u32) -> Self {
        Self { size, node: Some(node) }
    }

    /// Returns the directory of its counters.
    ///
    /// Source: Documentation/ABI/testing/sysfs-kernel-mm-hugepages and sysfs-devices-node.
    #[must_use]
    pub fn directory(self) -> String {
        let size = self.size.sysfs_name();
        match self.node {
            Some(node) => format!("{NODES}/node{node}/hugepages/{size}"),
            None => format!("{SIZES}/{size}"),
        }
    }

    /// Returns the path of one of its counters, such as `nr_hugepages`.
    #[must_use]
    pub fn file(self, counter: &str) -> String {
        format!("{}/{counter}", self.directory())
    }
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(node) => write!(f, "{}@numa{node}", self.size),
            None => write!(f, "{}", self.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pool_has_its_own_files() {
        let size = PageSize::from_bytes(1 << 30).unwrap();
        for (pool, file) in [
            (PoolId::machine(size), "/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"),
            (
                PoolId::node(size, 10),
                "/sys/devices/system/node/node10/hugepages/hugepages-1048576kB/nr_hugepages",
            ),
        ] {
            assert_eq!(pool.file("nr_hugepages"), file, "{pool}");
        }
    }
}
