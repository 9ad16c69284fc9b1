//! The kernel's pools: their counters, and pages that a test adds and removes again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hugeprobe::domain::size::PageSize;

use super::Missing;

const POOLS: &str = "/sys/kernel/mm/hugepages";

/// Returns every counter that a run could leave changed, by path.
pub(crate) fn snapshot() -> BTreeMap<PathBuf, u64> {
    let mut counters = BTreeMap::new();
    let mut pools: Vec<PathBuf> = directories(Path::new(POOLS));
    for node in directories(Path::new("/sys/devices/system/node")) {
        pools.extend(directories(&node.join("hugepages")));
    }
    for pool in pools {
        for name in [
            "nr_hugepages",
            "free_hugepages",
            "resv_hugepages",
            "surplus_hugepages",
            "nr_overcommit_hugepages",
        ] {
            if let Some(value) = read(&pool.join(name)) {
                counters.insert(pool.join(name), value);
            }
        }
    }
    counters
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn read(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Returns one counter of a pool.
pub(crate) fn counter(size: PageSize, name: &str) -> u64 {
    read(&file(size, name)).unwrap_or_else(|| panic!("{} is no number", file(size, name).display()))
}

/// Returns the number of free pages that are not reserved.
pub(crate) fn available(size: PageSize) -> u64 {
    counter(size, "free_hugepages") - counter(size, "resv_hugepages")
}

/// Returns the number of free pages that are not reserved, or 0 if this kernel does not have the size.
pub(crate) fn available_if_any(size: PageSize) -> u64 {
    if file(size, "nr_hugepages").exists() { available(size) } else { 0 }
}

/// Sets a counter of a pool, for tests of faults in the pool itself. The caller must restore it.
pub(crate) fn set(size: PageSize, name: &str, value: u64) {
    fs::write(file(size, name), value.to_string()).unwrap();
}

fn file(size: PageSize, name: &str) -> PathBuf {
    Path::new(POOLS).join(size.sysfs_name()).join(name)
}

/// Returns the number of persistent pages, which a test may increase and decrease.
pub(crate) fn persistent(size: PageSize) -> u64 {
    counter(size, "nr_hugepages") - counter(size, "surplus_hugepages")
}

/// Returns the number of pages that `tests/hold-1gi` has added for the tests.
fn held(size: PageSize) -> u64 {
    let held = || std::env::var("HUGEPROBE_HELD_1GI").ok()?.parse().ok();
    if size == super::LARGE { held().unwrap_or(0) } else { 0 }
}

/// What a test needs that empties the pool. The machine's own pages are never removed, because the kernel may be unable
/// to allocate them again.
pub(crate) const NO_OTHERS: &str = "a pool without pages of the machine's own";

/// The pages of `tests/hold-1gi`, removed from the pool; added again when dropped.
#[derive(Debug)]
pub(crate) struct Removed {
    size: PageSize,
}

impl Removed {
    /// Removes them, which leaves the pool empty.
    pub(crate) fn all(size: PageSize) -> Result<Self, Missing> {
        if counter(size, "nr_hugepages") != held(size) {
            return Err(Missing(format!("{NO_OTHERS}: {size}")));
        }
        set(size, "nr_hugepages", 0);
        Ok(Self { size })
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        let held = held(self.size);
        set(self.size, "nr_hugepages", persistent(self.size) + held);
        // A second panic would abort the test runner. Tests that find fewer pages report that themselves.
        if counter(self.size, "nr_hugepages") != held && !std::thread::panicking() {
            panic!("the kernel did not give {held} pages of {} back", self.size);
        }
    }
}

/// Pages added to a pool; removed when dropped.
#[derive(Debug)]
pub(crate) struct Extra {
    size: PageSize,
    pages: u64,
}

impl Extra {
    /// Adds `pages` pages. Frees and compacts memory if the kernel cannot add enough at first.
    pub(crate) fn add(size: PageSize, pages: u64) -> Result<Self, Missing> {
        if !file(size, "nr_hugepages").exists() {
            return Err(Missing(format!("pages of {size}, which this kernel does not offer")));
        }
        let extra = |got| Self { size, pages: got };
        let mut got = grow(size, pages);
        if got < pages {
            // Long builds fill memory with caches and fragment it.
            drop(extra(got));
            for (name, value) in [("drop_caches", "3"), ("compact_memory", "1")] {
                let _ = fs::write(Path::new("/proc/sys/vm").join(name), value);
            }
            got = grow(size, pages);
        }
        let extra = extra(got);
        if got < pages {
            Err(Missing(format!("{pages} pages of {size}: the kernel gave {got}")))
        } else {
            Ok(extra)
        }
    }
}

fn grow(size: PageSize, pages: u64) -> u64 {
    let before = persistent(size);
    set(size, "nr_hugepages", before + pages);
    persistent(size).saturating_sub(before)
}

impl Drop for Extra {
    fn drop(&mut self) {
        set(self.size, "nr_hugepages", persistent(self.size).saturating_sub(self.pages));
    }
}
