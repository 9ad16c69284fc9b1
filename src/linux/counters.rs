//! Reads a pool's counters quickly and repeatedly. The less time passes between two readings, the fewer changes by
//! other processes happen in between.
//!
//! The files stay open and are read from offset 0 each time, for which the kernel returns the current value. This is
//! eleven times as fast as opening them (4.6 µs instead of 52 µs for a pool on one NUMA node, kernel 6.18).

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

use super::errno::named;
use super::pools;
use super::root::{HostRoot, quoted};
use hugeprobe_domain::counters::{Counters, NodeCounters};
use hugeprobe_domain::digits::parse_digits;
use hugeprobe_domain::pool_id::PoolId;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::PageSize;

/// The open counter files of one page size.
#[derive(Debug)]
pub struct CounterFiles {
    total: CounterFile,
    free: CounterFile,
    reserved: CounterFile,
    surplus: CounterFile,
    numa: Vec<NodeFiles>,
}

/// Why the counters could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CountersError {
    /// A file cannot be opened or read, or does not exist.
    #[error("cannot read {path}: {}", named(.source))]
    Unreadable {
        /// The path of the file, as on the machine.
        path: String,
        /// The error of the system call.
        source: io::Error,
    },
    /// A file does not hold a number.
    #[error("{path} holds {text}")]
    Malformed {
        /// The path of the file, as on the machine.
        path: String,
        /// The beginning of its content.
        text: String,
    },
    /// The NUMA nodes cannot be listed.
    #[error("{0}")]
    Nodes(String),
}

#[derive(Debug)]
struct NodeFiles {
    node: u32,
    total: CounterFile,
    free: CounterFile,
    surplus: CounterFile,
}

#[derive(Debug)]
struct CounterFile {
    path: String,
    file: File,
}

// === impl CounterFiles ===

impl CounterFiles {
    /// Opens the files of `size`. A NUMA node without a pool directory has no memory and is left out.
    ///
    /// # Errors
    ///
    /// See [`CountersError`].
    pub fn open(root: &HostRoot, size: PageSize) -> Result<Self, CountersError> {
        let open = |pool: PoolId, counter| CounterFile::open(root, pool.file(counter));
        let nodes = match pools::node_directories(root) {
            Reading::Known(nodes) => nodes,
            Reading::Absent => Vec::new(),
            Reading::Unreadable(why) | Reading::Malformed(why) => return Err(CountersError::Nodes(why)),
        };
        let mut numa = Vec::new();
        for node in nodes {
            let pool = PoolId::node(size, node);
            if root.path(pool.directory()).exists() {
                numa.push(NodeFiles {
                    node,
                    total: open(pool, "nr_hugepages")?,
                    free: open(pool, "free_hugepages")?,
                    surplus: open(pool, "surplus_hugepages")?,
                });
            }
        }
        let pool = PoolId::machine(size);
        Ok(Self {
            total: open(pool, "nr_hugepages")?,
            free: open(pool, "free_hugepages")?,
            reserved: open(pool, "resv_hugepages")?,
            surplus: open(pool, "surplus_hugepages")?,
            numa,
        })
    }

    /// Reads all counters. They are not a snapshot: another process may allocate or free a page between two of the
    /// reads.
    ///
    /// # Errors
    ///
    /// See [`CountersError`].
    pub fn read(&self) -> Result<Counters, CountersError> {
        let numa = self.numa.iter().map(NodeFiles::read).collect::<Result<_, _>>()?;
        Ok(Counters {
            total: self.total.read()?,
            free: self.free.read()?,
            reserved: self.reserved.read()?,
            surplus: self.surplus.read()?,
            numa,
        })
    }
}

impl NodeFiles {
    fn read(&self) -> Result<NodeCounters, CountersError> {
        Ok(NodeCounters {
            node: self.node,
            total: self.total.read()?,
            free: self.free.read()?,
            surplus: self.surplus.read()?,
        })
    }
}

// === impl CounterFile ===

impl CounterFile {
    fn open(root: &HostRoot, path: String) -> Result<Self, CountersError> {
        // For O_NONBLOCK, see HostRoot::open.
        match File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(root.path(&path)) {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(CountersError::Unreadable { path, source }),
        }
    }

    fn read(&self) -> Result<u64, CountersError> {
        // A number has at most 20 digits and a newline. Longer content is malformed.
        let mut bytes = [0; 32];
        let path = || self.path.clone();
        let length = self
            .file
            .read_at(&mut bytes, 0)
            .map_err(|source| CountersError::Unreadable { path: path(), source })?;
        let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
        parse_digits(text.trim())
            .ok_or_else(|| CountersError::Malformed { path: path(), text: quoted(&text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 4] = ["nr_hugepages", "free_hugepages", "resv_hugepages", "surplus_hugepages"];

    fn size() -> PageSize {
        PageSize::from_bytes(2 << 20).unwrap()
    }

    /// Creates a tree with two nodes that have memory, and a third that has none.
    fn tree() -> (tempfile::TempDir, HostRoot) {
        let directory = tempfile::tempdir().unwrap();
        let root = HostRoot::new(directory.path());
        let put = |path: String, numbers: &[u64]| {
            std::fs::create_dir_all(root.path(&path)).unwrap();
            for (name, number) in FILES.iter().zip(numbers) {
                std::fs::write(root.path(format!("{path}/{name}")), format!("{number}\n")).unwrap();
            }
        };
        put("/sys/kernel/mm/hugepages/hugepages-2048kB".to_owned(), &[32, 14, 2, 1]);
        for (node, numbers) in [(10, [16, 6, 0, 1]), (1, [16, 8, 0, 0])] {
            put(format!("/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB"), &numbers);
        }
        std::fs::create_dir_all(root.path("/sys/devices/system/node/node2")).unwrap();
        std::fs::write(root.path("/sys/devices/system/node/possible"), "0-15\n").unwrap();
        (directory, root)
    }

    #[test]
    fn every_counter_has_its_place() {
        let (_directory, root) = tree();
        let files = CounterFiles::open(&root, size()).unwrap();
        let numa = vec![
            NodeCounters { node: 1, total: 16, free: 8, surplus: 0 },
            NodeCounters { node: 10, total: 16, free: 6, surplus: 1 },
        ];
        let expected = Counters { total: 32, free: 14, reserved: 2, surplus: 1, numa };
        assert_eq!(files.read().unwrap(), expected);
        let path = root.path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
        std::fs::write(path, "13\n").unwrap();
        assert_eq!(files.read().unwrap(), Counters { free: 13, ..expected });
    }

    #[test]
    fn what_holds_no_number_is_no_zero() {
        for text in ["", "\n", "many", "-1", "+1", "1 2", "18446744073709551616", "1\u{0}", &"9".repeat(4000)]
        {
            for name in FILES {
                let (_directory, root) = tree();
                let path = format!("/sys/kernel/mm/hugepages/hugepages-2048kB/{name}");
                std::fs::write(root.path(&path), text).unwrap();
                let error = CounterFiles::open(&root, size()).unwrap().read().unwrap_err();
                assert!(
                    matches!(&error, CountersError::Malformed { path: at, .. } if *at == path),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_there_or_not_to_be_read_is_named() {
        let (_directory, root) = tree();
        let path = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages";
        std::fs::remove_file(root.path(path)).unwrap();
        let error = CounterFiles::open(&root, size()).unwrap_err().to_string();
        assert_eq!(error, format!("cannot read {path}: ENOENT (No such file or directory)"));
        std::fs::create_dir(root.path(path)).unwrap();
        let error = CounterFiles::open(&root, size()).unwrap().read().unwrap_err().to_string();
        assert!(error.contains("EISDIR"), "{error}");
        let none = HostRoot::new(root.path("/none"));
        assert!(CounterFiles::open(&none, size()).is_err());
    }
}
