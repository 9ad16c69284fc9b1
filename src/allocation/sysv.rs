//! HP508: SysV shared memory with huge pages, in a private IPC namespace.
//!
//! If the process that created a segment is killed, the segment keeps its reservation forever. A private namespace ends
//! with the worker, and nothing remains. If this process may not create a namespace, the check is skipped. If the
//! kernel refuses a step, the outcome is `warn`, because vhost-user does not need SysV shared memory.

use std::io;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

use super::AllocationTask;
use super::attempts::{Attempts, Refusal, Steps, conclude, rounds, with_note};
use super::backing::{MapError, Observed, touch};
use super::evidence::with_attempts;
use super::explain::{error_name, map_refused, touch_refused};
use super::pool::PoolCounters;
use hugeprobe_domain::catalogue::HP508;
use hugeprobe_domain::check::{Because, Finding, Outcome};
use hugeprobe_domain::movement::Step;
use hugeprobe_domain::part::WorkerOutput;
use hugeprobe_domain::size::{HugeLen, PageSize};
use hugeprobe_linux::errno::{is, named};
use hugeprobe_linux::map::Segment;
use hugeprobe_linux::root::HostRoot;

const SHM_GROUP: &str = "/proc/sys/vm/hugetlb_shm_group";
const SHM_MAX: &str = "/proc/sys/kernel/shmmax";

/// Runs the steps and reports HP508.
///
/// # Errors
///
/// The reader of `output` is gone, or the task requests no pages.
pub(super) fn run(task: &AllocationTask, size: PageSize, output: &mut dyn WorkerOutput) -> io::Result<()> {
    let len = HugeLen::new(size, task.pages).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    if len.pages() < 2 {
        return output.found(Finding::skip(HP508, size, "only one page is available"));
    }
    output.step(HP508, "create a private IPC namespace")?;
    // A new namespace has no limit. The limit that matters is the one of the original namespace.
    let shmmax = HostRoot::default().number(SHM_MAX);
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWIPC) {
        let reason = format!("no permission to create an IPC namespace (unshare: {errno:?}; CAP_SYS_ADMIN)");
        return output.found(Finding::skip(HP508, size, reason));
    }
    let mut segment = SegmentSteps {
        len,
        steps: Steps { counters: PoolCounters::new(task, size), output },
        reserve: Attempts::default(),
        touch: Attempts::default(),
        release: Attempts::default(),
    };
    rounds(|round| segment.round(round))?;
    let tried: Vec<&Attempts> =
        segment.attempts().into_iter().filter(|attempts| attempts.tries() > 0).collect();
    let finding = match conclude(&tried, segment.steps.counters.moved_by_others()) {
        Err(refusal) => Refusal { outcome: Outcome::Warn, ..refusal }.finding(HP508, size),
        Ok(_) if shmmax.get().is_some_and(|most| most < len.bytes()) => {
            let seen = format!("{SHM_MAX} is {}", shmmax.get().unwrap_or_default());
            let because = Because::new(format!("segments of {} bytes are allowed", len.bytes()), seen)
                .remedy(format!("sysctl -w kernel.shmmax={}", len.bytes()));
            Finding::not_pass(HP508, size, Outcome::Warn, "kernel.shmmax is too small for the pages", because)
        }
        Ok(note) => {
            let summary = "shmget, shmat, touch and remove: all pages given back";
            Finding::pass(HP508, size, with_note(summary, note))
        }
    };
    let finding = with_attempts(finding, &tried)
        .with("hugetlb_shm_group", HostRoot::default().number(SHM_GROUP))
        .with("shmmax", shmmax);
    segment.steps.output.found(finding)
}

/// The steps on a segment.
struct SegmentSteps<'a> {
    len: HugeLen,
    steps: Steps<'a>,
    reserve: Attempts,
    touch: Attempts,
    release: Attempts,
}

impl SegmentSteps<'_> {
    const fn attempts(&self) -> [&Attempts; 3] {
        [&self.reserve, &self.touch, &self.release]
    }

    /// Runs one round. Returns whether another round is needed.
    fn round(&mut self, round: u32) -> io::Result<bool> {
        let (len, size, pages) = (self.len, self.len.size(), self.len.pages());
        let name = format!("shmget(SHM_HUGETLB) of {pages} pages, and shmat");
        let step = Step::Reserve { pages, held: 0 };
        let (around, made) = self.steps.around(HP508, &name, round, step, || {
            let segment = Segment::new(len).map_err(|error| ("shmget", error))?;
            let mapping = segment.attach().map_err(|error| ("shmat", error))?;
            // Mark the segment for removal at once, so that it is removed together with its mapping.
            segment.remove().map_err(|error| ("shmctl(IPC_RMID)", error))?;
            Ok(mapping)
        })?;
        let mapping = match made {
            Ok(mapping) => mapping,
            Err((call, source)) if is(&source, Errno::ENOMEM) => {
                let error = MapError::Map { call, source };
                let refusal = map_refused(&error, len, "by shmget", self.steps.reservable(&around));
                self.reserve.add(Err(refusal), 0, size);
                return Ok(self.reserve.needs_another());
            }
            Err((call, error)) => {
                let because = Because::new(
                    format!("{call} of {pages} pages of {size} is allowed"),
                    format!("{call}: {}", named(&error)),
                );
                let summary = format!("{call} refused: {}", error_name(&error));
                let refusal = Refusal { outcome: Outcome::Warn, summary, because, again: false };
                self.reserve.add(Err(refusal), 0, size);
                return Ok(false);
            }
        };
        self.reserve.add(Ok(around.done(Some(Observed::of(&mapping)), &[])), 0, size);

        let (name, step) = ("write one byte of the first page", Step::Touch { pages: 1 });
        let (around, answer) = self.steps.around(HP508, name, round, step, || touch(&mapping, 0, size))?;
        let touched = u64::from(answer.is_ok());
        let observed = Observed::of(&mapping);
        let attempt = match answer {
            Ok(()) => Ok(around.done(Some(observed.clone()), observed.numa())),
            Err(error) => {
                let expected = "the touch takes the page that was reserved for it";
                Err(touch_refused(&error, "write to the first page", expected, around.free()))
            }
        };
        self.touch.add(attempt, touched, size);

        let step = Step::Release { touched, unused: pages - touched, held: 0 };
        let (around, answer) = self.steps.around(HP508, "shmdt", round, step, || mapping.unmap())?;
        let attempt = match answer {
            Ok(()) => Ok(around.done(None, observed.numa())),
            Err(error) => Err(Refusal::not_unmapped("shmdt", &error)),
        };
        self.release.add(attempt, 0, size);
        Ok(self.attempts().into_iter().any(Attempts::needs_another))
    }
}
