//! HP508: SysV shared memory of huge pages, in an IPC namespace of this process's own.
//!
//! A segment outlives a maker that is killed, and keeps its reservation for ever; in a namespace that dies with the
//! worker nothing is left. No right to make one: `skip`. Refused: `warn`, because vhost-user does without SysV.

use std::io;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

use super::Task;
use super::backing::{MapError, Sight, touch};
use super::evidence::with_trials;
use super::explain::{error_name, map_refused, touch_refused};
use super::meter::Meter;
use super::stage::Stage;
use super::trial::{Patience, Refusal, Trial, Try};
use crate::domain::catalogue::HP508;
use crate::domain::check::{Because, Finding, Outcome};
use crate::domain::movement::{Placed, Step};
use crate::domain::part::Telling;
use crate::domain::size::{HugeLen, PageSize};
use crate::linux::errno::{is, named};
use crate::linux::map::Segment;
use crate::linux::root::HostRoot;

const SHM_GROUP: &str = "/proc/sys/vm/hugetlb_shm_group";
const SHM_MAX: &str = "/proc/sys/kernel/shmmax";

/// Does it and tells HP508.
///
/// # Errors
///
/// Whoever listens is gone; the task asks for no pages.
pub(super) fn run(task: &Task, size: PageSize, tell: &mut dyn Telling) -> io::Result<()> {
    let len = HugeLen::new(size, task.pages).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    if len.pages() < 2 {
        return tell.found(Finding::skip(HP508, size, "only one page to be had"));
    }
    tell.step(HP508, "make an IPC namespace of our own")?;
    // A namespace that is new has no limit: what counts is that of the one we come from.
    let shmmax = HostRoot::default().number(SHM_MAX);
    if let Err(errno) = unshare(CloneFlags::CLONE_NEWIPC) {
        let reason = format!("no right to make an IPC namespace (unshare: {errno:?}; CAP_SYS_ADMIN)");
        return tell.found(Finding::skip(HP508, size, reason));
    }
    let mut rounds = Rounds {
        len,
        stage: Stage { meter: Meter::new(task, size), tell },
        reserve: Trial::default(),
        touch: Trial::default(),
        release: Trial::default(),
    };
    let mut patience = Patience::new();
    loop {
        rounds.round(patience.tries())?;
        let settled = rounds.trials().iter().all(|trial| trial.tries() == 0 || trial.is_settled(size));
        if settled || !patience.goes_on(&rounds.stage.meter) {
            break;
        }
    }
    let trials = rounds.trials();
    let tried: Vec<&Trial> = trials.into_iter().filter(|trial| trial.tries() > 0).collect();
    let wrong = tried.iter().find_map(|trial| trial.conclude(size, patience.quiet()).err());
    let finding = match wrong {
        Some(refusal) => Refusal { outcome: Outcome::Warn, ..refusal }.finding(HP508, size),
        None if shmmax.get().is_some_and(|most| most < len.bytes()) => {
            let seen = format!("{SHM_MAX} is {}", shmmax.get().unwrap_or_default());
            let because = Because::new(format!("segments of {} bytes are allowed", len.bytes()), seen)
                .remedy(format!("sysctl -w kernel.shmmax={}", len.bytes()));
            Finding::not_pass(HP508, size, Outcome::Warn, "kernel.shmmax is too small for the pages", because)
        }
        None => Finding::pass(HP508, size, "shmget, shmat, touch and remove: all given back"),
    };
    let finding = with_trials(finding, &tried, size)
        .with("hugetlb_shm_group", HostRoot::default().number(SHM_GROUP))
        .with("shmmax", shmmax);
    rounds.stage.tell.found(finding)
}

struct Rounds<'a> {
    len: HugeLen,
    stage: Stage<'a>,
    reserve: Trial,
    touch: Trial,
    release: Trial,
}

impl Rounds<'_> {
    const fn trials(&self) -> [&Trial; 3] {
        [&self.reserve, &self.touch, &self.release]
    }

    fn round(&mut self, round: u32) -> io::Result<()> {
        let (len, pages) = (self.len, self.len.pages());
        let name = format!("shmget(SHM_HUGETLB) of {pages} pages, and shmat");
        let (around, made) = self.stage.around(HP508, &name, round, || {
            let segment = Segment::new(len).map_err(|error| ("shmget", error))?;
            let mapping = segment.attach().map_err(|error| ("shmat", error))?;
            // Marked at once: it goes with its mapping.
            segment.remove().map_err(|error| ("shmctl(IPC_RMID)", error))?;
            Ok(mapping)
        })?;
        let mapping = match made {
            Ok(mapping) => mapping,
            Err((call, source)) if is(&source, Errno::ENOMEM) => {
                let error = MapError::Map { call, source };
                let refusal = map_refused(&error, len, "by shmget", self.stage.room(&around));
                self.reserve.push(Try::Refused(refusal));
                return Ok(());
            }
            Err((call, error)) => {
                let because = Because::new(
                    format!("{call} of {pages} pages of {} is allowed", len.size()),
                    format!("{call}: {}", named(&error)),
                );
                let summary = format!("{call} refused: {}", error_name(&error));
                self.reserve.push(Try::Refused(Refusal {
                    outcome: Outcome::Warn,
                    summary,
                    because,
                    again: false,
                }));
                return Ok(());
            }
        };
        let step = Step::Reserve { pages, held: 0 };
        let done = self.stage.done(&around, &step, Some((Sight::of(&mapping), 0)))?;
        self.reserve.push(done);

        let (around, answer) = self
            .stage
            .around(HP508, "write one byte of the first page", round, || touch(&mapping, 0, len.size()))?;
        let sight = Sight::of(&mapping);
        let touched = u64::from(answer.is_ok());
        let one = match answer {
            Ok(()) => self.stage.done(&around, &Step::Touch(sight.placed(1)), Some((sight.clone(), 1)))?,
            Err(error) => {
                let expected = "the touch takes the page that was reserved for it";
                Try::Refused(touch_refused(&error, "the first byte", expected, around.free()))
            }
        };
        self.touch.push(one);

        let placed = if touched == 1 { sight.placed(1) } else { Placed::default() };
        let step = Step::Release { placed, unused: pages - touched, held: 0 };
        let (around, answer) = self.stage.around(HP508, "shmdt", round, || mapping.unmap())?;
        let one = match answer {
            Ok(()) => self.stage.done(&around, &step, None)?,
            Err(error) => Try::Refused(Refusal::not_unmapped("shmdt", &error)),
        };
        self.release.push(one);
        Ok(())
    }
}
