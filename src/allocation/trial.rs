//! A step, tried until it is known what it amounts to: as documented, otherwise, or disturbed by others.
//!
//! The counters belong to everybody on the machine. What is ours alone, the mapping, is looked at in smaps each time:
//! if that is wrong, it is wrong whatever the counters say. If only the counters are off, the step is tried again; they
//! are believed against the kernel only if they are off by the same each time while nothing moves in between.

use std::io;
use std::time::{Duration, Instant};

use super::backing::Sight;
use super::meter::Meter;
use crate::domain::check::{Because, CheckId, Finding, Outcome};
use crate::domain::counters::Movement;
use crate::domain::movement::{Judgement, TRIES_TO_JUDGE, judge};
use crate::domain::reading::Reading;
use crate::domain::size::{PageSize, human_bytes};
use crate::linux::errno::named;

/// All tries of one step.
#[derive(Debug, Default)]
pub(super) struct Trial {
    tries: Vec<Try>,
}

/// One try.
#[derive(Debug)]
pub(super) enum Try {
    /// The step was done.
    Done(Box<Done>),
    /// The step was refused.
    Refused(Refusal),
}

/// A step that was done, as it was seen.
#[derive(Debug)]
pub(super) struct Done {
    /// How the counters moved, or why that is not known.
    pub(super) movement: Result<Movement, String>,
    /// Our mapping afterwards, and the pages that it should hold; `None` if it is gone.
    pub(super) mapping: Option<(Sight, u64)>,
}

/// What it amounts to that a step was refused.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// `Fail`, or `Unknown` if others may be the reason.
    pub(super) outcome: Outcome,
    /// In a few words.
    pub(super) summary: String,
    /// In full.
    pub(super) because: Because,
    /// Whether another try may turn out otherwise.
    pub(super) again: bool,
}

/// How long to go on trying.
#[derive(Debug)]
pub(super) struct Patience {
    tries: u32,
    quiet: bool,
    since: Instant,
    round_since: Instant,
}

/// Tries of one step at most while others move the counters: any of them may fall between two of their moves.
const TRIES: u32 = 16;
/// Tries while nobody does: the next would be like the last.
const QUIET_TRIES: u32 = 5;
/// Past this time only the tries that a judgement takes are made: 1Gi pages take their time to clear.
const TIME: Duration = Duration::from_secs(1);
/// Deviations shown of one step, and how many characters of each: there may be a thousand NUMA nodes.
const DEVIATIONS_SHOWN: usize = 6;
const DEVIATION_SHOWN: usize = 120;
/// The longest that counters are watched between two tries.
const LONGEST_WATCH: Duration = Duration::from_millis(500);

// === impl Patience ===

impl Patience {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { tries: 1, quiet: true, since: now, round_since: now }
    }

    /// Which try this is, from 1.
    pub(super) const fn tries(&self) -> u32 {
        self.tries
    }

    /// Whether nothing moved so far while nothing was done here.
    pub(super) const fn quiet(&self) -> bool {
        self.quiet
    }

    /// Watches the counters for about as long as the last try took, more each time. False if patience is at its end.
    pub(super) fn goes_on(&mut self, meter: &Meter) -> bool {
        let most = if self.quiet { QUIET_TRIES } else { TRIES };
        let enough = self.tries as usize >= TRIES_TO_JUDGE;
        if self.tries >= most || (enough && self.since.elapsed() > TIME) {
            return false;
        }
        let longer = Duration::from_millis(1 << self.tries.min(10));
        self.quiet &= meter.is_quiet_for(self.round_since.elapsed().max(longer).min(LONGEST_WATCH));
        self.tries += 1;
        self.round_since = Instant::now();
        true
    }
}

// === impl Trial ===

impl Trial {
    pub(super) fn push(&mut self, one: Try) {
        self.tries.push(one);
    }

    /// Whether another try would change nothing.
    pub(super) fn is_settled(&self, size: PageSize) -> bool {
        self.tries.iter().any(|one| match one {
            Try::Done(done) => !matches!(done.standing(size), Standing::Off),
            Try::Refused(refusal) => !refusal.again,
        })
    }

    /// Whether the step was done at least once.
    pub(super) fn was_done(&self) -> bool {
        self.tries.iter().any(|one| matches!(one, Try::Done(_)))
    }

    /// How many tries there were.
    pub(super) const fn tries(&self) -> usize {
        self.tries.len()
    }

    /// The try to show: the one that was as documented, else the last that was done.
    pub(super) fn shown(&self, size: PageSize) -> Option<&Done> {
        let mut done = self.tries.iter().filter_map(|one| match one {
            Try::Done(done) => Some(&**done),
            Try::Refused(_) => None,
        });
        let good = done.clone().find(|done| matches!(done.standing(size), Standing::Good));
        good.or_else(|| done.next_back())
    }

    /// By how much the counters were off, try by try, as far as they were; the first few.
    pub(super) fn deviations(&self) -> impl Iterator<Item = String> {
        let off = self.movements().filter(|movement| !movement.is_as_expected()).take(DEVIATIONS_SHOWN);
        off.map(|movement| movement.deviation().to_string().chars().take(DEVIATION_SHOWN).collect())
    }

    /// What it amounts to: `Ok` if the step went as documented.
    pub(super) fn conclude(&self, size: PageSize, quiet: bool) -> Result<(), Refusal> {
        let mut blind = None;
        let mut refusals = Vec::new();
        let mut off = 0;
        for one in &self.tries {
            match one {
                Try::Refused(refusal) if !refusal.again => return Err(refusal.clone()),
                Try::Refused(refusal) => refusals.push(refusal),
                Try::Done(done) => match done.standing(size) {
                    Standing::Good => return Ok(()),
                    Standing::Off => off += 1,
                    Standing::Blind(why) => blind = Some(why),
                    Standing::MappingWrong(seen) => return Err(done.mapping_wrong(seen)),
                },
            }
        }
        if let Some(why) = blind {
            return Err(unreadable(why));
        }
        match refusals.iter().max_by_key(|refusal| refusal.outcome == Outcome::Unknown) {
            Some(worst) if off == 0 => return Err((*worst).clone()),
            Some(_) => return Err(self.disturbed()),
            None => {}
        }
        let movements: Vec<_> = self.movements().cloned().collect();
        match judge(&movements, quiet) {
            Judgement::AsDocumented => Ok(()),
            Judgement::Disturbed => Err(self.disturbed()),
            Judgement::Otherwise(deviation) => {
                let movement = movements.last();
                let documented =
                    movement.map(|m| format!("{}: {}", m.step, m.documented)).unwrap_or_default();
                let seen = format!(
                    "off by {deviation}, {} times in a row, while nothing moved in between and the mapping itself is as it \
                     should be",
                    movements.len()
                );
                let because = Because::new(documented, seen).remedy(
                    "the kernel's counters contradict its own mapping: look for a kernel update, and trust no number of \
                     this pool (in a container: see that /sys is the machine's own)",
                );
                let summary = format!("the counters moved otherwise: {deviation}");
                Err(Refusal { outcome: Outcome::Fail, summary, because, again: false })
            }
        }
    }

    fn movements(&self) -> impl Iterator<Item = &Movement> {
        self.tries.iter().filter_map(|one| match one {
            Try::Done(done) => done.movement.as_ref().ok(),
            Try::Refused(_) => None,
        })
    }

    fn disturbed(&self) -> Refusal {
        let documented = self.movements().last().map(|m| format!("{}: {}", m.step, m.documented));
        let off: Vec<_> = self.deviations().collect();
        let seen = format!(
            "others moved the same counters in each of {} tries: {}",
            self.tries.len(),
            off.join("; ")
        );
        let because = Because::new(documented.unwrap_or_default(), seen)
            .remedy("run it again when nobody starts or stops on this machine");
        Refusal {
            outcome: Outcome::Unknown,
            summary: "others move the counters".to_owned(),
            because,
            again: false,
        }
    }
}

enum Standing {
    Good,
    Off,
    Blind(String),
    MappingWrong(String),
}

impl Done {
    fn standing(&self, size: PageSize) -> Standing {
        if let Some((sight, pages)) = &self.mapping {
            match &sight.facts {
                Reading::Known(facts) if facts.page_bytes != size.bytes() => {
                    return Standing::MappingWrong(format!(
                        "its pages are of {}",
                        human_bytes(facts.page_bytes)
                    ));
                }
                Reading::Known(facts) if facts.held_bytes() != pages.saturating_mul(size.bytes()) => {
                    let held = human_bytes(facts.held_bytes());
                    return Standing::MappingWrong(format!("it holds {held} of huge pages"));
                }
                Reading::Known(_) => {}
                other => {
                    let why = other.why_unknown().unwrap_or_default();
                    return Standing::Blind(format!("our own mapping in /proc/self/smaps: {why}"));
                }
            }
        }
        match &self.movement {
            Ok(movement) if movement.is_as_expected() => Standing::Good,
            Ok(_) => Standing::Off,
            Err(why) => Standing::Blind(why.clone()),
        }
    }

    fn mapping_wrong(&self, seen: String) -> Refusal {
        let pages = self.mapping.as_ref().map_or(0, |(_, pages)| *pages);
        Refusal {
            outcome: Outcome::Fail,
            summary: format!("the mapping is not as asked for: {seen}"),
            because: Because::new(format!("the mapping holds {pages} pages of the size"), seen),
            again: false,
        }
    }
}

fn unreadable(why: String) -> Refusal {
    Refusal {
        outcome: Outcome::Unknown,
        summary: "the counters cannot be read".to_owned(),
        because: Because::new("the pool's counters before and after the step", why)
            .remedy("make /sys/kernel/mm/hugepages and /proc readable for this process"),
        again: false,
    }
}

impl Refusal {
    /// Memory that could not be given back.
    pub(super) fn not_unmapped(call: &str, error: &io::Error) -> Self {
        let answer = format!("{call}: {}", named(error));
        Self {
            outcome: Outcome::Fail,
            summary: answer.clone(),
            because: Because::new(format!("{call} gives the pages back"), answer),
            again: false,
        }
    }

    /// As a finding of `id`.
    pub(super) fn finding(self, id: CheckId, size: PageSize) -> Finding {
        Finding::not_pass(id, size, self.outcome, self.summary, self.because)
    }
}

#[cfg(test)]
mod tests;
