//! The privileges of this process: its ids, capabilities and allowed NUMA nodes, from `/proc/self/status`.

use std::path::Path;

use nix::unistd;

use super::fields;
use super::list::parse_list;
use super::root::HostRoot;
use hugeprobe_domain::digits::parse_digits;
use hugeprobe_domain::inventory::Privileges;
use hugeprobe_domain::reading::Reading;

const STATUS: &str = "/proc/self/status";
/// The link to a namespace of this process, and its target in the initial namespace: `PROC_PID_INIT_INO` and
/// `PROC_USER_INIT_INO` in `include/linux/proc_ns.h`.
const PID_NAMESPACE: [&str; 2] = ["/proc/self/ns/pid", "pid:[4026531836]"];
const USER_NAMESPACE: [&str; 2] = ["/proc/self/ns/user", "user:[4026531837]"];
/// The value for an id that is missing. No process has this id: for setresuid(2), it means "do not change".
pub const UNKNOWN_ID: u32 = u32::MAX;

/// Returns the privileges of this process, or of the process in a captured tree.
#[must_use]
pub fn read(root: &HostRoot) -> Privileges {
    let mut privileges = match root.table(STATUS) {
        Reading::Known(text) => parse_status(&text),
        Reading::Absent => parse_status(""),
        Reading::Unreadable(why) | Reading::Malformed(why) => Privileges {
            capabilities: Reading::Unreadable(why.clone()),
            mems: Reading::Unreadable(why),
            ..parse_status("")
        },
    };
    if root.is_live() {
        privileges.uid = unistd::geteuid().as_raw();
        privileges.gid = unistd::getegid().as_raw();
    }
    privileges.host_pids = is_initial(root, PID_NAMESPACE);
    privileges.host_users = is_initial(root, USER_NAMESPACE);
    privileges
}

/// Parses the text of `/proc/self/status`. The reading of a missing line is `Absent`; a missing id is `u32::MAX`.
///
/// Source: proc_pid_status(5). `Mems_allowed_list` is missing without CONFIG_CPUSETS.
#[must_use]
pub fn parse_status(text: &str) -> Privileges {
    // The fields are the real, effective, saved and file-system id.
    let effective = |key| fields::value(text, key)?.split_ascii_whitespace().nth(1).and_then(parse_digits);
    Privileges {
        uid: effective("Uid").unwrap_or(UNKNOWN_ID),
        gid: effective("Gid").unwrap_or(UNKNOWN_ID),
        capabilities: fields::parsed(STATUS, text, "CapEff", parse_hex),
        mems: fields::parsed(STATUS, text, "Mems_allowed_list", parse_list),
        host_pids: Reading::Absent,
        host_users: Reading::Absent,
    }
}

fn parse_hex(text: &str) -> Option<u64> {
    if text.starts_with('+') { None } else { u64::from_str_radix(text, 16).ok() }
}

fn is_initial(root: &HostRoot, [link, initial]: [&str; 2]) -> Reading<bool> {
    match std::fs::read_link(root.path(link)) {
        Ok(target) => Reading::Known(target == Path::new(initial)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Reading::Absent,
        Err(error) => Reading::Unreadable(format!("cannot read the link {link}: {error}")),
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
Mems_allowed:\t00000000,00000011\nMems_allowed_list:\t0,4\n";

    #[test]
    fn the_kernels_own_text_is_read() {
        let privileges = parse_status(SEEN);
        assert_eq!((privileges.uid, privileges.gid), (0, 65532));
        assert_eq!(privileges.capabilities, Reading::Known(0x1ff_feff_ffff));
        assert_eq!(privileges.mems, Reading::Known(vec![0, 4]));
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
        let privileges = parse_status("CapEff:\tall\nMems_allowed_list:\tx\n");
        for why in [privileges.capabilities.why_unknown(), privileges.mems.why_unknown()] {
            assert!(why.unwrap().starts_with("/proc/self/status holds "), "{why:?}");
        }
    }

    #[test]
    fn a_captured_tree_tells_its_own_namespace() {
        let scratch = tempfile::tempdir().unwrap();
        let root = HostRoot::new(scratch.path());
        assert_eq!(read(&root), Privileges { uid: u32::MAX, gid: u32::MAX, ..Privileges::default() });
        std::fs::create_dir_all(scratch.path().join("proc/self/ns")).unwrap();
        std::fs::write(scratch.path().join("proc/self/status"), SEEN).unwrap();
        symlink("pid:[4026532178]", scratch.path().join("proc/self/ns/pid")).unwrap();
        symlink("user:[4026531837]", scratch.path().join("proc/self/ns/user")).unwrap();
        let privileges = read(&root);
        assert_eq!(privileges.uid, 0);
        assert_eq!(privileges.host_pids, Reading::Known(false));
        assert_eq!(privileges.host_users, Reading::Known(true));
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
        assert!(privileges.mems.known().is_none_or(|mems| !mems.is_empty()));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(Uid|CapEff|Mems_allowed_list)?:?\\PC*") {
            let _ = parse_status(&text);
        }

        #[test]
        fn every_value_survives_the_kernels_own_form(uid: u32, gid: u32, caps: u64) {
            let text = format!("Uid:\t0\t{uid}\t0\t0\nGid:\t0\t{gid}\t0\t0\nCapEff:\t{caps:016x}\n");
            let privileges = parse_status(&text);
            prop_assert_eq!((privileges.uid, privileges.gid), (uid, gid));
            prop_assert_eq!(privileges.capabilities, Reading::Known(caps));
        }
    }
}
