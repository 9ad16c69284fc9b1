//! The privileges of this process: its ids, capabilities, allowed NUMA nodes and namespaces.

use nix::unistd;

use super::init_namespaces::{is_initial_pid, is_initial_user};
use super::map::CpuMask;
use super::root::{HostRoot, THIS_PROCESS};
use super::status::{self, ProcessStatus};
use hugeprobe_domain::inventory::Privileges;
use hugeprobe_domain::reading::Reading;

/// The value for an id that is missing. No process has this id: for setresuid(2), it means "do not change".
pub const UNKNOWN_ID: u32 = u32::MAX;

/// Returns the privileges of this process, or of the process in a captured tree.
#[must_use]
pub fn read(root: &HostRoot) -> Privileges {
    let status = status::read(root, THIS_PROCESS);
    let own = |live: u32, shown: Option<u32>| if root.is_live() { live } else { shown.unwrap_or(UNKNOWN_ID) };
    Privileges {
        uid: own(unistd::geteuid().as_raw(), status.known().and_then(|status| status.uid)),
        gid: own(unistd::getegid().as_raw(), status.known().and_then(|status| status.gid)),
        is_filtered: status.known().and_then(|status| status.is_filtered),
        capabilities: status.clone().and_then(|status| status.capabilities),
        cpus: number_of_cpus(root, &status),
        mems: status.and_then(|status| status.mems),
        host_pids: is_initial_pid(root),
        host_users: is_initial_user(root),
    }
}

/// A live process asks the kernel, since /proc may be hidden.
fn number_of_cpus(root: &HostRoot, status: &Reading<ProcessStatus>) -> Reading<u64> {
    if !root.is_live() {
        return status.clone().and_then(|status| status.cpus).map(|cpus| cpus.len() as u64);
    }
    match CpuMask::of_thread() {
        Ok(mask) => Reading::Known(mask.number()),
        Err(error) => Reading::Unreadable(format!("sched_getaffinity: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_captured_tree_tells_its_own_namespace() {
        let scratch = tempfile::tempdir().unwrap();
        let root = HostRoot::new(scratch.path());
        assert_eq!(read(&root), Privileges { uid: u32::MAX, gid: u32::MAX, ..Privileges::default() });
        std::fs::create_dir_all(scratch.path().join("proc/self/ns")).unwrap();
        std::fs::write(
            scratch.path().join("proc/self/status"),
            "Uid:\t1000\t0\t0\t0\nCpus_allowed_list:\t0-1,4\n",
        )
        .unwrap();
        symlink("pid:[4026532178]", scratch.path().join("proc/self/ns/pid")).unwrap();
        symlink("user:[4026531837]", scratch.path().join("proc/self/ns/user")).unwrap();
        let privileges = read(&root);
        assert_eq!((privileges.uid, privileges.gid), (0, u32::MAX));
        assert_eq!(privileges.cpus, Reading::Known(3));
        assert_eq!(privileges.host_pids, Reading::Known(false));
        assert_eq!(privileges.host_users, Reading::Known(true));
    }

    #[test]
    fn a_status_that_cannot_be_read_is_unreadable_not_absent() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(scratch.path().join("proc/self/status")).unwrap();
        let privileges = read(&HostRoot::new(scratch.path()));
        assert!(
            privileges.capabilities.is_trouble()
                && privileges.mems.is_trouble()
                && privileges.cpus.is_trouble()
        );
        assert_eq!(privileges.uid, u32::MAX);
    }

    #[test]
    fn this_process_knows_itself() {
        let privileges = read(&HostRoot::default());
        assert_eq!(privileges.uid, unistd::geteuid().as_raw());
        assert!(privileges.mems.known().is_none_or(|mems| !mems.is_empty()));
        assert!(privileges.cpus.get().is_some_and(|cpus| cpus > 0));
    }
}
