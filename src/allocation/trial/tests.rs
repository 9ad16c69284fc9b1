//! Every way in which tries of a step can come out, and what they amount to.

use super::*;
use crate::domain::counters::Counters;
use crate::linux::smaps::MappingFacts;

const PAGE: u64 = 2 << 20;

fn size() -> PageSize {
    PageSize::from_bytes(PAGE).unwrap()
}

/// A step after which `free` pages were expected to be free and `seen` were, with a mapping of `held` bytes that
/// should hold one page.
fn done(free: u64, seen: u64, facts: Reading<MappingFacts>) -> Try {
    let counters = |free| Counters { total: 16, free, ..Counters::default() };
    let movement = Movement {
        step: "touch".to_owned(),
        documented: "free -1".to_owned(),
        before: counters(free + 1),
        expected: counters(free),
        after: counters(seen),
        figures: Vec::new(),
    };
    Try::Done(Box::new(Done {
        movement: Ok(movement),
        mapping: Some((Sight { facts, numa: Reading::Known(vec![(0, 1)]) }, 1)),
    }))
}

fn holds(private_bytes: u64) -> Reading<MappingFacts> {
    Reading::Known(MappingFacts { page_bytes: PAGE, private_bytes, shared_bytes: 0 })
}

fn good() -> Try {
    done(15, 15, holds(PAGE))
}

fn off(by: u64) -> Try {
    done(15, 15 - by, holds(PAGE))
}

fn refused(outcome: Outcome, again: bool) -> Try {
    let because = Because::new("", "");
    Try::Refused(Refusal { outcome, summary: format!("refused {outcome}"), because, again })
}

fn blind() -> Try {
    Try::Done(Box::new(Done { movement: Err("no counters".to_owned()), mapping: None }))
}

#[test]
fn tries_amount_to_what_they_show() {
    let four_kib = Reading::Known(MappingFacts { page_bytes: 4096, private_bytes: PAGE, shared_bytes: 0 });
    for (tries, quiet, expected) in [
        (vec![good()], true, None),
        (vec![off(1), off(2), good()], false, None),
        (vec![refused(Outcome::Unknown, true), good()], false, None),
        // The kernel itself, and only then.
        (vec![off(1), off(1), off(1)], true, Some((Outcome::Fail, "moved otherwise: free -1"))),
        (vec![off(1), off(1), off(1)], false, Some((Outcome::Unknown, "others move"))),
        (vec![off(1), off(2), off(1)], true, Some((Outcome::Unknown, "others move"))),
        (vec![off(1)], true, Some((Outcome::Unknown, "others move"))),
        // Our own mapping, whatever the counters say.
        (vec![done(15, 15, holds(0))], true, Some((Outcome::Fail, "holds 0 B"))),
        (vec![done(15, 15, holds(2 * PAGE))], true, Some((Outcome::Fail, "holds 4 MiB"))),
        (vec![done(15, 15, four_kib)], true, Some((Outcome::Fail, "pages are of 4 KiB"))),
        // What cannot be seen.
        (vec![done(15, 15, Reading::Absent)], true, Some((Outcome::Unknown, "cannot be read"))),
        (vec![blind()], true, Some((Outcome::Unknown, "cannot be read"))),
        // Refusals.
        (vec![refused(Outcome::Fail, false)], true, Some((Outcome::Fail, "refused fail"))),
        (vec![off(1), refused(Outcome::Fail, false)], true, Some((Outcome::Fail, "refused fail"))),
        (
            vec![refused(Outcome::Fail, true), refused(Outcome::Fail, true)],
            true,
            Some((Outcome::Fail, "refused")),
        ),
        (
            vec![refused(Outcome::Fail, true), refused(Outcome::Unknown, true), refused(Outcome::Fail, true)],
            true,
            Some((Outcome::Unknown, "refused unknown")),
        ),
        (vec![refused(Outcome::Fail, true), off(1)], true, Some((Outcome::Unknown, "others move"))),
    ] {
        let text = format!("{tries:?}");
        let trial = Trial { tries };
        match (trial.conclude(size(), quiet), expected) {
            (Ok(()), None) => {}
            (Err(refusal), Some((outcome, part))) => {
                assert_eq!(refusal.outcome, outcome, "{text}");
                assert!(refusal.summary.contains(part), "{}: {text}", refusal.summary);
            }
            (came, expected) => panic!("{came:?}, not {expected:?}: {text}"),
        }
    }
}

#[test]
fn only_what_another_try_could_change_is_tried_again() {
    for (one, settled) in [
        (good(), true),
        (off(1), false),
        (blind(), true),
        (done(15, 15, holds(0)), true),
        (refused(Outcome::Fail, true), false),
        (refused(Outcome::Fail, false), true),
    ] {
        let text = format!("{one:?}");
        assert_eq!(Trial { tries: vec![one] }.is_settled(size()), settled, "{text}");
    }
}

#[test]
fn the_try_that_went_well_is_the_one_to_show() {
    let trial = Trial { tries: vec![off(1), good(), off(2)] };
    assert!(trial.shown(size()).unwrap().movement.as_ref().unwrap().is_as_expected());
    let trial = Trial { tries: vec![off(1), off(2), refused(Outcome::Fail, true)] };
    assert_eq!(trial.shown(size()).unwrap().movement.as_ref().unwrap().after.free, 13);
    assert_eq!(trial.deviations().collect::<Vec<_>>(), ["free -1", "free -2"]);
}
