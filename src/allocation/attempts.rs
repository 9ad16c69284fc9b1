//! Runs steps on real pages: announces each one, runs it, and judges it by what the call returned and what the mapping
//! of this process shows.
//!
//! The pool's counters also change with every other process of the machine, so they are evidence but do not decide
//! alone. If they do not move as documented, the step is repeated. They count against a step that worked only if they
//! are off by the same number each time while nothing else moves them. Otherwise other processes moved them, and the
//! finding says so.

use std::io;
use std::thread;
use std::time::Duration;

use super::backing::Observed;
use super::pool::{PoolCounters, Reservable};
use hugeprobe_domain::check::{Because, CheckId, Finding, Outcome};
use hugeprobe_domain::counters::{Counters, Movement};
use hugeprobe_domain::movement::Step;
use hugeprobe_domain::part::WorkerOutput;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::{PageSize, human_bytes};
use hugeprobe_linux::errno::named;

/// The maximum number of attempts at a step.
pub(super) const ATTEMPTS: u32 = 3;
/// The pause between two rounds of steps, so that changes by other processes show in the counters.
const PAUSE: Duration = Duration::from_millis(20);
/// The maximum length in characters of the text about one attempt's counters: a machine may have a thousand NUMA nodes.
const LONGEST_OFF_BY: usize = 120;

/// What steps need: the pool's counters, and the output to which steps are announced.
pub(super) struct Steps<'a> {
    pub(super) counters: PoolCounters,
    pub(super) output: &'a mut dyn WorkerOutput,
}

/// A step that was attempted, with the counters before and after it as far as they could be read.
#[derive(Debug)]
pub(super) struct Around {
    name: String,
    step: Step,
    before: Result<Counters, String>,
    after: Result<Counters, String>,
}

/// All attempts at one step.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    tries: u32,
    done: Vec<Done>,
    refused: Vec<Refusal>,
}

/// A step that succeeded.
#[derive(Debug)]
pub(super) struct Done {
    /// How the counters moved, or why that is unknown.
    pub(super) movement: Result<Movement, String>,
    /// The mapping afterwards; `None` if the step removed it.
    pub(super) mapping: Option<Observed>,
}

/// A step that was refused, or that did not have the intended result.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// `Fail`, or `Unknown` if other processes may be the cause.
    pub(super) outcome: Outcome,
    /// A short description.
    pub(super) summary: String,
    /// The full description.
    pub(super) because: Because,
    /// Whether another attempt may succeed.
    pub(super) again: bool,
}

// === impl Steps ===

impl Steps<'_> {
    /// Announces a step, runs it, and reads the counters just before and just after. From the second round on, the name
    /// of the step shows the number of the round.
    pub(super) fn around<T>(
        &mut self,
        id: CheckId,
        name: &str,
        round: u32,
        step: Step,
        act: impl FnOnce() -> T,
    ) -> io::Result<(Around, T)> {
        let name = if round > 1 { format!("{name} (try {round})") } else { name.to_owned() };
        self.output.page_step(id, &name, step)?;
        let before = self.counters.before_step();
        let answer = act();
        let after = self.counters.after_step();
        Ok((Around { name, step, before, after }, answer))
    }

    /// Returns what could be reserved before and after a step, as far as it is known.
    pub(super) fn reservable(&self, around: &Around) -> [Option<Reservable>; 2] {
        [&around.before, &around.after]
            .map(|counters| Some(self.counters.reservable(counters.as_ref().ok()?)))
    }
}

/// Calls `round` with the number of the round, from 1, until it returns false, and at most [`ATTEMPTS`] times.
pub(super) fn rounds(mut round: impl FnMut(u32) -> io::Result<bool>) -> io::Result<()> {
    for number in 1..=ATTEMPTS {
        if !round(number)? {
            break;
        }
        if number < ATTEMPTS {
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}

// === impl Around ===

impl Around {
    /// Returns the number of free pages after the step, if known.
    pub(super) fn free(&self) -> Option<u64> {
        self.after.as_ref().ok().map(|counters| counters.free)
    }

    /// Records that the step succeeded. `mapping` is the mapping after it. `numa` says on which nodes the pages are
    /// that were allocated or freed.
    pub(super) fn done(self, mapping: Option<Observed>, numa: &[(u32, u64)]) -> Done {
        let Self { name, step, before, after } = self;
        let movement = before.and_then(|before| {
            let after = after?;
            let expected = step.expect(&before, &after, numa);
            Ok(Movement { step: name, documented: step.documented(), before, expected, after })
        });
        Done { movement, mapping }
    }
}

// === impl Attempts ===

impl Attempts {
    /// Adds one attempt. If the step succeeded and left a mapping, the mapping should hold `pages` pages of `size`.
    pub(super) fn add(&mut self, attempt: Result<Done, Refusal>, pages: u64, size: PageSize) {
        self.tries += 1;
        match attempt {
            Ok(done) => {
                self.refused
                    .extend(done.mapping.as_ref().and_then(|mapping| judge(mapping, pages, size).err()));
                self.done.push(done);
            }
            Err(refusal) => self.refused.push(refusal),
        }
    }

    /// Returns whether another attempt may change the outcome.
    pub(super) fn needs_another(&self) -> bool {
        let is_final = self.refused.iter().any(|refusal| !refusal.again);
        !is_final && self.tries > 0 && !self.done.iter().any(|done| !done.is_off())
    }

    /// Returns whether the step succeeded at least once.
    pub(super) const fn was_done(&self) -> bool {
        !self.done.is_empty()
    }

    /// Returns the number of attempts.
    pub(super) const fn tries(&self) -> u32 {
        self.tries
    }

    /// Returns the attempt to show: the one that went as documented, or else the last one that succeeded.
    pub(super) fn shown(&self) -> Option<&Done> {
        self.done.iter().find(|done| !done.is_off()).or_else(|| self.done.last())
    }

    /// Returns by how much the counters were off, for each attempt in which they were.
    pub(super) fn off_by(&self) -> impl Iterator<Item = String> {
        let movements = self.done.iter().filter_map(|done| done.movement.as_ref().ok());
        let off = movements.map(Movement::off_by).filter(|off_by| !off_by.is_empty());
        off.map(|off_by| off_by.chars().take(LONGEST_OFF_BY).collect())
    }

    /// Returns `Ok` if the step works, with a note if the counters did not show it.
    fn conclude(&self, moved_by_others: bool) -> Result<Option<String>, Refusal> {
        if let Some(refusal) = self.refused.iter().find(|refusal| !refusal.again) {
            return Err(refusal.clone());
        }
        let Some(last) = self.done.last() else { return self.conclude_refused(moved_by_others) };
        if self.done.iter().any(|done| !done.is_off()) {
            let why = self.shown().and_then(|done| done.movement.as_ref().err());
            return Ok(why.map(|why| format!("the counters cannot be read: {why}")));
        }
        let mut off_by: Vec<_> = self.off_by().collect();
        let is_each_time = off_by.len() == ATTEMPTS as usize;
        off_by.dedup();
        match (off_by.as_slice(), &last.movement) {
            ([off_by], Ok(movement)) if is_each_time && !moved_by_others => {
                Err(contradiction(movement, off_by))
            }
            _ => Ok(Some("other processes moved the counters".to_owned())),
        }
    }

    /// Concludes about a step that was refused each time.
    fn conclude_refused(&self, moved_by_others: bool) -> Result<Option<String>, Refusal> {
        let worst = self.refused.iter().max_by_key(|refusal| refusal.outcome == Outcome::Unknown);
        let Some(worst) = worst.cloned() else { return Ok(None) };
        let outcome = if moved_by_others { Outcome::Unknown } else { worst.outcome };
        Err(Refusal { outcome, ..worst })
    }
}

/// Combines the conclusions about several steps: returns the first refusal, or else the first note.
pub(super) fn conclude(all: &[&Attempts], moved_by_others: bool) -> Result<Option<String>, Refusal> {
    let notes: Vec<_> =
        all.iter().map(|attempts| attempts.conclude(moved_by_others)).collect::<Result<_, _>>()?;
    Ok(notes.into_iter().flatten().next())
}

/// Returns a summary with the note, if there is one, in parentheses.
pub(super) fn with_note(summary: impl Into<String>, note: Option<String>) -> String {
    let summary = summary.into();
    note.map_or_else(|| summary.clone(), |note| format!("{summary} ({note})"))
}

/// Checks the page size and the number of pages of the mapping. No other process changes what a mapping shows, so this
/// is decisive.
fn judge(mapping: &Observed, pages: u64, size: PageSize) -> Result<(), Refusal> {
    let expected = format!("the mapping has {pages} pages of the size");
    let wrong = |seen: String| Refusal {
        outcome: Outcome::Fail,
        summary: format!("the mapping is not as requested: {seen}"),
        because: Because::new(expected.as_str(), seen),
        again: false,
    };
    match &mapping.smaps {
        Reading::Known(facts) if facts.page_bytes != size.bytes() => {
            Err(wrong(format!("its pages are {} each", human_bytes(facts.page_bytes))))
        }
        Reading::Known(facts) if facts.held_bytes() != pages.saturating_mul(size.bytes()) => {
            Err(wrong(format!("it has {} of huge pages", human_bytes(facts.held_bytes()))))
        }
        Reading::Known(_) => Ok(()),
        other => Err(Refusal {
            outcome: Outcome::Unknown,
            summary: "the mapping cannot be read in /proc/self/smaps".to_owned(),
            because: Because::new(expected.as_str(), other.why_unknown().unwrap_or_default())
                .remedy("make /proc readable for this process"),
            again: false,
        }),
    }
}

fn contradiction(movement: &Movement, off_by: &str) -> Refusal {
    let documented = format!("{}: {}", movement.step, movement.documented);
    let seen = format!(
        "off by {off_by}, {ATTEMPTS} times in a row, while nothing else moved and the mapping itself was correct"
    );
    Refusal {
        outcome: Outcome::Fail,
        summary: format!("the counters did not move as documented: {off_by}"),
        because: Because::new(documented, seen).remedy(
            "the kernel's counters contradict its own mapping: look for a kernel update, and do not rely on the \
             counters of this pool (in a container: check that /sys is the machine's own)",
        ),
        again: false,
    }
}

// === impl Done, Refusal ===

impl Done {
    /// Returns whether the counters did not move as documented.
    fn is_off(&self) -> bool {
        self.movement.as_ref().is_ok_and(|movement| !movement.is_as_expected())
    }
}

impl Refusal {
    /// Returns the refusal for memory that could not be unmapped.
    pub(super) fn not_unmapped(call: &str, error: &io::Error) -> Self {
        let answer = format!("{call}: {}", named(error));
        Self {
            outcome: Outcome::Fail,
            summary: answer.clone(),
            because: Because::new(format!("{call} gives the pages back"), answer),
            again: false,
        }
    }

    /// Converts the refusal into a finding of check `id`.
    pub(super) fn finding(self, id: CheckId, size: PageSize) -> Finding {
        Finding::not_pass(id, size, self.outcome, self.summary, self.because)
    }
}

#[cfg(test)]
mod tests;
