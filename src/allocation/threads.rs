//! HP409 and HP411: creates as many threads, and as many mappings, as the workload has.
//!
//! The kernel's answer includes pids.max of every parent cgroup, RLIMIT_NPROC, kernel.threads-max and vm.max_map_count,
//! even if their files are hidden from this process. Reading the limits would miss those.

use std::io;
use std::sync::Mutex;
use std::thread;

use nix::errno::Errno;
use nix::unistd::getppid;

use super::AllocationTask;
use hugeprobe_domain::catalogue::{HP409, HP411};
use hugeprobe_domain::check::{Because, Finding, Outcome};
use hugeprobe_domain::part::WorkerOutput;
use hugeprobe_domain::text::count;
use hugeprobe_linux::errno::named;
use hugeprobe_linux::map::Mapping;
use hugeprobe_linux::root::HostRoot;
use hugeprobe_linux::status;

/// The stack size of a waiting thread in bytes.
const STACK: usize = 64 << 10;
/// The most mappings that are created. The default of vm.max_map_count is 65530.
const MAPPINGS_AT_MOST: u64 = 4 << 20;

/// Creates threads, then mappings, and reports HP409 and HP411.
///
/// # Errors
///
/// The reader of `output` is gone, or the task has no footprint.
pub(super) fn run(task: &AllocationTask, output: &mut dyn WorkerOutput) -> io::Result<()> {
    let footprint = task.footprint.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the threads worker needs the footprint of the workload")
    })?;
    let root = task.root();
    output.step(HP409, &format!("create {}", count(footprint.threads, "thread")))?;
    output.found(threads(&root, footprint.threads, task))?;
    let Some(mappings) = footprint.mappings else {
        let why = format!("{} maps its memory in one piece", task.workload);
        return output.found(Finding::skip(HP411, None, why));
    };
    output.step(HP411, &format!("create {}", count(mappings, "mapping")))?;
    output.found(self::mappings(&root, mappings, task))
}

fn threads(root: &HostRoot, wanted: u64, task: &AllocationTask) -> Finding {
    // hugeprobe's own threads count against the same limits now, and do not exist any more when the workload runs.
    let parent = u32::try_from(getppid().as_raw()).unwrap_or_default();
    let own = threads_of(root, std::process::id()).saturating_add(threads_of(root, parent));
    let (created, refused) = create_threads(wanted.saturating_sub(own));
    let able = created.saturating_add(own).min(wanted);
    let who = task.workload;
    let finding = match refused {
        None => Finding::pass(HP409, None, format!("{} can be created", count(wanted, "thread"))),
        Some(error) => {
            let is_limit = error.raw_os_error() == Some(Errno::EAGAIN as i32);
            let outcome = if is_limit { Outcome::Fail } else { Outcome::Unknown };
            let seen = format!("{} for thread {}", named(&error), able.saturating_add(1));
            let because = Because::new(format!("{}, as {who} has", count(wanted, "thread")), seen);
            let summary = format!("{who} has {}; {able} can be created", count(wanted, "thread"));
            Finding::not_pass(HP409, None, outcome, summary, because)
        }
    };
    finding.with("threads", wanted).with("workload", who)
}

/// Returns the number of threads of a process, or 1 if it cannot be read.
fn threads_of(root: &HostRoot, pid: u32) -> u64 {
    status::read(root, &format!("/proc/{pid}")).known().map_or(1, |status| status.threads.max(1))
}

/// Creates up to `wanted` threads that exist at the same time, and ends them. Returns how many could be created.
fn create_threads(wanted: u64) -> (u64, Option<io::Error>) {
    let gate = Mutex::new(());
    let closed = gate.lock();
    thread::scope(|scope| {
        let mut created = 0;
        let mut refused = None;
        while created < wanted {
            let wait = || drop(gate.lock());
            match thread::Builder::new().stack_size(STACK).spawn_scoped(scope, wait) {
                Ok(_) => created += 1,
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        drop(closed);
        (created, refused)
    })
}

fn mappings(root: &HostRoot, wanted: u64, task: &AllocationTask) -> Finding {
    let who = task.workload;
    let own = root.table("/proc/self/maps").known().map_or(0, |text| text.lines().count() as u64);
    let expected = format!("{}, as {who} has with --need", count(wanted, "mapping"));
    let finding = match Mapping::in_pieces(wanted.saturating_sub(own).min(MAPPINGS_AT_MOST)) {
        Ok(_) if wanted > MAPPINGS_AT_MOST => {
            let summary =
                format!("{who} has {}; no more than {MAPPINGS_AT_MOST} are tried", count(wanted, "mapping"));
            let because = Because::new(expected, format!("{MAPPINGS_AT_MOST} can be created"));
            Finding::not_pass(HP411, None, Outcome::Unknown, summary, because)
        }
        Ok(_) => Finding::pass(HP411, None, format!("{} can be created", count(wanted, "mapping"))),
        Err(error) => {
            let is_limit = error.raw_os_error() == Some(Errno::ENOMEM as i32);
            let outcome = if is_limit { Outcome::Fail } else { Outcome::Unknown };
            let because = Because::new(expected, named(&error));
            let summary = format!("{who} has {}; so many cannot be created", count(wanted, "mapping"));
            Finding::not_pass(HP411, None, outcome, summary, because)
        }
    };
    finding.with("mappings", wanted).with("workload", who)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of a worker that nothing is expected of.
    struct Unread;

    impl WorkerOutput for Unread {
        fn step(&mut self, _: hugeprobe_domain::check::CheckId, _: &str) -> io::Result<()> {
            Ok(())
        }

        fn found(&mut self, finding: Finding) -> io::Result<()> {
            panic!("{finding:?}");
        }
    }

    #[test]
    fn a_task_without_a_footprint_is_no_pass() {
        let task: AllocationTask = serde_json::from_str(r#"{"role": "threads"}"#).unwrap();
        assert_eq!(run(&task, &mut Unread).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn threads_exist_at_the_same_time_and_end() {
        let root = HostRoot::default();
        let before = threads_of(&root, std::process::id());
        let (created, refused) = create_threads(24);
        assert_eq!(created, 24);
        assert!(refused.is_none(), "{refused:?}");
        // Threads of other tests come and go.
        assert!(threads_of(&root, std::process::id()) < before + 24);
    }
}
