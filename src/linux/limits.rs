//! The resource limits of this process: from getrlimit(2) on the machine, from `/proc/self/limits` in a captured tree.

use std::path::Path;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use super::meminfo;
use super::root::{HostRoot, quoted};
use hugeprobe_domain::digits::parse_digits;
use hugeprobe_domain::inventory::{Limit, Limits};
use hugeprobe_domain::reading::Reading;

const FILE: &str = "/proc/self/limits";
const OPEN_FILES: &str = "/proc/self/fdinfo";
/// O_CLOEXEC of most architectures, including x86 and ARM (`include/uapi/asm-generic/fcntl.h`).
const CLOSE_ON_EXEC: u64 = 0o2_000_000;

/// Raises the soft limit of open files to the hard limit, as DPDK does when it starts. Child processes inherit it.
///
/// An error is ignored: a later step that runs out of descriptors reports that.
pub fn raise_nofile() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Returns the limits of this process, or of the process in a captured tree.
#[must_use]
pub fn read(root: &HostRoot) -> Limits {
    Limits {
        inherited_files: inherited_files(root),
        swap_bytes: meminfo::swap_total(root),
        overcommit: root.number("/proc/sys/vm/overcommit_memory"),
        ..read_process(root)
    }
}

fn read_process(root: &HostRoot) -> Limits {
    if root.is_live() {
        return Limits {
            memlock: live(Resource::RLIMIT_MEMLOCK),
            nofile: live(Resource::RLIMIT_NOFILE),
            address_space: live(Resource::RLIMIT_AS),
            data: live(Resource::RLIMIT_DATA),
            file_size: live(Resource::RLIMIT_FSIZE),
            stack: live(Resource::RLIMIT_STACK),
            cpu_time: live(Resource::RLIMIT_CPU),
            ..Limits::default()
        };
    }
    match root.table(FILE) {
        Reading::Known(text) => parse_limits(&text),
        Reading::Absent => Limits::default(),
        Reading::Unreadable(why) | Reading::Malformed(why) => {
            let trouble = || Reading::Unreadable(why.clone());
            Limits {
                memlock: trouble(),
                nofile: trouble(),
                address_space: trouble(),
                data: trouble(),
                file_size: trouble(),
                stack: trouble(),
                cpu_time: trouble(),
                ..Limits::default()
            }
        }
    }
}

/// Parses the text of `/proc/self/limits`. The reading of a missing line is `Absent`.
///
/// Source: `proc_pid_limits()` in `fs/proc/base.c`: name, soft limit, hard limit, unit, padded with spaces.
#[must_use]
pub fn parse_limits(text: &str) -> Limits {
    let named = |name: &str| {
        let Some(line) = text.lines().find(|line| line.starts_with(name)) else { return Reading::Absent };
        let mut values = line.get(name.len()..).unwrap_or_default().split_ascii_whitespace().map(parse_value);
        match (values.next().flatten(), values.next().flatten()) {
            (Some(soft), Some(hard)) => Reading::Known(Limit { soft, hard }),
            _ => Reading::Malformed(format!("{FILE} holds {}", quoted(line))),
        }
    };
    Limits {
        memlock: named("Max locked memory "),
        nofile: named("Max open files "),
        address_space: named("Max address space "),
        data: named("Max data size "),
        file_size: named("Max file size "),
        stack: named("Max stack size "),
        cpu_time: named("Max cpu time "),
        inherited_files: Reading::Absent,
        swap_bytes: Reading::Absent,
        overcommit: Reading::Absent,
    }
}

/// Returns the descriptors of this process that stay open across execve. Before a guardian is started, these are the
/// descriptors that this process inherited.
fn inherited_files(root: &HostRoot) -> Reading<Vec<u64>> {
    root.names(OPEN_FILES).and_then(|names| {
        let mut inherited = Vec::new();
        for number in names.iter().filter_map(|name| name.parse::<u64>().ok()).filter(|number| *number > 2) {
            match root.table(Path::new(OPEN_FILES).join(number.to_string())) {
                Reading::Known(info) if stays_open(&info) => inherited.push(number),
                // A descriptor that was open only for the listing no longer exists.
                Reading::Known(_) | Reading::Absent => {}
                Reading::Unreadable(why) => return Reading::Unreadable(why),
                Reading::Malformed(why) => return Reading::Malformed(why),
            }
        }
        Reading::Known(inherited)
    })
}

/// Returns whether the file with this `/proc/PID/fdinfo/N` stays open across execve: its octal `flags:` lack O_CLOEXEC.
///
/// Source: `seq_show()` in `fs/proc/fd.c`.
fn stays_open(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u64::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & CLOSE_ON_EXEC == 0)
}

/// Parses one limit; `Some(None)` means unlimited.
fn parse_value(text: &str) -> Option<Option<u64>> {
    if text == "unlimited" {
        return Some(None);
    }
    parse_digits(text).map(Some)
}

fn live(resource: Resource) -> Reading<Limit> {
    let finite = |value| (value != RLIM_INFINITY).then_some(value);
    match getrlimit(resource) {
        Ok((soft, hard)) => Reading::Known(Limit { soft: finite(soft), hard: finite(hard) }),
        Err(errno) => Reading::Unreadable(format!("getrlimit({resource:?}) failed: {errno}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SEEN: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max file size             4096                 unlimited            bytes     
Max open files            20000                20000                files     
Max locked memory         8388608              8388608              bytes     
Max address space         unlimited            unlimited            bytes     
Max nice priority         0                    0                    
";

    fn known(soft: Option<u64>, hard: Option<u64>) -> Reading<Limit> {
        Reading::Known(Limit { soft, hard })
    }

    #[test]
    fn the_kernels_own_text_is_read() {
        let limits = parse_limits(SEEN);
        assert_eq!(limits.memlock, known(Some(8 << 20), Some(8 << 20)));
        assert_eq!(limits.nofile, known(Some(20000), Some(20000)));
        assert_eq!(limits.address_space, known(None, None));
        assert_eq!(limits.file_size, known(Some(4096), None));
    }

    #[test]
    fn a_line_that_is_missing_is_absent_and_one_that_is_garbage_is_malformed() {
        assert_eq!(parse_limits(""), Limits::default());
        for line in [
            "Max open files            ",
            "Max open files            12",
            "Max open files            -1 12 files",
            "Max open files            +1 12 files",
            "Max open files            many 12 files",
            "Max open files            99999999999999999999 12 files",
        ] {
            assert!(
                matches!(parse_limits(line).nofile, Reading::Malformed(why) if why.contains("open files")),
                "{line}"
            );
        }
    }

    #[test]
    fn what_getrlimit_says_is_what_the_file_says() {
        let text = std::fs::read_to_string(FILE).unwrap();
        assert_eq!(read_process(&HostRoot::default()), parse_limits(&text));
    }

    #[test]
    fn a_file_that_cannot_be_read_makes_every_limit_unreadable() {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(scratch.path().join("proc/self/limits")).unwrap();
        assert!(read(&HostRoot::new(scratch.path())).memlock.is_trouble());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(Max (open files|file size) *)?\\PC*") {
            let _ = parse_limits(&text);
        }

        #[test]
        fn every_limit_survives_the_kernels_own_form(soft: Option<u64>, hard: Option<u64>) {
            let form = |value: Option<u64>| value.map_or("unlimited".to_owned(), |value| value.to_string());
            let line = format!("{:<25} {:<20} {:<20} {:<10}\n", "Max locked memory", form(soft), form(hard), "bytes");
            prop_assert_eq!(parse_limits(&line).memlock, known(soft, hard));
        }
    }

    #[test]
    fn a_descriptor_that_cannot_be_asked_makes_the_count_unknown() {
        let scratch = tempfile::tempdir().unwrap();
        let root = HostRoot::new(scratch.path());
        std::fs::create_dir_all(scratch.path().join("proc/self/fdinfo")).unwrap();
        std::fs::write(scratch.path().join("proc/self/fdinfo/7"), "pos:\t0\nflags:\t02\n").unwrap();
        assert_eq!(inherited_files(&root), Reading::Known(vec![7]));
        std::fs::create_dir(scratch.path().join("proc/self/fdinfo/8")).unwrap();
        assert!(inherited_files(&root).is_trouble());
    }

    #[test]
    fn descriptors_that_stay_open_are_told_from_those_that_do_not() {
        for (info, stays) in [
            ("pos:\t0\nflags:\t0100002\nmnt_id:\t25\nino:\t7\n", true),
            ("pos:\t0\nflags:\t02100000\nmnt_id:\t25\nino:\t7\n", false),
            ("pos:\t0\nflags:\t02\n", true),
            ("pos:\t0\nflags:\t9\n", false),
            ("flags:\n", false),
            ("", false),
        ] {
            assert_eq!(stays_open(info), stays, "{info}");
        }
    }
}
