//! `/proc/PID/status`: a cheap first look at a process.

/// What `/proc/PID/status` says about a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// `Name`, escaped as the kernel does.
    pub name: String,
    /// `State` is Z or X: the first thread has ended.
    pub has_ended: bool,
    /// `Threads`.
    pub threads: u64,
    /// Whether it has memory of its own (`VmSize`): kernel threads have none, nor have threads that have ended.
    pub has_memory: bool,
    /// `HugetlbPages`, in kibibytes; `None` if the kernel does not say (before 4.4).
    pub huge_kilobytes: Option<u64>,
}

/// Reads the text of a `/proc/PID/status` (proc_pid_status(5)).
#[must_use]
pub fn parse_status(text: &str) -> Status {
    let mut status = Status::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match key {
            "Name" => status.name = value.to_owned(),
            "State" => status.has_ended = value.starts_with(['Z', 'X']),
            "Threads" => status.threads = value.parse().unwrap_or(0),
            "VmSize" => status.has_memory = true,
            "HugetlbPages" => {
                status.huge_kilobytes = value.strip_suffix("kB").and_then(|n| n.trim_end().parse().ok());
            }
            _ => {}
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn processes_threads_and_the_dead_are_told_apart() {
        let status = parse_status(
            "Name:\ta: b\nState:\tS (sleeping)\nThreads:\t3\nVmSize:\t    3060 kB\nHugetlbPages:\t    2048 kB\n",
        );
        let seen = Status {
            name: "a: b".to_owned(),
            has_ended: false,
            threads: 3,
            has_memory: true,
            huge_kilobytes: Some(2048),
        };
        assert_eq!(status, seen);
        let kernel_thread = parse_status("Name:\tkthreadd\nState:\tS (sleeping)\nThreads:\t1\nKthread:\t1\n");
        assert!(!kernel_thread.has_memory && !kernel_thread.has_ended);
        assert!(parse_status("Name:\tx\nState:\tZ (zombie)\nThreads:\t2\n").has_ended);
        assert_eq!(parse_status("HugetlbPages:\tmany\n").huge_kilobytes, None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "((Name|State|Threads|HugetlbPages):\t?\\PC*\n|\\PC*){0,4}") {
            let _ = parse_status(&text);
        }
    }
}
