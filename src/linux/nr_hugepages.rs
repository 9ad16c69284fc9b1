//! Reads and sets the size of one pool: a page size on a NUMA node, or on the whole machine if there are no nodes.
//!
//! The kernel has no call that adds to the count. If another process writes between this process's read and write, that
//! change is lost. Runs of hugeprobe exclude each other with the lock of [`super::run_directory`]. An administrator who
//! writes within the same few microseconds is not excluded.
//!
//! The number written to `nr_hugepages` is the requested number of persistent pages. On a node, kernels before 6.7 add
//! the surplus pages of all *other* nodes to it. A request for one more page may therefore add many, and a request for
//! fewer may add some ("mm/hugetlb: fix nodes huge page allocation when there are surplus pages"). While other nodes
//! have surplus pages, this module writes the machine's `nr_hugepages_mempolicy` instead, from a thread that is bound
//! to the node. That is exact on every kernel.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use super::root::HostRoot;
use super::{map, pools};
use hugeprobe_domain::pool_id::PoolId;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::request::PageCount;
use hugeprobe_domain::reserve::PoolCount;
use hugeprobe_domain::size::PageSize;

/// Why a pool could not be found, read or set.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The machine does not support the page size.
    #[error("the kernel offers no huge pages of {0}: it has no /sys/kernel/mm/hugepages/{name}", name = .0.sysfs_name())]
    NoSize(PageSize),
    /// The NUMA node does not exist, or it has no pool of the size.
    #[error("this machine has no NUMA node {node} with a pool of {size}")]
    NoNode {
        /// The requested node.
        node: u32,
        /// The page size.
        size: PageSize,
    },
    /// The pool does not exist, or no longer exists.
    #[error("{0} does not exist")]
    Gone(String),
    /// A counter could not be read.
    #[error("{path} is unknown: {why}")]
    Unknown {
        /// The path of the file.
        path: String,
        /// Why it could not be read.
        why: String,
    },
    /// The counters kept changing while they were read.
    #[error("{0} changed each time it was read")]
    Changing(String),
    /// The file cannot be opened for writing: this process is not root, or sysfs is mounted read-only.
    #[error("cannot open {path} for writing: {source}")]
    NotWritable {
        /// The path of the file.
        path: String,
        /// The error of the system call.
        source: io::Error,
    },
    /// No thread could be bound to the node with set_mempolicy(2), which is necessary while other nodes have surplus
    /// pages.
    #[error("cannot set the pool of NUMA node {node} alone because other nodes have surplus pages: {source}")]
    Unbound {
        /// The node.
        node: u32,
        /// The error of the system call.
        source: io::Error,
    },
    /// The kernel refused the number.
    #[error("cannot write {pages} to {path}: {source}")]
    Refused {
        /// The path of the file.
        path: String,
        /// The number of pages.
        pages: u64,
        /// The error of the system call.
        source: io::Error,
    },
}

/// Returns the pools that can serve `count`: the pool of its node, or those of all nodes with memory, or the machine's
/// pool if there are no nodes.
///
/// # Errors
///
/// The kernel does not support the page size, or the node does not exist.
pub fn pools_for(root: &HostRoot, count: &PageCount) -> Result<Vec<PoolId>, PoolError> {
    let size = count.size;
    let machine = PoolId::machine(size);
    read(root, machine, "nr_hugepages").map_err(|error| match error {
        PoolError::Gone(_) => PoolError::NoSize(size),
        other => other,
    })?;
    let mut nodes = pools::node_directories(root).known().cloned().unwrap_or_default();
    nodes.retain(|node| root.number(PoolId::node(size, *node).file("nr_hugepages")) != Reading::Absent);
    if let Some(node) = count.node {
        let pool = PoolId::node(size, node);
        return if nodes.contains(&node) { Ok(vec![pool]) } else { Err(PoolError::NoNode { node, size }) };
    }
    // Nodes without memory also have pools, but those always stay empty.
    if let Reading::Known(list) = pools::nodes_with_memory(root) {
        let with_memory: Vec<_> = nodes.iter().copied().filter(|node| list.contains(node)).collect();
        if !with_memory.is_empty() {
            nodes = with_memory;
        }
    }
    if nodes.is_empty() {
        return Ok(vec![machine]);
    }
    Ok(nodes.into_iter().map(|node| PoolId::node(size, node)).collect())
}

/// Returns the pool's total and surplus at one point in time. They are in two files, so both are read until two
/// readings agree.
///
/// # Errors
///
/// A counter cannot be read, or it changes each time it is read.
pub fn count(root: &HostRoot, pool: PoolId) -> Result<PoolCount, PoolError> {
    const READINGS: u32 = 1000;
    let read_both = || -> Result<PoolCount, PoolError> {
        let number = |name| read(root, pool, name);
        Ok(PoolCount { total: number("nr_hugepages")?, surplus: number("surplus_hugepages")? })
    };
    let mut last = read_both()?;
    for _ in 0..READINGS {
        let next = read_both()?;
        if next == last {
            return Ok(next);
        }
        last = next;
    }
    Err(PoolError::Changing(pool.file("nr_hugepages")))
}

/// Returns the pool's free pages, some of which may be reserved.
///
/// # Errors
///
/// The counter cannot be read.
pub fn free(root: &HostRoot, pool: PoolId) -> Result<u64, PoolError> {
    read(root, pool, "free_hugepages")
}

/// Returns how many pages of this size are reserved for mappings on the whole machine.
///
/// # Errors
///
/// The counter cannot be read.
pub fn reserved(root: &HostRoot, pool: PoolId) -> Result<u64, PoolError> {
    let machine = PoolId::machine(pool.size);
    read(root, machine, "resv_hugepages")
}

/// Changes the number of the pool's persistent pages from `from`, the current number, to `to`. The kernel may stop
/// before it reaches `to` without returning an error.
///
/// # Errors
///
/// The file cannot be opened for writing, or the kernel refuses the number (EINVAL: this kernel cannot allocate pages
/// of this size at run time).
pub fn set(root: &HostRoot, pool: PoolId, from: u64, to: u64) -> Result<(), PoolError> {
    let Some(node) = pool.node else {
        return write(root, pool.file("nr_hugepages"), to);
    };
    let here = count(root, pool)?.surplus;
    let machine = PoolId::machine(pool.size);
    let all = count(root, machine)?;
    if all.surplus <= here {
        return write(root, pool.file("nr_hugepages"), to);
    }
    let all =
        all.persistent().saturating_add(to.saturating_sub(from)).saturating_sub(from.saturating_sub(to));
    let path = machine.file("nr_hugepages_mempolicy");
    let bound = || match map::bind_memory_policy(node) {
        Ok(()) => write(root, path.clone(), all),
        Err(source) => Err(PoolError::Unbound { node, source }),
    };
    // A memory policy belongs to a thread, and the policy of the calling thread must not change.
    std::thread::scope(|scope| match std::thread::Builder::new().spawn_scoped(scope, bound) {
        Ok(thread) => thread.join().unwrap_or_else(|_| {
            Err(PoolError::Unbound { node, source: io::Error::other("the thread panicked") })
        }),
        Err(source) => Err(PoolError::Unbound { node, source }),
    })
}

/// Checks that this process may set the pool.
///
/// # Errors
///
/// It may not, because it is not root or because sysfs is mounted read-only.
pub fn check_writable(root: &HostRoot, pool: PoolId) -> Result<(), PoolError> {
    let path = pool.file("nr_hugepages");
    match File::options().write(true).custom_flags(nix::libc::O_NONBLOCK).open(root.path(&path)) {
        Ok(_) => Ok(()),
        Err(source) => Err(PoolError::NotWritable { path, source }),
    }
}

fn write(root: &HostRoot, path: String, pages: u64) -> Result<(), PoolError> {
    // `truncate` matters only in a captured tree: sysfs treats each write as a complete value.
    let opened =
        File::options().write(true).truncate(true).custom_flags(nix::libc::O_NONBLOCK).open(root.path(&path));
    let mut file = match opened {
        Ok(file) => file,
        Err(source) => return Err(PoolError::NotWritable { path, source }),
    };
    file.write_all(pages.to_string().as_bytes()).map_err(|source| PoolError::Refused { path, pages, source })
}

fn read(root: &HostRoot, pool: PoolId, counter: &str) -> Result<u64, PoolError> {
    let path = pool.file(counter);
    match root.number(&path) {
        Reading::Known(pages) => Ok(pages),
        Reading::Absent => Err(PoolError::Gone(path)),
        Reading::Unreadable(why) | Reading::Malformed(why) => Err(PoolError::Unknown { path, why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    struct Tree {
        directory: tempfile::TempDir,
        root: HostRoot,
    }

    impl Tree {
        fn new(files: &[(&str, &str)]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let tree = Self { root: HostRoot::new(directory.path()), directory };
            for (path, text) in files {
                let path = tree.directory.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            tree
        }

        fn text(&self, path: impl AsRef<Path>) -> String {
            std::fs::read_to_string(self.directory.path().join(path)).unwrap()
        }
    }

    const POOL: &str = "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";
    const SURPLUS: &str = "sys/kernel/mm/hugepages/hugepages-2048kB/surplus_hugepages";
    const NODE0: &str = "sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages";
    const NODE2: &str = "sys/devices/system/node/node2/hugepages/hugepages-2048kB/nr_hugepages";
    const NODE10: &str = "sys/devices/system/node/node10/hugepages/hugepages-2048kB/nr_hugepages";
    const HAS_MEMORY: &str = "sys/devices/system/node/has_memory";

    fn pools(files: &[(&str, &str)], count: &str) -> Result<Vec<Option<u32>>, String> {
        let pools = pools_for(&Tree::new(files).root, &count.parse().unwrap());
        pools.map(|pools| pools.iter().map(|pool| pool.node).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_request_is_for_its_node_or_all_with_memory_or_the_machine() {
        let nodes = [(POOL, "0"), (NODE0, "0"), (NODE10, "0"), (NODE2, "0")];
        let with = |list| [nodes.as_slice(), &[(HAS_MEMORY, list)]].concat();
        assert_eq!(pools(&[(POOL, "0")], "2Mi=4"), Ok(vec![None]));
        assert_eq!(pools(&nodes, "2Mi=4"), Ok(vec![Some(0), Some(2), Some(10)]));
        assert_eq!(pools(&nodes, "2Mi=4@numa10"), Ok(vec![Some(10)]));
        assert_eq!(pools(&with("0,3-10\n"), "2Mi=4"), Ok(vec![Some(0), Some(10)]));
        assert_eq!(pools(&with("garbage"), "2Mi=4"), Ok(vec![Some(0), Some(2), Some(10)]));
        assert_eq!(pools(&with("0-4294967295"), "2Mi=4"), Ok(vec![Some(0), Some(2), Some(10)]));
    }

    #[test]
    fn a_size_or_node_that_does_not_exist_is_named() {
        let nodes = [(POOL, "0"), (NODE0, "0"), (NODE2, "0")];
        assert!(pools(&nodes, "1Gi=4").unwrap_err().contains("no huge pages of 1Gi"));
        assert!(pools(&nodes, "2Mi=4@numa1").unwrap_err().contains("no NUMA node 1"));
        assert!(pools(&[(POOL, "0")], "2Mi=4@numa0").unwrap_err().contains("no NUMA node 0"));
        assert!(pools(&[(POOL, "x")], "2Mi=4").unwrap_err().contains("holds 'x'"));
    }

    #[test]
    fn a_pool_reads_as_it_was_set() {
        let tree = Tree::new(&[(POOL, "12345\n"), (SURPLUS, "5\n")]);
        let pool = PoolId { size: "2Mi".parse().unwrap(), node: None };
        assert_eq!(count(&tree.root, pool).unwrap(), PoolCount { total: 12345, surplus: 5 });
        check_writable(&tree.root, pool).unwrap();
        assert_eq!(tree.text(POOL), "12345\n", "looking must not write");
        set(&tree.root, pool, 12340, 7).unwrap();
        assert_eq!(tree.text(POOL), "7");
        assert_eq!(count(&tree.root, pool).unwrap().persistent(), 2);
    }

    #[test]
    fn unknown_counters_are_not_zero() {
        let pool = PoolId { size: "2Mi".parse().unwrap(), node: None };
        for files in [&[(POOL, ""), (SURPLUS, "0")], &[(POOL, "1"), (SURPLUS, "-1")]] {
            assert!(
                matches!(count(&Tree::new(files).root, pool), Err(PoolError::Unknown { .. })),
                "{files:?}"
            );
        }
        assert!(matches!(count(&Tree::new(&[(POOL, "1")]).root, pool), Err(PoolError::Gone(_))));
        let error = set(&Tree::new(&[]).root, pool, 0, 1).unwrap_err();
        assert!(matches!(error, PoolError::NotWritable { .. }), "{error}");
    }
}
