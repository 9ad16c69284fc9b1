//! `/proc/PID/status`: the name, state and memory of a process (proc_pid_status(5)).

use super::fields;

/// The basic facts about a process, which are cheap to read.
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
}

/// Parses the text of a `/proc/PID/status` file.
#[must_use]
pub fn parse_process(text: &str) -> ProcessStatus {
    let field = |key| fields::value(text, key);
    ProcessStatus {
        name: field("Name").unwrap_or_default().to_owned(),
        has_ended: field("State").is_some_and(|state| state.starts_with(['Z', 'X'])),
        threads: field("Threads").and_then(|threads| threads.parse().ok()).unwrap_or(0),
        has_memory: field("VmSize").is_some(),
        huge_bytes: field("HugetlbPages").and_then(fields::parse_kilobytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn processes_threads_and_the_dead_are_told_apart() {
        let status = parse_process(
            "Name:\ta: b\nState:\tS (sleeping)\nThreads:\t3\nVmSize:\t    3060 kB\nHugetlbPages:\t    2048 kB\n",
        );
        let seen = ProcessStatus {
            name: "a: b".to_owned(),
            has_ended: false,
            threads: 3,
            has_memory: true,
            huge_bytes: Some(2 << 20),
        };
        assert_eq!(status, seen);
        let kernel_thread =
            parse_process("Name:\tkthreadd\nState:\tS (sleeping)\nThreads:\t1\nKthread:\t1\n");
        assert!(!kernel_thread.has_memory && !kernel_thread.has_ended);
        assert!(parse_process("Name:\tx\nState:\tZ (zombie)\nThreads:\t2\n").has_ended);
        assert_eq!(parse_process("HugetlbPages:\tmany\n").huge_bytes, None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "((Name|State|Threads|HugetlbPages):\t?\\PC*\n|\\PC*){0,4}") {
            let _ = parse_process(&text);
        }
    }
}
