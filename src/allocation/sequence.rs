//! Runs the steps of HP501 to HP505: map, touch the first page, touch the second page, release; then map with
//! MAP_POPULATE, verify, release.
//!
//! The steps are the same for every source of pages. Steps after which the counters did not move as documented are
//! repeated; see [`super::attempts`].

use std::io;

use nix::errno::Errno;

use super::AllocationTask;
use super::attempts::{Attempts, Done, Refusal, Steps, conclude, rounds, with_note};
use super::backing::{Backing, Held, MapError, Observed, touch};
use super::evidence::with_attempts;
use super::explain::{counted, map_refused, touch_refused};
use super::pool::PoolCounters;
use hugeprobe_domain::catalogue::{HP501, HP502, HP503, HP504, HP505};
use hugeprobe_domain::check::{Because, CheckId, Finding, Outcome};
use hugeprobe_domain::movement::Step;
use hugeprobe_domain::part::WorkerOutput;
use hugeprobe_domain::size::{HugeLen, PageSize};
use hugeprobe_linux::errno::is_not_offered;
use hugeprobe_linux::hugefile::HugeFileError;
use hugeprobe_linux::map::Fill;
use hugeprobe_linux::pattern;

/// The sequence on one source of pages.
struct Sequence<'a> {
    size: PageSize,
    len: HugeLen,
    /// The number of pages that the mount may have reserved for its files beforehand.
    held_by_mount: u64,
    backing: Backing<'a>,
    steps: Steps<'a>,
    reserve: Attempts,
    touches: [Attempts; 2],
    release: Attempts,
    populate: Attempts,
    release_populated: Attempts,
    /// The number of bytes that were written and read back without a difference.
    verified: Option<usize>,
    reported: Vec<CheckId>,
}

/// Runs the sequence and reports HP501 to HP505.
///
/// # Errors
///
/// The reader of `output` is gone, or the task requests no pages.
pub(super) fn run(
    task: &AllocationTask,
    size: PageSize,
    backing: Backing<'_>,
    output: &mut dyn WorkerOutput,
) -> io::Result<()> {
    let len = HugeLen::new(size, task.pages).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut sequence = Sequence {
        size,
        len,
        held_by_mount: backing.held_by_mount(size),
        backing,
        steps: Steps { counters: PoolCounters::new(task, size), output },
        reserve: Attempts::default(),
        touches: [Attempts::default(), Attempts::default()],
        release: Attempts::default(),
        populate: Attempts::default(),
        release_populated: Attempts::default(),
        verified: None,
        reported: Vec::new(),
    };
    rounds(|round| sequence.round(round))?;
    [HP501, HP502, HP503, HP505, HP504].into_iter().try_for_each(|id| sequence.conclude(id))
}

// === impl Sequence ===

impl Sequence<'_> {
    /// Runs one round of the steps that have no final result yet. Returns whether another round is needed.
    fn round(&mut self, round: u32) -> io::Result<bool> {
        if round == 1 || self.stepwise_needs_another() {
            self.stepwise(round)?;
        }
        if self.reserve.was_done() && (self.populate.tries() == 0 || self.populate_needs_another()) {
            self.at_once(round)?;
        }
        Ok(self.stepwise_needs_another() || self.populate_needs_another())
    }

    fn stepwise_needs_another(&self) -> bool {
        let [first, second] = &self.touches;
        [&self.reserve, first, second, &self.release].into_iter().any(Attempts::needs_another)
    }

    fn populate_needs_another(&self) -> bool {
        self.populate.needs_another() || self.release_populated.needs_another()
    }

    /// Runs the steps of HP501 to HP504.
    fn stepwise(&mut self, round: u32) -> io::Result<()> {
        let (backing, len, size, pages) = (self.backing, self.len, self.size, self.len.pages());
        let name = format!("map {} {}", counted(pages), backing.describe());
        let step = Step::Reserve { pages, held: self.held_by_mount };
        let (around, mapped) =
            self.steps.around(HP501, &name, round, step, || backing.map(len, Fill::OnTouch))?;
        let mapped = match mapped {
            Ok(mapped) => mapped,
            Err(MapError::File(error)) if backing == Backing::Unattached && is_forbidden(&error) => {
                return self.skip_all(&format!(
                    "no --dir, and no permission to create a private hugetlbfs ({error})"
                ));
            }
            Err(error) => {
                let reservable = self.steps.reservable(&around);
                let refusal = map_refused(&error, len, &backing.describe(), reservable);
                self.reserve.add(Err(refusal), 0, size);
                return Ok(());
            }
        };
        let mut observed = mapped.observe();
        self.reserve.add(Ok(around.done(Some(observed.clone()), &[])), 0, size);
        self.report_if_final(HP501)?;

        let mut touched = 0;
        for (index, id) in [(0, HP502), (1, HP503)] {
            if touched < index || index >= pages {
                break;
            }
            let which = if index == 0 { "first" } else { "second" };
            let name = format!("write one byte of the {which} page");
            let step = Step::Touch { pages: 1 };
            let (around, answer) =
                self.steps.around(id, &name, round, step, || touch(&mapped.mapping, index, size))?;
            let attempt = match answer {
                Ok(()) => {
                    touched += 1;
                    let now = mapped.observe();
                    let numa = now.numa_since(&observed);
                    observed = now.clone();
                    Ok(around.done(Some(now), &numa))
                }
                Err(error) => {
                    let what =
                        if index == 0 { "write to the first page" } else { "write to the second page" };
                    let expected = "the touch takes the page that was reserved for it";
                    Err(touch_refused(&error, what, expected, around.free()))
                }
            };
            self.attempts(id).add(attempt, touched, size);
            self.report_if_final(id)?;
        }
        let name = "unmap and close";
        let released = self.release(mapped, &observed, touched, name, round)?;
        self.release.add(released, 0, size);
        Ok(())
    }

    /// Runs the steps of HP505.
    fn at_once(&mut self, round: u32) -> io::Result<()> {
        let (backing, len, size, pages) = (self.backing, self.len, self.size, self.len.pages());
        let name = format!("map {} {} with MAP_POPULATE", counted(pages), backing.describe());
        let step = Step::Populate { pages, held: self.held_by_mount };
        let (around, mapped) =
            self.steps.around(HP505, &name, round, step, || backing.map(len, Fill::AtOnce))?;
        let mapped = match mapped {
            Ok(mapped) => mapped,
            Err(error) => {
                let reservable = self.steps.reservable(&around);
                let refusal = map_refused(&error, len, &backing.describe(), reservable);
                self.populate.add(Err(refusal), 0, size);
                return Ok(());
            }
        };
        let mut observed = mapped.observe();
        let held = observed.pages(size);
        let fewer = held.filter(|held| *held < pages);
        let refusal = match fewer {
            Some(held) => Some(self.fewer_than_asked(&mapped, held, round)?),
            None => self.verify(&mapped, round)?,
        };
        let attempt = refusal.map_or_else(|| Ok(around.done(Some(observed.clone()), observed.numa())), Err);
        self.populate.add(attempt, pages, size);
        self.report_if_final(HP505)?;
        if fewer.is_some() {
            observed = mapped.observe();
        }
        let touched = observed.pages(size).unwrap_or(pages);
        let name = "unmap and close what was populated";
        let released = self.release(mapped, &observed, touched, name, round)?;
        self.release_populated.add(released, 0, size);
        Ok(())
    }

    /// Returns the refusal for a MAP_POPULATE that allocated too few pages. MAP_POPULATE reports no error, so this
    /// populates the pages again with MADV_POPULATE_WRITE, which does.
    fn fewer_than_asked(&mut self, mapped: &Held, held: u64, round: u32) -> io::Result<Refusal> {
        let pages = self.len.pages();
        let name = "populate the pages that MAP_POPULATE left out";
        let step = Step::Touch { pages: pages.saturating_sub(held) };
        let (around, answer) =
            self.steps.around(HP505, name, round, step, || mapped.mapping.populate_write(0..pages))?;
        let what = format!("MAP_POPULATE took {held} of {pages}; the rest was");
        let expected = format!("MAP_POPULATE takes {} at once", counted(pages));
        Ok(match answer {
            Err(error) if !is_not_offered(&error) => touch_refused(&error, &what, &expected, around.free()),
            _ => Refusal {
                outcome: Outcome::Fail,
                summary: format!("MAP_POPULATE took {held} of {}", counted(pages)),
                because: Because::new(expected, format!("the mapping has {held}")),
                again: true,
            },
        })
    }

    /// Writes a pattern and reads it back, unless that has been done. All pages are allocated: smaps has shown it, and
    /// if possible this checks it again with MADV_POPULATE_WRITE.
    fn verify(&mut self, mapped: &Held, round: u32) -> io::Result<Option<Refusal>> {
        if self.verified.is_some() {
            return Ok(None);
        }
        let name = "write and read back both ends and the middle of each page";
        let len = self.len;
        let (_, answer) = self.steps.around(HP505, name, round, Step::Nothing, || {
            match mapped.mapping.populate_write(0..len.pages()) {
                Err(error) if !is_not_offered(&error) => return Err(error),
                _ => {}
            }
            let page_bytes = usize::try_from(len.size().bytes()).unwrap_or(usize::MAX);
            Ok(pattern::keeps(&mapped.mapping.volatile(), page_bytes, mapped.mapping.address()))
        })?;
        Ok(match answer {
            Err(error) => {
                let expected = "a page that MAP_POPULATE took is present";
                Some(touch_refused(&error, "access to a populated page", expected, None))
            }
            Ok(Ok(bytes)) => {
                self.verified = Some(bytes);
                None
            }
            Ok(Err(lost)) => Some(Refusal {
                outcome: Outcome::Fail,
                summary: format!("page {} did not keep what was written", lost.page),
                because: Because::new(
                    "each page keeps what is written",
                    format!("different bytes were read from byte {} of page {}", lost.offset, lost.page),
                )
                .remedy("the memory is broken: see HP108, and run a memory test"),
                again: false,
            }),
        })
    }

    /// Unmaps the memory and closes the file.
    fn release(
        &mut self,
        held: Held,
        observed: &Observed,
        touched: u64,
        name: &str,
        round: u32,
    ) -> io::Result<Result<Done, Refusal>> {
        let unused = self.len.pages().saturating_sub(touched);
        let step = Step::Release { touched, unused, held: self.held_by_mount };
        let (around, answer) = self.steps.around(HP504, name, round, step, || held.release())?;
        Ok(match answer {
            Ok(()) => Ok(around.done(None, observed.numa())),
            Err(error) => Err(Refusal::not_unmapped("munmap", &error)),
        })
    }

    // --- findings ---

    fn attempts(&mut self, id: CheckId) -> &mut Attempts {
        let [first, second] = &mut self.touches;
        match id {
            HP501 => &mut self.reserve,
            HP502 => first,
            HP503 => second,
            HP505 => &mut self.populate,
            _ => &mut self.release,
        }
    }

    /// Reports `id` now if its result is final, because a later step may kill this process.
    fn report_if_final(&mut self, id: CheckId) -> io::Result<()> {
        if self.attempts(id).needs_another() { Ok(()) } else { self.conclude(id) }
    }

    /// Reports `id`, unless it has been reported.
    fn conclude(&mut self, id: CheckId) -> io::Result<()> {
        if self.reported.contains(&id) {
            return Ok(());
        }
        self.reported.push(id);
        let (size, pages) = (self.size, self.len.pages());
        let moved_by_others = self.steps.counters.moved_by_others();
        let [first, second] = &self.touches;
        let (attempts, summary): (Vec<&Attempts>, String) = match id {
            HP501 => (vec![&self.reserve], format!("reserve +{pages}")),
            HP502 => (vec![first], "first byte -1".to_owned()),
            HP503 => (vec![second], "second -1".to_owned()),
            HP505 => (vec![&self.populate], format!("populate -{pages}")),
            _ => (vec![&self.release, &self.release_populated], "all given back".to_owned()),
        };
        let tried: Vec<_> = attempts.into_iter().filter(|attempts| attempts.tries() > 0).collect();
        let finding = if tried.is_empty() {
            let reason = if id == HP503 && pages < 2 { "only one page is available" } else { "not reached" };
            Finding::skip(id, size, reason)
        } else {
            conclude(&tried, moved_by_others).map_or_else(
                |refusal| refusal.finding(id, size),
                |note| Finding::pass(id, size, with_note(summary, note)),
            )
        };
        let mut finding = with_attempts(finding.with("pages", pages), &tried);
        if let (HP505, Some(bytes)) = (id, self.verified) {
            finding = finding.with("verified_bytes", bytes);
        }
        self.steps.output.found(finding)
    }

    fn skip_all(&mut self, reason: &str) -> io::Result<()> {
        for id in [HP501, HP502, HP503, HP504, HP505] {
            self.reported.push(id);
            self.steps.output.found(Finding::skip(id, self.size, reason))?;
        }
        Ok(())
    }
}

/// Returns whether a private hugetlbfs cannot be created because this process lacks the permission or the kernel does
/// not support it.
fn is_forbidden(error: &HugeFileError) -> bool {
    matches!(error.errno(), Some(Errno::EPERM | Errno::EACCES | Errno::ENOSYS | Errno::ENODEV))
}
