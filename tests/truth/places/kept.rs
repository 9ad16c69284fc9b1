//! Places in which hugeprobe and a workload once disagreed: `tests/truth/places/kept`.
//!
//! A line is `WORD | SEED | WORKLOAD | FAULTS: REASON`. `again` means that the two agree now and must agree each time.
//! `known` means that they still disagree; a drawn place that has these faults and others is not reported. The faults
//! are written next to the seed because a seed draws another place when a fault is added to the lists.

use super::draw::{self, Place};
use super::facts::{Facts, Need};

/// A line of the file.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) is_known: bool,
    pub(crate) place: Place,
}

/// Returns all lines.
pub(crate) fn all() -> Vec<Kept> {
    include_str!("kept").lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(read).collect()
}

fn read(line: &str) -> Kept {
    let (place, reason) = line.rsplit_once(": ").unwrap_or_else(|| panic!("no reason: {line}"));
    assert!(reason.len() > 20, "no reason that says anything: {line}");
    let [word, _seed, place] = place.splitn(3, " | ").collect::<Vec<_>>()[..] else { panic!("{line}") };
    assert!(["again", "known"].contains(&word), "{line}");
    Kept { is_known: word == "known", place: draw::read(place) }
}

impl Kept {
    /// Returns whether this machine runs the place. One with several NUMA nodes is an emulated one, which is slow: it runs
    /// only those that cannot be made elsewhere.
    pub(crate) fn is_for(&self, facts: &Facts) -> bool {
        let needs = || self.place.faults.iter().flat_map(|fault| fault.spec.needs);
        let is_emulated = facts.has(Need::Nodes) || facts.has(Need::Accounting);
        let needs_one = needs().any(|need| [Need::Nodes, Need::Accounting].contains(need));
        facts.runs(self.place.kind) && needs().all(|need| facts.has(*need)) && needs_one == is_emulated
    }

    /// Returns whether this line describes a known disagreement that is part of `place`.
    pub(crate) fn is_known_in(&self, place: &Place) -> bool {
        self.is_known
            && self.place.kind == place.kind
            && self.place.faults.iter().all(|fault| place.faults.contains(fault))
    }
}
