//! `/proc/PID/status`: the name, state, memory, ids, capabilities and NUMA nodes of a process (proc_pid_status(5)).

use super::fields;
use super::list::parse_list;
use super::root::HostRoot;
use hugeprobe_domain::digits::parse_digits;
use hugeprobe_domain::reading::Reading;

/// The value of `Seccomp` with a filter (`include/uapi/linux/seccomp.h`).
const SECCOMP_MODE_FILTER: &str = "2";

/// The facts about a process or a thread, which are cheap to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessStatus {
    /// `Name`, as escaped by the kernel.
    pub name: String,
    /// Whether `State` is Z or X, which means that the first thread has ended.
    pub has_ended: bool,
    /// `Threads`.
    pub threads: u64,
    /// Whether it has an address space (`VmSize`). Kernel threads and threads that have ended do not.
    pub has_memory: bool,
    /// `HugetlbPages`, in bytes; `None` if the kernel does not show it (before 4.4).
    pub huge_bytes: Option<u64>,
    /// The effective id in `Uid`; `None` if the line is missing.
    pub uid: Option<u32>,
    /// The effective id in `Gid`; `None` if the line is missing.
    pub gid: Option<u32>,
    /// `Umask`, as the mode bits that a new file does not get; `None` if the kernel does not show it (before 4.7).
    pub umask: Option<u32>,
    /// Whether a seccomp filter judges its system calls (`Seccomp` is 2); `None` if the kernel does not show it.
    pub is_filtered: Option<bool>,
    /// `CapEff`.
    pub capabilities: Reading<u64>,
    /// `Cpus_allowed_list`.
    pub cpus: Reading<Vec<u32>>,
    /// `Mems_allowed_list`. `Absent` if the kernel was built without CONFIG_CPUSETS.
    pub mems: Reading<Vec<u32>>,
}

/// Reads the status of the process or thread with this directory in /proc, such as `/proc/self`. Reading fails with
/// ESRCH, which is `Unreadable`, if the process ended after its directory was found.
#[must_use]
pub fn read(root: &HostRoot, directory: &str) -> Reading<ProcessStatus> {
    let file = format!("{directory}/status");
    root.table(&file).map(|text| parse(&file, &text))
}

/// Parses the text of a status file. `file` is its path, which the text of a malformed reading shows.
#[must_use]
pub fn parse(file: &str, text: &str) -> ProcessStatus {
    let field = |key| fields::value(text, key);
    // The fields are the real, effective, saved and file-system id.
    let effective = |key| field(key)?.split_ascii_whitespace().nth(1).and_then(parse_digits);
    ProcessStatus {
        name: field("Name").unwrap_or_default().to_owned(),
        has_ended: field("State").is_some_and(|state| state.starts_with(['Z', 'X'])),
        threads: field("Threads").and_then(parse_digits).unwrap_or(0),
        has_memory: field("VmSize").is_some(),
        huge_bytes: field("HugetlbPages").and_then(fields::parse_kilobytes),
        uid: effective("Uid"),
        gid: effective("Gid"),
        umask: field("Umask").and_then(|text| u32::from_str_radix(text, 8).ok()),
        is_filtered: field("Seccomp").map(|mode| mode == SECCOMP_MODE_FILTER),
        capabilities: fields::parsed(file, text, "CapEff", parse_hexadecimal),
        cpus: fields::parsed(file, text, "Cpus_allowed_list", parse_list),
        mems: fields::parsed(file, text, "Mems_allowed_list", parse_list),
    }
}

fn parse_hexadecimal(text: &str) -> Option<u64> {
    if text.starts_with('+') { None } else { u64::from_str_radix(text, 16).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEEN: &str = "\
Name:\tcat\nUmask:\t0022\nUid:\t1000\t0\t0\t0\nGid:\t100\t65532\t0\t0\nGroups:\t4 27 100 \nCapInh:\t0000000000000000
CapEff:\t000001fffeffffff\nSeccomp:\t2\nSeccomp_filters:\t1\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1,4
Mems_allowed:\t00000000,00000011\nMems_allowed_list:\t0,4\n";

    fn parse(text: &str) -> ProcessStatus {
        super::parse("/proc/self/status", text)
    }

    #[test]
    fn processes_threads_and_the_dead_are_told_apart() {
        let status = parse(
            "Name:\ta: b\nState:\tS (sleeping)\nThreads:\t3\nVmSize:\t    3060 kB\nHugetlbPages:\t    2048 kB\n",
        );
        let seen = ProcessStatus {
            name: "a: b".to_owned(),
            threads: 3,
            has_memory: true,
            huge_bytes: Some(2 << 20),
            ..ProcessStatus::default()
        };
        assert_eq!(status, seen);
        let kernel_thread = parse("Name:\tkthreadd\nState:\tS (sleeping)\nThreads:\t1\nKthread:\t1\n");
        assert!(!kernel_thread.has_memory && !kernel_thread.has_ended);
        assert!(parse("Name:\tx\nState:\tZ (zombie)\nThreads:\t2\n").has_ended);
        assert_eq!(parse("HugetlbPages:\tmany\n").huge_bytes, None);
    }

    #[test]
    fn the_kernels_own_text_is_read() {
        let status = parse(SEEN);
        assert_eq!((status.uid, status.gid), (Some(0), Some(65532)));
        assert_eq!(status.capabilities, Reading::Known(0x1ff_feff_ffff));
        assert_eq!(status.mems, Reading::Known(vec![0, 4]));
        assert_eq!(status.is_filtered, Some(true));
        assert_eq!(parse("Seccomp:\t0\n").is_filtered, Some(false));
        assert_eq!(parse("").is_filtered, None);
        assert_eq!(status.cpus, Reading::Known(vec![0, 1, 4]));
    }

    #[test]
    fn nothing_known_is_never_root() {
        for text in ["", "Uid:\t\nGid:", "Uid:\tx\ty\tz\nGid:\t-1 -1", "Uid:\t0"] {
            let status = parse(text);
            assert_eq!((status.uid, status.gid), (None, None), "{text:?}");
            assert_eq!(status.capabilities, Reading::Absent);
        }
    }

    #[test]
    fn garbage_is_malformed_and_shown() {
        let status = parse("CapEff:\tall\nMems_allowed_list:\tx\n");
        for why in [status.capabilities.why_unknown(), status.mems.why_unknown()] {
            assert!(why.unwrap().starts_with("/proc/self/status holds "), "{why:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "((Name|State|Threads|HugetlbPages|Uid|CapEff|Mems_allowed_list):?\t?\\PC*\n|\\PC*){0,4}") {
            let _ = parse(&text);
        }

        #[test]
        fn every_value_survives_the_kernels_own_form(uid: u32, gid: u32, caps: u64) {
            let text = format!("Uid:\t0\t{uid}\t0\t0\nGid:\t0\t{gid}\t0\t0\nCapEff:\t{caps:016x}\n");
            let status = parse(&text);
            prop_assert_eq!((status.uid, status.gid), (Some(uid), Some(gid)));
            prop_assert_eq!(status.capabilities, Reading::Known(caps));
        }
    }
}
