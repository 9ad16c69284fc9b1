//! What this process may do: ids, capabilities, seccomp, CPUs and NUMA nodes, from `/proc/self/status`.

use std::path::Path;

use nix::unistd;

use super::list::parse_list;
use super::root::{HostRoot, quoted};
use crate::domain::inventory::Privileges;
use crate::domain::reading::Reading;

const STATUS: &str = "/proc/self/status";
const SHM_GROUP: &str = "/proc/sys/vm/hugetlb_shm_group";
const PID_NAMESPACE: &str = "/proc/self/ns/pid";
/// The inode number of the initial PID namespace, `PROC_PID_INIT_INO` in `include/linux/proc_ns.h`.
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";
/// No process has it: setuid(2) takes it for "leave as it is".
const NOBODY_KNOWN: u32 = u32::MAX;

/// What this process may do, or the one whose tree was captured.
#[must_use]
pub fn read(root: &HostRoot) -> Privileges {
    let mut privileges = match root.table(STATUS) {
        Reading::Known(text) => parse_status(&text),
        Reading::Absent => parse_status(""),
        Reading::Unreadable(why) | Reading::Malformed(why) => Privileges {
            capabilities: Reading::Unreadable(why.clone()),
            seccomp: Reading::Unreadable(why.clone()),
            cpus: Reading::Unreadable(why.clone()),
            mems: Reading::Unreadable(why),
            ..parse_status("")
        },
    };
    if root.is_live() {
        privileges.uid = unistd::geteuid().as_raw();
        privileges.gid = unistd::getegid().as_raw();
    }
    privileges.host_pids = read_host_pids(root);
    privileges.shm_group = root.parsed(SHM_GROUP, parse_id);
    privileges
}

/// Reads the text of `/proc/self/status`. A line that is missing is absent; ids that are missing are `u32::MAX`.
///
/// Source: proc_pid_status(5). `Seccomp` is missing without CONFIG_SECCOMP, `Mems_allowed_list` without CONFIG_CPUSETS.
#[must_use]
pub fn parse_status(text: &str) -> Privileges {
    let field = |name: &str| {
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim_ascii()))
    };
    // Real, effective, saved, file system.
    let effective = |name| field(name)?.split_ascii_whitespace().nth(1).and_then(parse_id);
    let groups = field("Groups").unwrap_or_default().split_ascii_whitespace();
    Privileges {
        uid: effective("Uid").unwrap_or(NOBODY_KNOWN),
        gid: effective("Gid").unwrap_or(NOBODY_KNOWN),
        groups: groups.filter_map(parse_id).collect(),
        capabilities: reading("CapEff", field("CapEff"), parse_hex),
        seccomp: reading("Seccomp", field("Seccomp"), |text| text.parse().ok()),
        cpus: reading("Cpus_allowed_list", field("Cpus_allowed_list"), parse_list),
        mems: reading("Mems_allowed_list", field("Mems_allowed_list"), parse_list),
        host_pids: Reading::Absent,
        shm_group: Reading::Absent,
    }
}

fn reading<T>(name: &str, text: Option<&str>, parse: impl FnOnce(&str) -> Option<T>) -> Reading<T> {
    let Some(text) = text else { return Reading::Absent };
    match parse(text) {
        Some(value) => Reading::Known(value),
        None => Reading::Malformed(format!("{STATUS} holds {name} {}", quoted(text))),
    }
}

fn parse_id(text: &str) -> Option<u32> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

fn parse_hex(text: &str) -> Option<u64> {
    if text.starts_with('+') { None } else { u64::from_str_radix(text, 16).ok() }
}

fn read_host_pids(root: &HostRoot) -> Reading<bool> {
    match std::fs::read_link(root.path(PID_NAMESPACE)) {
        Ok(target) => Reading::Known(target == Path::new(INITIAL_PID_NAMESPACE)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Reading::Absent,
        Err(error) => Reading::Unreadable(format!("cannot read the link {PID_NAMESPACE}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    const SEEN: &str = "\
Name:\tcat\nUmask:\t0022\nUid:\t1000\t0\t0\t0\nGid:\t100\t65532\t0\t0\nGroups:\t4 27 100 \nCapInh:\t0000000000000000
CapEff:\t000001fffeffffff\nSeccomp:\t2\nSeccomp_filters:\t1\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1,4
Mems_allowed:\t00000000,00000001\nMems_allowed_list:\t0\n";

    #[test]
    fn the_kernels_own_text_is_read() {
        let privileges = parse_status(SEEN);
        assert_eq!((privileges.uid, privileges.gid), (0, 65532));
        assert_eq!(privileges.groups, [4, 27, 100]);
        assert_eq!(privileges.capabilities, Reading::Known(0x1ff_feff_ffff));
        assert_eq!(privileges.seccomp, Reading::Known(2));
        assert_eq!(privileges.cpus, Reading::Known(vec![0, 1, 4]));
        assert_eq!(privileges.mems, Reading::Known(vec![0]));
    }

    #[test]
    fn nothing_known_is_never_root() {
        for text in ["", "Uid:\t\nGid:", "Uid:\tx\ty\tz\nGid:\t-1 -1", "Uid:\t0"] {
            let privileges = parse_status(text);
            assert_eq!((privileges.uid, privileges.gid), (u32::MAX, u32::MAX), "{text:?}");
            assert_eq!(privileges.capabilities, Reading::Absent);
        }
    }

    #[test]
    fn garbage_is_malformed_and_shown() {
        let privileges =
            parse_status("CapEff:\tall\nSeccomp:\t300\nCpus_allowed_list:\t3-1\nMems_allowed_list:\tx\n");
        for why in [
            privileges.capabilities.why_unknown(),
            privileges.seccomp.why_unknown(),
            privileges.cpus.why_unknown(),
            privileges.mems.why_unknown(),
        ] {
            assert!(why.unwrap().starts_with("/proc/self/status holds "), "{why:?}");
        }
    }

    #[test]
    fn a_captured_tree_tells_its_own_namespace_and_group() {
        let scratch = tempfile::tempdir().unwrap();
        let root = HostRoot::new(scratch.path());
        assert_eq!(read(&root), Privileges { uid: u32::MAX, gid: u32::MAX, ..Privileges::default() });
        std::fs::create_dir_all(scratch.path().join("proc/self/ns")).unwrap();
        std::fs::create_dir_all(scratch.path().join("proc/sys/vm")).unwrap();
        std::fs::write(scratch.path().join("proc/self/status"), SEEN).unwrap();
        std::fs::write(scratch.path().join("proc/sys/vm/hugetlb_shm_group"), "1001\n").unwrap();
        symlink("pid:[4026532178]", scratch.path().join("proc/self/ns/pid")).unwrap();
        let privileges = read(&root);
        assert_eq!(privileges.uid, 0);
        assert_eq!(privileges.host_pids, Reading::Known(false));
        assert_eq!(privileges.shm_group, Reading::Known(1001));
    }

    #[test]
    fn a_status_that_cannot_be_read_is_unreadable_not_absent() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(scratch.path().join("proc/self/status")).unwrap();
        let privileges = read(&HostRoot::new(scratch.path()));
        assert!(privileges.capabilities.is_trouble() && privileges.mems.is_trouble());
        assert_eq!(privileges.uid, u32::MAX);
    }

    #[test]
    fn this_process_knows_itself() {
        let privileges = read(&HostRoot::default());
        assert_eq!(privileges.uid, unistd::geteuid().as_raw());
        assert!(privileges.cpus.known().is_some_and(|cpus| !cpus.is_empty()));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(Uid|Groups|CapEff|Seccomp|Cpus_allowed_list)?:?\\PC*") {
            let _ = parse_status(&text);
        }

        #[test]
        fn every_value_survives_the_kernels_own_form(uid: u32, gid: u32, groups: Vec<u32>, caps: u64, seccomp: u8) {
            let list: String = groups.iter().map(|group| format!("{group} ")).collect();
            let text = format!("Uid:\t0\t{uid}\t0\t0\nGid:\t0\t{gid}\t0\t0\nGroups:\t{list}\nCapEff:\t{caps:016x}\nSeccomp:\t{seccomp}\n");
            let privileges = parse_status(&text);
            prop_assert_eq!((privileges.uid, privileges.gid), (uid, gid));
            prop_assert_eq!(privileges.groups, groups);
            prop_assert_eq!(privileges.capabilities, Reading::Known(caps));
            prop_assert_eq!(privileges.seccomp, Reading::Known(seccomp));
        }
    }
}
