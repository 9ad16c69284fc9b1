//! The machine's pools, changed by difference and given back when the case ends.

use std::fmt::{self, Debug};
use std::fs;
use std::path::PathBuf;
use std::process::Child;

use super::node::Node;
use super::{daemon, script, wait};

/// A page size, by its name in Kubernetes and in sysfs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// `2Mi`, `1Gi`.
    pub(crate) name: &'static str,
    kib: u64,
}

/// 2Mi.
pub(crate) const SMALL: Size = Size { name: "2Mi", kib: 2048 };

/// 1Gi.
pub(crate) const LARGE: Size = Size { name: "1Gi", kib: 1_048_576 };

/// 1Gi where there are any, else 2Mi: the size that a workload can easily take all pages of.
pub(crate) fn scarce() -> Size {
    if LARGE.persistent() > 0 { LARGE } else { SMALL }
}

/// A change of a pool that is taken back when this goes.
#[derive(Debug)]
#[must_use]
pub(crate) struct Changed {
    size: Size,
    by: i64,
}

/// A process outside every pod that holds pages of 2Mi, on a hugetlbfs that nobody else sees and that goes with it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Holder(Child);

/// A file of 2Mi pages that nobody has open, on a hugetlbfs that lasts as long as this.
#[derive(Debug)]
#[must_use]
pub(crate) struct Leak(Child);

// === impl Size ===

impl Size {
    fn file(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/sys/kernel/mm/hugepages/hugepages-{}kB/{name}", self.kib))
    }

    fn count(self, name: &str) -> i64 {
        fs::read_to_string(self.file(name)).unwrap().trim().parse().unwrap()
    }

    /// Configured pages: those that stay when nobody uses them.
    pub(crate) fn persistent(self) -> i64 {
        self.count("nr_hugepages") - self.count("surplus_hugepages")
    }

    /// Pages that nobody has.
    pub(crate) fn free(self) -> i64 {
        self.count("free_hugepages")
    }

    /// The resource in Kubernetes.
    pub(crate) fn resource(self) -> String {
        format!("hugepages-{}", self.name)
    }

    /// So many pages in MiB.
    pub(crate) fn megabytes(self, pages: i64) -> i64 {
        i64::try_from(self.kib / 1024).unwrap() * pages
    }

    /// So many pages as a quantity, in the spelling that the API server itself settles on.
    pub(crate) fn quantity(self, pages: i64) -> String {
        let kib = i64::try_from(self.kib).unwrap() * pages;
        match kib {
            0 => "0".to_owned(),
            kib if kib % 1_048_576 == 0 => format!("{}Gi", kib / 1_048_576),
            kib => format!("{}Mi", kib / 1024),
        }
    }

    /// Grows or shrinks the pool for as long as the guard lives.
    pub(crate) fn change(self, by: i64) -> Changed {
        let before = self.persistent();
        if by > 0 {
            fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
            fs::write("/proc/sys/vm/compact_memory", "1").unwrap();
        }
        fs::write(self.file("nr_hugepages"), (before + by).to_string()).unwrap();
        let changed = Changed { size: self, by: self.persistent() - before };
        assert_eq!(changed.by, by, "the pool of {} went from {before} to {}", self.name, self.persistent());
        changed
    }

    /// The kubelet counts pages when it starts, and only then.
    pub(crate) fn recount(self) {
        daemon("restart", "kubelet");
        wait::until("the kubelet offers what there is", 90, || {
            let (offered, there) =
                (Node::read().capacity(&self.resource()), self.quantity(self.persistent()));
            if offered == there { Ok(()) } else { Err((offered, there)) }
        });
    }

    /// Leaves the pool with so many pages for as long as the guard lives.
    pub(crate) fn leave(self, pages: i64) -> Changed {
        self.change(pages - self.persistent())
    }
}

impl Debug for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

// === impl Holder, Leak ===

/// `tests/cluster/beside`: a shell script on the node, outside its pods.
fn beside(what: &str, pages: i64) -> Child {
    script("beside").arg(what).arg(pages.to_string()).spawn().unwrap()
}

fn taken(what: &str, pages: i64, before: i64) {
    wait::until(what, 20, || {
        let free = SMALL.free();
        if free <= before - pages { Ok(()) } else { Err(free) }
    });
}

impl Holder {
    /// So many pages.
    pub(crate) fn take(pages: i64) -> Self {
        let before = SMALL.free();
        let holder = Self(beside("exec \"$0\" hold -dir /mnt -pages \"$1\"", pages));
        taken("another process holds its pages", pages, before);
        holder
    }
}

impl Leak {
    /// A file of so many pages, whose owner is gone.
    pub(crate) fn leave(pages: i64) -> Self {
        let before = SMALL.free();
        let script = "\"$0\" hold -dir /mnt -pages \"$1\" -keep -seconds 1 && exec sleep infinity";
        let leak = Self(beside(script, pages));
        taken("a file is left behind", pages, before);
        // Its owner ends a second after it has taken them.
        std::thread::sleep(std::time::Duration::from_secs(3));
        leak
    }
}

fn end(child: &mut Child) {
    drop(child.kill());
    drop(child.wait());
}

impl Drop for Holder {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

impl Drop for Leak {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

// === impl Changed ===

impl Drop for Changed {
    fn drop(&mut self) {
        // The pages of a pod that just went may take a moment; a kernel that has lost a gigabyte finds it by compaction.
        for _ in 0..10 {
            let before = self.size.persistent();
            if self.by < 0 {
                drop(fs::write("/proc/sys/vm/drop_caches", "3"));
                drop(fs::write("/proc/sys/vm/compact_memory", "1"));
            }
            drop(fs::write(self.size.file("nr_hugepages"), (before - self.by).to_string()));
            self.by += self.size.persistent() - before;
            if self.by == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
        println!("    the pool of {} is still {:+} pages off", self.size.name, self.by);
    }
}
