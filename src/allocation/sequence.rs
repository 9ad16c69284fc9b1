//! HP501 to HP505: map, touch, touch, release, map populated, verify, release; the counters after each.
//!
//! The same for every backing. A round whose counters others disturbed is done again, see [`super::trial`].

use std::io;

use nix::errno::Errno;

use super::Task;
use super::backing::{Backing, Held, MapError, touch};
use super::evidence::with_trials;
use super::explain::{counted, map_refused, touch_refused};
use super::meter::Meter;
use super::stage::Stage;
use super::trial::{Patience, Refusal, Trial, Try};
use crate::domain::catalogue::{HP501, HP502, HP503, HP504, HP505};
use crate::domain::check::{Because, CheckId, Finding, Outcome};
use crate::domain::movement::Step;
use crate::domain::part::Telling;
use crate::domain::size::{HugeLen, PageSize};
use crate::linux::errno::is_not_offered;
use crate::linux::hugefile::HugeFileError;
use crate::linux::map::Fill;
use crate::linux::pattern;

/// Everything a sequence knows of itself.
struct Sequence<'a> {
    size: PageSize,
    len: HugeLen,
    /// Pages that the mount may have reserved for its files beforehand.
    held_by_mount: u64,
    backing: Backing<'a>,
    stage: Stage<'a>,
    reserve: Trial,
    touches: [Trial; 2],
    release: Trial,
    populate: Trial,
    release_populated: Trial,
    /// Bytes that kept what was written.
    verified: Option<usize>,
    told: Vec<CheckId>,
}

/// Does the sequence and tells HP501 to HP505.
///
/// # Errors
///
/// Whoever listens is gone; the task asks for no pages.
pub(super) fn run(
    task: &Task,
    size: PageSize,
    backing: Backing<'_>,
    tell: &mut dyn Telling,
) -> io::Result<()> {
    let len = HugeLen::new(size, task.pages).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    Sequence {
        size,
        len,
        held_by_mount: backing.held_by_mount(size),
        backing,
        stage: Stage { meter: Meter::new(task, size), tell },
        reserve: Trial::default(),
        touches: [Trial::default(), Trial::default()],
        release: Trial::default(),
        populate: Trial::default(),
        release_populated: Trial::default(),
        verified: None,
        told: Vec::new(),
    }
    .run()
}

// === impl Sequence ===

impl Sequence<'_> {
    fn run(mut self) -> io::Result<()> {
        let mut patience = Patience::new();
        loop {
            if let Some(reason) = self.stepwise(patience.tries())? {
                return self.skip_all(&reason);
            }
            if self.stepwise_is_settled() || !patience.goes_on(&self.stage.meter) {
                break;
            }
        }
        let stepwise_quiet = patience.quiet();
        self.conclude(HP501, stepwise_quiet)?;
        self.conclude(HP502, stepwise_quiet)?;
        self.conclude(HP503, stepwise_quiet)?;
        let mut patience = Patience::new();
        while self.reserve.was_done() {
            self.at_once(patience.tries())?;
            let settled =
                self.populate.is_settled(self.size) && self.is_settled_or_idle(&self.release_populated);
            if settled || !patience.goes_on(&self.stage.meter) {
                break;
            }
        }
        self.conclude(HP505, patience.quiet())?;
        self.conclude(HP504, stepwise_quiet && patience.quiet())
    }

    /// One round of HP501 to HP504. The reason, if there is nothing to do it with and nobody needs to mind.
    fn stepwise(&mut self, round: u32) -> io::Result<Option<String>> {
        let (backing, len, size, pages) = (self.backing, self.len, self.size, self.len.pages());
        let name = format!("map {} {}", counted(pages), backing.describe());
        let (around, mapped) = self.stage.around(HP501, &name, round, || backing.map(len, Fill::OnTouch))?;
        let mapped = match mapped {
            Ok(mapped) => mapped,
            Err(MapError::File(error)) if backing == Backing::Unattached && is_forbidden(&error) => {
                return Ok(Some(format!("no --dir, and no right to make a hugetlbfs of our own ({error})")));
            }
            Err(error) => {
                let refusal = map_refused(&error, len, &backing.describe(), self.stage.room(&around));
                self.reserve.push(Try::Refused(refusal));
                return Ok(None);
            }
        };
        let mut sight = mapped.look();
        let step = Step::Reserve { pages, held: self.held_by_mount };
        let done = self.stage.done(&around, &step, Some((sight.clone(), 0)))?;
        self.reserve.push(done);
        self.tell_if_settled(HP501)?;

        let mut touched = 0;
        for (index, id) in [(0, HP502), (1, HP503)] {
            if touched < index || index >= pages {
                break;
            }
            let which = if index == 0 { "first" } else { "second" };
            let name = format!("write one byte of the {which} page");
            let (around, answer) =
                self.stage.around(id, &name, round, || touch(&mapped.mapping, index, size))?;
            let one = match answer {
                Ok(()) => {
                    touched += 1;
                    let now = mapped.look();
                    let placed = now.placed_since(&sight, 1);
                    sight = now;
                    self.stage.done(&around, &Step::Touch(placed), Some((sight.clone(), touched)))?
                }
                Err(error) => {
                    let what = if index == 0 { "the first byte" } else { "one byte of the second page" };
                    let expected = "the touch takes the page that was reserved for it";
                    Try::Refused(touch_refused(&error, what, expected, around.free()))
                }
            };
            self.trial(id).push(one);
            self.tell_if_settled(id)?;
        }

        let step = Step::Release {
            placed: sight.placed(touched),
            unused: pages.saturating_sub(touched),
            held: self.held_by_mount,
        };
        let one = self.release(mapped, "unmap and close", round, &step)?;
        self.release.push(one);
        Ok(None)
    }

    /// One round of HP505.
    fn at_once(&mut self, round: u32) -> io::Result<()> {
        let (backing, len, pages) = (self.backing, self.len, self.len.pages());
        let name = format!("map {} {} with MAP_POPULATE", counted(pages), backing.describe());
        let (around, mapped) = self.stage.around(HP505, &name, round, || backing.map(len, Fill::AtOnce))?;
        let mapped = match mapped {
            Ok(mapped) => mapped,
            Err(error) => {
                let refusal = map_refused(&error, len, &backing.describe(), self.stage.room(&around));
                self.populate.push(Try::Refused(refusal));
                return Ok(());
            }
        };
        let sight = mapped.look();
        let held = sight.pages(self.size);
        let step = Step::Populate { placed: sight.placed(pages), held: self.held_by_mount };
        let one = self.stage.done(&around, &step, Some((sight.clone(), pages)))?;
        let fewer = held.is_some_and(|held| held < pages);
        let kept = if fewer {
            Try::Refused(self.fewer_than_asked(&mapped, held.unwrap_or(0), round)?)
        } else {
            self.verify(&mapped, round)?.map_or(one, Try::Refused)
        };
        self.populate.push(kept);
        self.tell_if_settled(HP505)?;
        let in_use = if fewer { mapped.look() } else { sight };
        let touched = in_use.pages(self.size).unwrap_or(pages);
        let step = Step::Release {
            placed: in_use.placed(touched),
            unused: pages.saturating_sub(touched),
            held: self.held_by_mount,
        };
        let one = self.release(mapped, "unmap and close what was populated", round, &step)?;
        self.release_populated.push(one);
        Ok(())
    }

    /// MAP_POPULATE fails without a word: asks for the pages again, by the call that has one.
    fn fewer_than_asked(&mut self, mapped: &Held, held: u64, round: u32) -> io::Result<Refusal> {
        let pages = self.len.pages();
        let name = "ask for the pages that MAP_POPULATE left out";
        let (around, answer) =
            self.stage.around(HP505, name, round, || mapped.mapping.populate_write(0..pages))?;
        let what = format!("MAP_POPULATE took {held} of {pages}, the rest");
        let expected = format!("MAP_POPULATE takes {} at once", counted(pages));
        Ok(match answer {
            Err(error) if !is_not_offered(&error) => touch_refused(&error, &what, &expected, around.free()),
            _ => Refusal {
                outcome: Outcome::Fail,
                summary: format!("MAP_POPULATE took {held} of {}", counted(pages)),
                because: Because::new(expected, format!("the mapping holds {held}")),
                again: true,
            },
        })
    }

    /// Writes and reads back, once. Every page is there: smaps said so, and the kernel is asked again where it can be.
    fn verify(&mut self, mapped: &Held, round: u32) -> io::Result<Option<Refusal>> {
        if self.verified.is_some() {
            return Ok(None);
        }
        let name = "write and read back both ends and the middle of each page";
        let len = self.len;
        let (_, answer) = self.stage.around(HP505, name, round, || {
            match mapped.mapping.populate_write(0..len.pages()) {
                Err(error) if !is_not_offered(&error) => return Err(error),
                _ => {}
            }
            let page_bytes = usize::try_from(len.size().bytes()).unwrap_or(usize::MAX);
            Ok(pattern::keeps(&mapped.mapping.volatile(), page_bytes, mapped.mapping.address()))
        })?;
        Ok(match answer {
            Err(error) => {
                let expected = "a page that MAP_POPULATE took is there";
                Some(touch_refused(&error, "a page that was populated", expected, None))
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
                    format!("other bytes came back from byte {} of page {}", lost.offset, lost.page),
                )
                .remedy("the memory is broken: see HP108, and test it"),
                again: false,
            }),
        })
    }

    fn release(&mut self, held: Held, name: &str, round: u32, step: &Step) -> io::Result<Try> {
        let (around, answer) = self.stage.around(HP504, name, round, || held.release())?;
        match answer {
            Ok(()) => self.stage.done(&around, step, None),
            Err(error) => Ok(Try::Refused(Refusal::not_unmapped("munmap", &error))),
        }
    }

    // --- findings ---

    fn trial(&mut self, id: CheckId) -> &mut Trial {
        let [first, second] = &mut self.touches;
        match id {
            HP501 => &mut self.reserve,
            HP502 => first,
            HP503 => second,
            HP505 => &mut self.populate,
            _ => &mut self.release,
        }
    }

    fn is_settled_or_idle(&self, trial: &Trial) -> bool {
        !trial.was_done() || trial.is_settled(self.size)
    }

    fn stepwise_is_settled(&self) -> bool {
        let [first, second] = &self.touches;
        self.reserve.is_settled(self.size)
            && [first, second, &self.release]
                .iter()
                .all(|trial| trial.tries() == 0 || trial.is_settled(self.size))
    }

    fn tell_if_settled(&mut self, id: CheckId) -> io::Result<()> {
        let size = self.size;
        if self.trial(id).is_settled(size) { self.conclude(id, false) } else { Ok(()) }
    }

    /// Tells what became of `id`, unless that was told.
    fn conclude(&mut self, id: CheckId, quiet: bool) -> io::Result<()> {
        if self.told.contains(&id) {
            return Ok(());
        }
        self.told.push(id);
        let (size, pages) = (self.size, self.len.pages());
        let [first, second] = &self.touches;
        let (trials, summary): (Vec<&Trial>, String) = match id {
            HP501 => (vec![&self.reserve], format!("reserve +{pages}")),
            HP502 => (vec![first], "first byte -1".to_owned()),
            HP503 => (vec![second], "second -1".to_owned()),
            HP505 => (vec![&self.populate], format!("populate -{pages}")),
            _ => (vec![&self.release, &self.release_populated], "all given back".to_owned()),
        };
        let tried: Vec<_> = trials.into_iter().filter(|trial| trial.tries() > 0).collect();
        let finding = if tried.is_empty() {
            let reason = if id == HP503 && pages < 2 { "only one page to be had" } else { "not reached" };
            Finding::skip(id, size, reason)
        } else {
            tried
                .iter()
                .find_map(|trial| trial.conclude(size, quiet).err())
                .map_or_else(|| Finding::pass(id, size, summary), |refusal| refusal.finding(id, size))
        };
        let mut finding = with_trials(finding.with("pages", pages), &tried, size);
        if let (HP505, Some(bytes)) = (id, self.verified) {
            finding = finding.with("verified_bytes", bytes);
        }
        self.stage.tell.found(finding)
    }

    fn skip_all(&mut self, reason: &str) -> io::Result<()> {
        for id in [HP501, HP502, HP503, HP504, HP505] {
            self.stage.tell.found(Finding::skip(id, self.size, reason))?;
        }
        Ok(())
    }
}

/// Whether a hugetlbfs of our own is what this process may not, or this kernel cannot, make.
fn is_forbidden(error: &HugeFileError) -> bool {
    matches!(error.errno(), Some(Errno::EPERM | Errno::EACCES | Errno::ENOSYS | Errno::ENODEV))
}
