//! Finds the owners of pages in use: processes, and the files and SysV segments that no process uses any more.
//!
//! Three sources are combined by device and inode: what processes map (smaps) and have open (`/proc/PID/fd`), the files
//! on the hugetlbfs of every mount namespace, and the pools' counters, which show whether pages are still unaccounted
//! for. The kernel itself reports whether any process uses a file (a lease), so a file can be reported as left behind
//! even if some processes cannot be seen. The search touches no page and changes nothing: a lease or a lock is released
//! at once.

mod budget;
mod files;
mod filesystems;
mod held;
mod owners;
mod process;
pub mod smaps;
mod survey;
pub mod sysv;

use self::budget::Budget;
pub use self::budget::SearchLimits;
use super::root::HostRoot;
use hugeprobe_domain::inventory::{Holders, Privileges};

/// The identity of a file, which does not depend on the name or descriptor by which it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// The major number of its device.
    pub major: u64,
    /// The minor number of its device.
    pub minor: u64,
    /// Its inode number.
    pub inode: u64,
    /// The IPC namespace of a SysV segment, because the inode numbers of segments are unique only within one; 0 for a
    /// file.
    pub namespace: u64,
}

/// Returns the owners of the pages in use, as far as `privileges` (of this process) allow them to be seen.
///
/// If anything looks left behind, the search runs twice, and only what both runs found to be left behind is reported as
/// such. The pages of a process that starts or ends during a search are then not mistaken for pages without an owner.
#[must_use]
pub fn read(root: &HostRoot, privileges: &Privileges) -> Holders {
    read_within(root, privileges, &SearchLimits::default())
}

/// Does the same as [`read`], with limits on how much is examined.
#[must_use]
pub fn read_within(root: &HostRoot, privileges: &Privileges, limits: &SearchLimits) -> Holders {
    let first = survey::survey(root, privileges, &mut Budget::new(limits));
    if first.leaked.is_empty() && first.segments.is_empty() && first.untraced.is_empty() {
        return first;
    }
    // A budget of its own: what the first look used up would hide from the second what was found.
    agreed(&first, survey::survey(root, privileges, &mut Budget::new(limits)))
}

/// As [`read`], where nobody waits for pages: if no file and no segment can have been left behind, that is all. Reading what a
/// process maps takes the lock of its address space, and its page faults wait meanwhile.
#[must_use]
pub fn read_if_left_behind(root: &HostRoot, privileges: &Privileges) -> Holders {
    let mut budget = Budget::new(&SearchLimits::default());
    survey::nothing_left_behind(root, privileges, &mut budget).unwrap_or_else(|| read(root, privileges))
}

/// Keeps what both surveys found to have no owner. Everything else is from the second survey.
fn agreed(first: &Holders, mut second: Holders) -> Holders {
    second.leaked.retain(|file| first.leaked.iter().any(|other| other.path == file.path));
    second.segments.retain(|segment| first.segments.iter().any(|other| other.id == segment.id));
    second.untraced.retain_mut(|(size, pages)| {
        let before = first.untraced.iter().find(|(other, _)| other == size).map_or(0, |(_, pages)| *pages);
        *pages = before.min(*pages);
        *pages > 0
    });
    second
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use hugeprobe_domain::reading::Reading;

    const SMAPS: &str = "\
7f0000000000-7f0000400000 rw-s 00000000 00:11 77 /memfd:ram (deleted)\nKernelPageSize: 2048 kB\nShared_Hugetlb: 2048 kB
Private_Hugetlb: 2048 kB\nVmFlags: rd wr sh ht\n";

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, HostRoot) {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let root = HostRoot::new(directory.path());
        (directory, root)
    }

    #[test]
    fn mappings_threads_of_an_ended_process_and_what_is_missing_are_found_in_a_tree() {
        let status = |name: &str, huge: u64| {
            format!(
                "Name:\t{name}\nState:\tS (sleeping)\nThreads:\t1\nVmSize:\t9 kB\nHugetlbPages:\t{huge} kB\n"
            )
        };
        let (_directory, root) = tree(&[
            ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "9"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "4"),
            ("proc/12/status", &status("qemu", 4096)),
            ("proc/12/smaps", SMAPS),
            ("proc/2/status", "Name:\tkthreadd\nState:\tS (sleeping)\nThreads:\t1\n"),
            ("proc/9/status", "Name:\tended\nState:\tZ (zombie)\nThreads:\t2\n"),
            ("proc/9/task/9/status", "Name:\tended\nState:\tZ (zombie)\nThreads:\t2\n"),
            ("proc/9/task/10/status", &status("thread", 2048)),
            ("proc/9/task/10/smaps", SMAPS),
            ("proc/30/status", &status("idle", 0)),
            ("proc/self/status", "Name:\tx\n"),
        ]);
        let holders = read(&root, &Privileges::default());
        let pages = |pages| vec![("2Mi".parse().unwrap(), pages)];
        let seen: Vec<_> =
            holders.processes.iter().map(|p| (p.pid, p.command.as_str(), p.pages.clone())).collect();
        assert_eq!(seen, [(9, "thread", pages(2)), (12, "qemu", pages(2))]);
        // Each has one page of its own, and they share one.
        assert_eq!(holders.untraced, pages(2));
        assert_eq!(holders.blind_spots, ["a captured tree has no descriptors"]);
    }

    #[test]
    fn a_process_that_cannot_be_read_is_a_blind_spot_and_one_that_is_gone_is_not() {
        let status = "Name:\tx\nState:\tS\nVmSize:\t9 kB\nHugetlbPages:\t2048 kB\n";
        let (_directory, root) =
            tree(&[("proc/4/status", status), ("proc/4/smaps/no-file", ""), ("proc/5/status", status)]);
        let holders = read(&root, &Privileges::default());
        assert!(holders.blind_spots.iter().any(|why| why == "the mappings of pid 4 (x) could not be read"));
        assert_eq!(holders.blind_spots.len(), 2);
    }

    #[test]
    fn a_status_that_cannot_be_read_is_a_blind_spot() {
        let (_directory, root) = tree(&[("proc/4/status/no-file", "")]);
        let holders = read(&root, &Privileges::default());
        assert!(
            holders.blind_spots.iter().any(|why| why == "the status of pid 4 could not be read"),
            "{holders:?}"
        );
    }

    #[test]
    fn on_this_machine_the_missing_rights_are_named_whoever_runs_this() {
        let holders = read(&HostRoot::default(), &Privileges::default());
        assert!(holders.blind_spots.iter().any(|why| why.contains("PID namespace")));
        let powerless = Privileges {
            capabilities: Reading::Known(0),
            host_pids: Reading::Known(false),
            ..Privileges::default()
        };
        let holders = read(&HostRoot::default(), &powerless);
        assert!(holders.blind_spots.iter().any(|why| why == "CAP_SYS_PTRACE is missing"));
        assert!(holders.blind_spots.iter().any(|why| why.contains("hostPID")));
    }

    #[test]
    fn a_search_without_time_says_so() {
        let (_directory, root) =
            tree(&[("proc/4/status", "Name:\tx\nVmSize:\t9 kB\nHugetlbPages:\t2048 kB\n")]);
        let limits = SearchLimits { time: std::time::Duration::ZERO, ..SearchLimits::default() };
        let holders = read_within(&root, &Privileges::default(), &limits);
        assert!(holders.blind_spots.iter().any(|why| why.contains("the time limit expired")));
    }

    #[test]
    fn what_only_one_of_two_looks_found_amiss_is_not_claimed() {
        let file = |path: &str| hugeprobe_domain::inventory::LeakedFile {
            path: path.to_owned(),
            size: "2Mi".parse().unwrap(),
            pages: 1,
            idle_seconds: None,
        };
        let first = Holders {
            leaked: vec![file("/a"), file("/b")],
            untraced: vec![("2Mi".parse().unwrap(), 5)],
            ..Holders::default()
        };
        let second = Holders {
            leaked: vec![file("/b"), file("/c")],
            untraced: vec![("2Mi".parse().unwrap(), 3), ("1Gi".parse().unwrap(), 1)],
            ..Holders::default()
        };
        let both = agreed(&first, second);
        assert_eq!(both.leaked, [file("/b")]);
        assert_eq!(both.untraced, [("2Mi".parse().unwrap(), 3)]);
    }
}
