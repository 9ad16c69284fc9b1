//! Every way in which the attempts at a step can end, and the conclusion for each.

use super::*;
use hugeprobe_domain::counters::Counters;
use hugeprobe_linux::smaps::MappingFacts;

const PAGE: u64 = 2 << 20;

fn size() -> PageSize {
    PageSize::from_bytes(PAGE).unwrap()
}

/// Returns a step after which `free` pages should have been free and `seen` were, with a mapping that shows `smaps`.
fn done(free: u64, seen: u64, smaps: Reading<MappingFacts>) -> Result<Done, Refusal> {
    let counters = |free| Counters { total: 16, free, ..Counters::default() };
    let movement = Movement {
        step: "touch".to_owned(),
        documented: "free -1".to_owned(),
        before: counters(free + 1),
        expected: counters(free),
        after: counters(seen),
    };
    let mapping = Observed { smaps, numa_maps: Reading::Known(vec![(0, 1)]) };
    Ok(Done { movement: Ok(movement), mapping: Some(mapping) })
}

fn holds(private_bytes: u64) -> Reading<MappingFacts> {
    Reading::Known(MappingFacts { page_bytes: PAGE, private_bytes, shared_bytes: 0 })
}

fn good() -> Result<Done, Refusal> {
    done(15, 15, holds(PAGE))
}

fn off(by: u64) -> Result<Done, Refusal> {
    done(15, 15 - by, holds(PAGE))
}

fn refused(outcome: Outcome, again: bool) -> Result<Done, Refusal> {
    let because = Because::new("", "");
    Err(Refusal { outcome, summary: format!("refused {outcome}"), because, again })
}

fn blind() -> Result<Done, Refusal> {
    let mapping = Observed { smaps: holds(PAGE), numa_maps: Reading::Absent };
    Ok(Done { movement: Err("no such file".to_owned()), mapping: Some(mapping) })
}

/// Returns the attempts, where after each one the mapping should hold one page.
fn attempts(list: impl IntoIterator<Item = Result<Done, Refusal>>) -> Attempts {
    let mut attempts = Attempts::default();
    list.into_iter().for_each(|one| attempts.add(one, 1, size()));
    attempts
}

#[test]
fn what_the_call_and_the_mapping_show_decides_and_counters_are_noted() {
    const OTHERS: Result<&str, (Outcome, &str)> = Ok("other processes moved the counters");
    let four_kib = Reading::Known(MappingFacts { page_bytes: 4096, private_bytes: PAGE, shared_bytes: 0 });
    for (list, moved_by_others, expected) in [
        (vec![good()], false, Ok("")),
        (vec![off(1), off(2), good()], true, Ok("")),
        (vec![refused(Outcome::Unknown, true), good()], true, Ok("")),
        // The counters contradict the mapping, and nothing else moves them.
        (vec![off(1), off(1), off(1)], false, Err((Outcome::Fail, "not move as documented: free -1"))),
        // Other processes move the counters, or that cannot be ruled out.
        (vec![off(1), off(1), off(1)], true, OTHERS),
        (vec![off(1), off(2), off(1)], false, OTHERS),
        (vec![off(1)], false, OTHERS),
        (vec![refused(Outcome::Fail, true), off(1), off(1)], false, OTHERS),
        // The mapping decides, whatever the counters show.
        (vec![done(15, 15, holds(0))], false, Err((Outcome::Fail, "has 0 B"))),
        (vec![done(15, 15, holds(2 * PAGE))], false, Err((Outcome::Fail, "has 4 MiB"))),
        (vec![done(15, 15, four_kib)], false, Err((Outcome::Fail, "pages are 4 KiB"))),
        (vec![done(15, 15, Reading::Absent)], false, Err((Outcome::Unknown, "cannot be read"))),
        // Counters that cannot be read are not evidence, and the step worked.
        (vec![blind()], false, Ok("the counters cannot be read: no such file")),
        // Refusals.
        (vec![refused(Outcome::Fail, false)], false, Err((Outcome::Fail, "refused fail"))),
        (vec![off(1), refused(Outcome::Fail, false)], true, Err((Outcome::Fail, "refused fail"))),
        (vec![refused(Outcome::Fail, true), refused(Outcome::Fail, true)], false, Err((Outcome::Fail, ""))),
        (vec![refused(Outcome::Fail, true), refused(Outcome::Fail, true)], true, Err((Outcome::Unknown, ""))),
        (
            vec![refused(Outcome::Fail, true), refused(Outcome::Unknown, true), refused(Outcome::Fail, true)],
            false,
            Err((Outcome::Unknown, "refused unknown")),
        ),
    ] {
        let text = format!("{list:?}");
        let attempts = attempts(list);
        match (conclude(&[&attempts], moved_by_others), expected) {
            (Ok(note), Ok(expected)) => assert_eq!(note.unwrap_or_default(), expected, "{text}"),
            (Err(refusal), Err((outcome, part))) => {
                assert_eq!(refusal.outcome, outcome, "{text}");
                assert!(refusal.summary.contains(part), "{}: {text}", refusal.summary);
            }
            (came, expected) => panic!("{came:?}, not {expected:?}: {text}"),
        }
    }
}

#[test]
fn only_what_another_attempt_could_change_is_tried_again() {
    for (one, again) in [
        (good(), false),
        (off(1), true),
        (blind(), false),
        (done(15, 15, holds(0)), false),
        (refused(Outcome::Fail, true), true),
        (refused(Outcome::Fail, false), false),
    ] {
        let text = format!("{one:?}");
        assert_eq!(attempts([one]).needs_another(), again, "{text}");
    }
    assert!(!Attempts::default().needs_another());
}

#[test]
fn the_attempt_that_went_well_is_the_one_to_show() {
    let movement = |attempts: &Attempts| attempts.shown().unwrap().movement.clone().unwrap();
    assert!(movement(&attempts([off(1), good(), off(2)])).is_as_expected());
    let all = attempts([off(1), off(2), refused(Outcome::Fail, true)]);
    assert_eq!(movement(&all).after.free, 13);
    assert_eq!(all.off_by().collect::<Vec<_>>(), ["free -1", "free -2"]);
    assert_eq!(all.tries(), 3);
}

#[test]
fn rounds_end_when_nothing_is_left_to_try_and_after_three() {
    for (needed, made) in [(1, 1), (2, 2), (3, 3), (9, ATTEMPTS)] {
        let mut rounds_made = 0;
        rounds(|number| {
            rounds_made = number;
            Ok(number < needed)
        })
        .unwrap();
        assert_eq!(rounds_made, made);
    }
}
