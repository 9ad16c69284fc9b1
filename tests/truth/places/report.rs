//! The printed report: a line for each place, a row for each disagreement, and the numbers at the end.

use std::fmt;

use serde_json::Value;

use super::Seen;
use super::draw::Place;
use super::kept::Kept;
use crate::compare::{Compared, Relation};

/// How many lines of the workload's log are shown.
const LOG_LINES: usize = 12;

/// The results of all places.
#[derive(Debug, Default)]
pub(crate) struct Report {
    drawn: usize,
    works: usize,
    seconds: f64,
    known: usize,
    /// Places that count neither as agreement nor as disagreement, because the machine lacks something or another
    /// process changed the pools.
    not_run: usize,
    disturbed: usize,
    disagree: Vec<String>,
    /// Lines of `kept` that are no longer true.
    stale: Vec<String>,
}

impl Report {
    /// Prints the result of a place and counts it.
    pub(crate) fn add(&mut self, seed: Option<u64>, seen: &Seen, known: bool) {
        let seed = seed.map_or_else(String::new, |seed| format!("{seed:>20} "));
        println!("{seed}{}", seen.line);
        self.seconds += seen.seconds;
        match seen.relation {
            Relation::NotRun | Relation::LeftOut => self.not_run += 1,
            Relation::Disturbed => self.disturbed += 1,
            _ => {
                self.drawn += 1;
                self.works += usize::from(seen.works);
            }
        }
        self.known += usize::from(known && seen.disagrees());
    }

    /// Prints the result of a kept place and checks that its line is still true.
    pub(crate) fn again(&mut self, kept: &Kept, seen: &Seen) {
        println!("{:>20} {}", "kept", seen.line);
        if kept.is_known != seen.disagrees() {
            self.stale.push(kept.place.to_string());
        }
    }

    /// Prints and records a disagreement, with the fewest faults that show it.
    pub(crate) fn shrunk(&mut self, seed: Option<u64>, relation: Relation, place: &Place, seen: &Seen) {
        let seed = seed.map_or_else(String::new, |seed| format!("seed {seed} | "));
        let row = format!("{relation:?}: {seed}{place}\n    {}", row(place, seen));
        println!("{row}");
        self.disagree.push(row);
    }

    pub(crate) fn is_good(&self) -> bool {
        self.disagree.is_empty() && self.stale.is_empty() && self.disturbed + self.not_run == 0
    }
}

/// Returns the result of a place as a line. If the two disagree, the findings of hugeprobe and the end of the
/// workload's log follow.
pub(super) fn line(compared: &Compared<'_>) -> String {
    let text = compared.to_string();
    let mut lines = vec![text.lines().next().unwrap_or_default().to_owned()];
    if compared.relation() != Relation::Agree {
        let first = serde_json::Deserializer::from_str(&compared.asked.said).into_iter::<Value>().next();
        match first {
            Some(Ok(report)) => lines.extend(findings(&report)),
            _ => lines.extend(compared.asked.said.lines().map(str::to_owned)),
        }
        let log: Vec<&str> = compared.outcome().log.lines().collect();
        lines.extend(log.iter().skip(log.len().saturating_sub(LOG_LINES)).map(|line| format!("  | {line}")));
    }
    lines.join("\n      ")
}

/// Returns the checks that neither passed nor were skipped.
fn findings(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let word = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
    let matters = checks.iter().filter(|check| check["outcome"] != "pass" && check["outcome"] != "skip");
    matters
        .map(|check| ["id", "outcome", "summary", "seen"].map(|name| word(check, name)).join(": "))
        .collect()
}

/// Returns the place as a row of `tests/truth/rows`.
fn row(place: &Place, seen: &Seen) -> String {
    let words: Vec<String> = place.faults.iter().map(|fault| format!("{fault:?}")).collect();
    let mut causes: Vec<_> = place.faults.iter().flat_map(|fault| fault.spec.causes).collect();
    causes.dedup();
    let causes = if seen.works { Vec::new() } else { causes };
    let words = words.join(" ");
    format!(
        "row(\"{words}\", &[Kind::{:?}], &{causes:?}, |scene| places::placed(scene, \"{words}\")),",
        place.kind
    )
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = 100.0 * self.works as f64 / self.drawn.max(1) as f64;
        writeln!(
            f,
            "places run              {}, {:.1} s each",
            self.drawn,
            self.seconds / self.drawn.max(1) as f64
        )?;
        writeln!(f, "the workload works in   {} ({share:.0} %)", self.works)?;
        writeln!(f, "not run                 {}", self.not_run)?;
        writeln!(f, "disturbed               {}", self.disturbed)?;
        writeln!(f, "known disagreements     {}", self.known)?;
        write!(f, "disagreements           {}", self.disagree.len())?;
        self.disagree.iter().try_for_each(|one| write!(f, "\n{one}"))?;
        self.stale.iter().try_for_each(|one| write!(f, "\ntests/truth/places/kept is not right about: {one}"))
    }
}
