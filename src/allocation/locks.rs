//! HP306: locks the directories that DPDK locks when it starts.

use std::io;
use std::path::Path;

use super::{AllocationTask, HugeDirectory};
use hugeprobe_domain::catalogue::HP306;
use hugeprobe_domain::check::{Because, Finding, Outcome};
use hugeprobe_domain::part::WorkerOutput;
use hugeprobe_linux::directory_lock::{LockError, open_lock_and_list};
use hugeprobe_linux::errno::named;
use hugeprobe_linux::seccomp;

/// Opens, locks and lists each directory, and reports HP306.
///
/// # Errors
///
/// The reader of `output` is gone.
pub(super) fn run(task: &AllocationTask, output: &mut dyn WorkerOutput) -> io::Result<()> {
    let mut held = None;
    for directory in &task.locked {
        output.step(HP306, &format!("open and lock {}", directory.path))?;
        if let Err(error) = open_lock_and_list(Path::new(&as_dpdk_reads(&directory.path))) {
            let finding = refused(directory, &error);
            if finding.outcome == Outcome::Fail {
                return output.found(finding);
            }
            held = held.or(Some(finding));
        }
    }
    if let Some(finding) = held {
        return output.found(finding);
    }
    let paths: Vec<_> = task.locked.iter().map(|directory| directory.path.as_str()).collect();
    output.found(Finding::pass(HP306, None, format!("{} can be locked", paths.join(" and "))))
}

fn refused(directory: &HugeDirectory, error: &LockError) -> Finding {
    let HugeDirectory { size, path } = directory;
    let (outcome, what, answer) = match error {
        // HP407 reports it.
        LockError::Lock(_) if seccomp::FLOCK.refusal().is_some() => {
            return Finding::skip(HP306, None, "seccomp forbids flock: see HP407");
        }
        LockError::Open(error) => (Outcome::Fail, "opened", format!("open: {}", named(error))),
        LockError::Lock(error) => (Outcome::Fail, "locked", format!("flock: {}", named(error))),
        LockError::List(error) => (Outcome::Fail, "listed", format!("getdents64: {}", named(error))),
        LockError::Held => (Outcome::Unknown, "locked now", error.to_string()),
    };
    let because = Because::new(
        format!("DPDK opens and locks {path}, the first hugetlbfs of {size} in /proc/mounts"),
        answer,
    );
    let because = match error {
        LockError::Held => because.remedy("run the check again when no DPDK process is starting"),
        LockError::Open(error) if error.kind() == io::ErrorKind::NotFound => because.remedy(
            "unmount it if nothing uses it, or mount it at a path without spaces that no other mount hides; with \
             --huge-dir DPDK looks at that directory alone",
        ),
        _ => because,
    };
    Finding::not_pass(HP306, None, outcome, format!("{path} cannot be {what}"), because)
}

/// Returns the path as /proc/mounts has it. DPDK does not decode it, and so opens a path that does not exist.
///
/// Source: `show_vfsmnt()` in `fs/proc_namespace.c`.
fn as_dpdk_reads(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for letter in path.chars() {
        match letter {
            ' ' | '\t' | '\n' | '\\' | '#' => text.push_str(&format!("\\{:03o}", u32::from(letter))),
            letter => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_escaped_as_in_proc_mounts() {
        assert_eq!(as_dpdk_reads("/dev/hugepages"), "/dev/hugepages");
        assert_eq!(as_dpdk_reads("/mnt/my pages\\1\t#"), "/mnt/my\\040pages\\1341\\011\\043");
    }

    #[test]
    fn a_held_lock_is_unknown_and_what_is_refused_fails() {
        let directory = HugeDirectory { size: "1Gi".parse().unwrap(), path: "/dev/hugepages1G".into() };
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(refused(&directory, &LockError::Open(denied)).outcome, Outcome::Fail);
        assert_eq!(refused(&directory, &LockError::Held).outcome, Outcome::Unknown);
    }
}
