//! The NUMA nodes of the machine, and pages on one of them.

use std::fs;
use std::path::{Path, PathBuf};

use hugeprobe::domain::size::PageSize;

use crate::context::Missing;

const NODES: &str = "/sys/devices/system/node";

/// Pages added to the pool of one NUMA node; removed when dropped.
#[derive(Debug)]
pub(crate) struct OnNode {
    file: PathBuf,
    before: u64,
}

/// Returns the nodes that have memory; node 0 alone if the kernel has no nodes.
pub(crate) fn with_memory() -> Vec<u32> {
    let nodes = list("has_memory");
    if nodes.is_empty() { vec![0] } else { nodes }
}

/// Returns a node without memory, if there is one.
pub(crate) fn without_memory() -> Option<u32> {
    let filled = with_memory();
    list("online").into_iter().find(|node| !filled.contains(node))
}

/// Returns a node that has memory and no CPU, if there is one.
pub(crate) fn without_cpu() -> Option<u32> {
    with_memory().into_iter().find(|node| cpus(*node).is_empty())
}

/// Returns the CPUs of a node, such as `0-1`; empty if it has none.
pub(crate) fn cpus(node: u32) -> String {
    let file = Path::new(NODES).join(format!("node{node}/cpulist"));
    fs::read_to_string(file).map_or_else(|_| "0-1".to_owned(), |text| text.trim().to_owned())
}

/// Parses a list such as `0-1,3`.
pub(crate) fn numbers(list: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<u32>().unwrap()..=last.parse().unwrap()
    };
    list.trim().split(',').filter(|part| !part.is_empty()).flat_map(range).collect()
}

fn list(file: &str) -> Vec<u32> {
    fs::read_to_string(Path::new(NODES).join(file)).map(|text| numbers(&text)).unwrap_or_default()
}

// === impl OnNode ===

impl OnNode {
    /// Adds `pages` pages to the pool of a node.
    pub(crate) fn add(node: u32, size: PageSize, pages: u64) -> Result<Self, Missing> {
        let pool = Path::new(NODES).join(format!("node{node}/hugepages")).join(size.sysfs_name());
        let file = pool.join("nr_hugepages");
        let before = read(&file)?;
        let added = Self { file, before };
        fs::write(&added.file, (before + pages).to_string()).unwrap();
        let got = read(&added.file)? - before;
        if got < pages {
            return Err(Missing(format!("{pages} pages of {size} on node {node}: the kernel gave {got}")));
        }
        Ok(added)
    }
}

impl Drop for OnNode {
    fn drop(&mut self) {
        fs::write(&self.file, self.before.to_string()).unwrap();
    }
}

fn read(file: &Path) -> Result<u64, Missing> {
    let text = fs::read_to_string(file).map_err(|error| Missing(format!("{}: {error}", file.display())))?;
    Ok(text.trim().parse().unwrap())
}
