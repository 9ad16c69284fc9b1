//! The processes of the machine that may hold huge pages.

use std::io;

use nix::libc::ESRCH;

use super::owners::Owners;
use crate::root::HostRoot;
use crate::status::{self, ProcessStatus};
use hugeprobe_domain::reading::Reading;

/// A process that has memory and may therefore hold pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Its name, as in its status.
    pub(super) name: String,
    /// `/proc/PID`, or the directory of another thread if the first one has ended before the others.
    pub(super) directory: String,
    /// Whether its page tables contain huge pages, or may contain some.
    pub(super) maps_huge_pages: bool,
}

/// Returns all processes that have memory, sorted by pid.
pub(super) fn list(root: &HostRoot, owners: &mut Owners) -> Vec<Process> {
    let names = match root.names("/proc") {
        Reading::Known(names) => names,
        Reading::Absent => Vec::new(),
        Reading::Unreadable(why) | Reading::Malformed(why) => {
            owners.not_seen(why);
            Vec::new()
        }
    };
    let mut pids: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    pids.sort_unstable();
    pids.into_iter().filter_map(|pid| find(root, pid, owners)).collect()
}

/// Finds the process with the id `pid`; `None` if it has no memory or has ended.
fn find(root: &HostRoot, pid: u32, owners: &mut Owners) -> Option<Process> {
    let (first, status) = read(root, pid, format!("/proc/{pid}"), owners)?;
    if status.has_memory {
        return Some(first);
    }
    // If the first thread has ended before the others, its status shows no memory, although the others still have it.
    if !status.has_ended || status.threads < 2 {
        return None;
    }
    let threads = match root.names(format!("/proc/{pid}/task")) {
        Reading::Known(threads) => threads,
        Reading::Absent => Vec::new(),
        Reading::Unreadable(_) | Reading::Malformed(_) => {
            owners.not_seen_of("threads of", &format!("pid {pid}"));
            Vec::new()
        }
    };
    threads
        .iter()
        .filter_map(|thread| read(root, pid, format!("/proc/{pid}/task/{thread}"), owners))
        .find_map(|(process, status)| status.has_memory.then_some(process))
}

/// Reads the status of a process or of one of its threads; `None` if it has ended or cannot be read.
fn read(
    root: &HostRoot,
    pid: u32,
    directory: String,
    owners: &mut Owners,
) -> Option<(Process, ProcessStatus)> {
    let status = match status::read(root, &directory) {
        Reading::Known(status) => status,
        Reading::Absent => return None,
        Reading::Unreadable(_) | Reading::Malformed(_) => {
            // If the process has ended, reading the file fails with ESRCH.
            if root.path(&directory).exists() {
                owners.not_seen_of("status of", &format!("pid {pid}"));
            }
            return None;
        }
    };
    let maps_huge_pages = status.huge_bytes != Some(0);
    Some((Process { pid, name: status.name.clone(), directory, maps_huge_pages }, status))
}

// === impl Process ===

impl Process {
    /// Notes that `what` of the process could not be seen, unless the error means that it no longer exists: processes
    /// end and descriptors are closed.
    pub(super) fn not_seen_unless_gone(
        &self,
        root: &HostRoot,
        what: &'static str,
        error: &io::Error,
        owners: &mut Owners,
    ) {
        let gone = error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH);
        if !gone {
            self.not_seen(root, what, owners);
        }
    }

    /// Notes that `what` of the process could not be seen, if the process still exists.
    pub(super) fn not_seen(&self, root: &HostRoot, what: &'static str, owners: &mut Owners) {
        if root.path(&self.directory).exists() {
            owners.not_seen_of(what, &format!("pid {} ({})", self.pid, self.name));
        }
    }
}
