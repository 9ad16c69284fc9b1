//! The pools of huge pages in sysfs, in total and for each NUMA node.
//!
//! Files are read by name, not by listing the directory: the `demote` file of larger sizes is write-only and cannot be
//! read.
//!
//! Source: Documentation/admin-guide/mm/hugetlbpage.rst, Documentation/ABI/testing/sysfs-kernel-mm-hugepages and
//! sysfs-devices-node.

use super::list::parse_list;
use super::root::HostRoot;
use hugeprobe_domain::inventory::{NumaNode, NumaPool, Pool};
use hugeprobe_domain::pool_id::{NODES, PoolId, SIZES};
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::PageSize;

/// Returns the sizes whose pools have pages or may grow.
#[must_use]
pub fn sizes_with_pages(pools: &Reading<Vec<Pool>>) -> Vec<PageSize> {
    let pools = pools.known().into_iter().flatten();
    pools.filter(|pool| pool.may_have_pages()).map(|pool| pool.size).collect()
}

/// Returns the pool of each size that the kernel supports, smallest size first.
///
/// `Absent` if the kernel has no hugetlb, `Unreadable` if the directory of sizes cannot be listed. A counter that
/// cannot be read affects only that counter of that pool. A directory whose name is not a size is ignored.
#[must_use]
pub fn read(root: &HostRoot) -> Reading<Vec<Pool>> {
    root.names(SIZES).map(|names| {
        // `online` is not used, so that the pools can be read even if it is malformed.
        let nodes = node_directories(root).known().cloned().unwrap_or_default();
        let mut sizes: Vec<PageSize> = names.iter().filter_map(|name| parse_size_directory(name)).collect();
        sizes.sort_unstable();
        sizes.into_iter().map(|size| read_pool(root, size, &nodes)).collect()
    })
}

/// Returns the NUMA nodes that are online; `Absent` if the kernel has no NUMA support.
#[must_use]
pub fn nodes(root: &HostRoot) -> Reading<Vec<NumaNode>> {
    root.parsed(format!("{NODES}/online"), parse_list)
        .map(|nodes| nodes.into_iter().map(|node| NumaNode { node, cpus: cpus(root, node) }).collect())
}

/// Returns the CPUs of a NUMA node. The list is empty for a node that has only memory.
#[must_use]
pub fn cpus(root: &HostRoot, node: u32) -> Reading<Vec<u32>> {
    root.parsed(format!("{NODES}/node{node}/cpulist"), parse_list)
}

/// Returns the NUMA nodes that have a directory, sorted; `Absent` if the kernel has no NUMA support.
#[must_use]
pub fn node_directories(root: &HostRoot) -> Reading<Vec<u32>> {
    root.names(NODES).map(|names| {
        let mut nodes: Vec<u32> = names.iter().filter_map(|name| parse_node_directory(name)).collect();
        nodes.sort_unstable();
        nodes
    })
}

/// Returns the NUMA nodes that have memory.
#[must_use]
pub fn nodes_with_memory(root: &HostRoot) -> Reading<Vec<u32>> {
    root.parsed(format!("{NODES}/has_memory"), parse_list)
}

/// Returns `nr_overcommit_hugepages` of a page size: the maximum number of surplus pages.
#[must_use]
pub fn overcommit(root: &HostRoot, size: PageSize) -> Reading<u64> {
    root.number(PoolId::machine(size).file("nr_overcommit_hugepages"))
}

/// Returns the page size in the name of a sysfs directory; `None` unless the name is exactly the kernel's
/// (`hugepages-2048kB`), so that no two names mean the same size.
#[must_use]
pub fn parse_size_directory(name: &str) -> Option<PageSize> {
    let size: PageSize = name.strip_prefix("hugepages-")?.parse().ok()?;
    (size.sysfs_name() == name).then_some(size)
}

fn read_pool(root: &HostRoot, size: PageSize, nodes: &[u32]) -> Pool {
    let number = |counter: &str| root.number(PoolId::machine(size).file(counter));
    Pool {
        size,
        total: number("nr_hugepages"),
        free: number("free_hugepages"),
        reserved: number("resv_hugepages"),
        surplus: number("surplus_hugepages"),
        overcommit: overcommit(root, size),
        mempolicy: number("nr_hugepages_mempolicy"),
        numa: nodes.iter().filter_map(|node| read_numa_pool(root, size, *node)).collect(),
    }
}

/// Reads the pool of one NUMA node; `None` for a node without memory, which is online but has no pools.
fn read_numa_pool(root: &HostRoot, size: PageSize, node: u32) -> Option<NumaPool> {
    let number = |counter: &str| root.number(PoolId::node(size, node).file(counter));
    let pool = NumaPool {
        node,
        total: number("nr_hugepages"),
        free: number("free_hugepages"),
        surplus: number("surplus_hugepages"),
    };
    let absent = [&pool.total, &pool.free, &pool.surplus].iter().all(|reading| **reading == Reading::Absent);
    if absent { None } else { Some(pool) }
}

fn parse_node_directory(name: &str) -> Option<u32> {
    let node: u32 = name.strip_prefix("node")?.parse().ok()?;
    (format!("node{node}") == name).then_some(node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, HostRoot) {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let root = HostRoot::new(directory.path());
        (directory, root)
    }

    #[test]
    fn sizes_come_smallest_first_and_names_that_are_none_are_ignored() {
        let (_directory, root) = tree(&[
            ("sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "1"),
            ("sys/kernel/mm/hugepages/hugepages-64kB/nr_hugepages", "2"),
            ("sys/kernel/mm/hugepages/hugepages-02048kB/nr_hugepages", "3"),
            ("sys/kernel/mm/hugepages/hugepages-3072kB/nr_hugepages", "4"),
            ("sys/kernel/mm/hugepages/hugepages-2Mi/nr_hugepages", "5"),
            ("sys/kernel/mm/hugepages/defrag", "6"),
        ]);
        let pools = read(&root);
        let sizes: Vec<_> = pools.known().unwrap().iter().map(|pool| pool.size.to_string()).collect();
        assert_eq!(sizes, ["64Ki", "1Gi"]);
    }

    #[test]
    fn absent_unreadable_malformed_and_zero_are_four_things_in_one_pool() {
        let (_directory, root) = tree(&[
            ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "-1\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/surplus_hugepages/file", ""),
        ]);
        let pools = read(&root);
        let [pool] = &pools.known().unwrap()[..] else { panic!("{pools:?}") };
        assert_eq!(pool.total, Reading::Known(0));
        assert!(matches!(pool.free, Reading::Malformed(_)));
        assert!(matches!(pool.surplus, Reading::Unreadable(_)));
        assert_eq!(pool.reserved, Reading::Absent);
        assert_eq!(pool.numa, []);
    }

    #[test]
    fn a_kernel_without_hugetlb_is_absent_and_a_file_in_the_way_is_not_zero_pools() {
        let (_directory, root) = tree(&[("sys/kernel/mm/transparent_hugepage/enabled", "never")]);
        assert_eq!(read(&root), Reading::Absent);
        assert_eq!(nodes(&root), Reading::Absent);
    }

    #[test]
    fn a_node_without_memory_is_online_and_has_no_pool() {
        let (_directory, root) = tree(&[
            ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "4"),
            ("sys/devices/system/node/online", "0-1\n"),
            ("sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "4"),
            ("sys/devices/system/node/node0/cpulist", "\n"),
            ("sys/devices/system/node/node1/cpulist", "0-1\n"),
        ]);
        let pools = read(&root);
        let numa = &pools.known().unwrap()[0].numa;
        assert_eq!(numa.len(), 1);
        assert_eq!((numa[0].node, numa[0].total.get(), numa[0].free.clone()), (0, Some(4), Reading::Absent));
        let nodes = nodes(&root);
        let cpus: Vec<_> = nodes.known().unwrap().iter().map(|node| node.cpus.clone()).collect();
        assert_eq!(cpus, [Reading::Known(vec![]), Reading::Known(vec![0, 1])]);
    }

    proptest! {
        #[test]
        fn no_directory_name_panics(name in "(hugepages-|node)?[0-9a-zA-Z-]{0,30}") {
            if let Some(size) = parse_size_directory(&name) {
                prop_assert_eq!(size.sysfs_name(), name);
            } else {
                let _ = parse_node_directory(&name);
            }
        }
    }
}
