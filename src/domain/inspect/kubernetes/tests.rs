//! Tests that every HP2xx check has each outcome that its catalogue entry names.

use proptest::prelude::*;

use super::*;
use crate::inventory::{BootPool, BootRequest, Pool};

const LARGE: PageSize = match PageSize::from_bytes(1 << 30) {
    Some(size) => size,
    None => panic!(),
};

/// Builds a machine from total, free, reserved, surplus and overcommit pages.
fn machine(numbers: [u64; 5]) -> Inventory {
    let [total, free, reserved, surplus, overcommit] = numbers.map(Reading::Known);
    let mempolicy = Reading::Absent;
    let pool = Pool { size: LARGE, total, free, reserved, surplus, overcommit, mempolicy, numa: Vec::new() };
    Inventory {
        pools: Reading::Known(vec![pool]),
        default_size: Reading::Known(LARGE),
        ..Inventory::default()
    }
}

fn asked(expect: &[&str], need: &[&str]) -> Request {
    Request {
        expect: expect.iter().map(|text| text.parse().unwrap()).collect(),
        need: need.iter().map(|text| text.parse().unwrap()).collect(),
        ..Request::default()
    }
}

#[test]
fn capacity_is_held_against_the_persistent_pool() {
    let known = Reading::Known;
    let sixteen = machine([16, 16, 0, 0, 0]);
    let none = machine([0, 0, 0, 0, 0]);
    for (name, inventory, request, told, outcome) in [
        ("the same", &sixteen, asked(&[], &[]), known(16), Outcome::Pass),
        ("surplus does not count", &machine([18, 2, 0, 2, 8]), asked(&[], &[]), known(16), Outcome::Pass),
        ("too many", &sixteen, asked(&[], &[]), known(17), Outcome::Fail),
        ("the pool is gone", &none, asked(&[], &[]), known(16), Outcome::Fail),
        ("too few, nobody counts on more", &sixteen, asked(&[], &[]), known(8), Outcome::Warn),
        ("too few, enough for all", &sixteen, asked(&["1Gi>=8"], &["1Gi=4"]), known(8), Outcome::Warn),
        ("too few for an expectation", &sixteen, asked(&["1Gi>=9"], &[]), known(8), Outcome::Fail),
        ("too few for a need", &sixteen, asked(&[], &["1Gi=9"]), known(8), Outcome::Fail),
        ("the kubelet saw none", &sixteen, asked(&[], &[]), known(0), Outcome::Fail),
        ("the resource is missing", &sixteen, asked(&[], &[]), Reading::Absent, Outcome::Fail),
        ("nothing anywhere", &none, asked(&[], &[]), Reading::Absent, Outcome::Skip),
        (
            "needed, and only overcommit",
            &machine([0, 0, 0, 0, 8]),
            asked(&[], &["1Gi=1"]),
            known(0),
            Outcome::Fail,
        ),
        ("no number", &sixteen, asked(&[], &[]), Reading::Malformed("x".into()), Outcome::Unknown),
        (
            "no pools to be seen",
            &Inventory { pools: Reading::Unreadable("y".into()), ..Inventory::default() },
            asked(&[], &[]),
            known(1),
            Outcome::Unknown,
        ),
    ] {
        assert_eq!(capacity(inventory, &request, LARGE, &told).outcome, outcome, "{name}");
    }
    let pools = vec![BootPool { size: None, pages: 16, numa: Vec::new() }];
    let booted =
        Inventory { boot: Reading::Known(BootRequest { pools, ..BootRequest::default() }), ..sixteen };
    assert_eq!(capacity(&booted, &asked(&[], &[]), LARGE, &known(8)).outcome, Outcome::Fail);
    assert_eq!(capacity(&booted, &asked(&["1Gi>=8"], &[]), LARGE, &known(8)).outcome, Outcome::Warn);
}

#[test]
fn use_outside_pods_is_what_no_pod_has_requested() {
    let seen = |pages| PodUse::Requested(vec![(LARGE, pages)]);
    let capacity = Reading::Known(16);
    for (name, numbers, pods, outcome) in [
        ("nothing in use", [16, 16, 0, 0, 0], seen(0), Outcome::Pass),
        ("all requested", [16, 0, 0, 0, 0], seen(16), Outcome::Pass),
        ("requested and not touched", [16, 12, 0, 0, 0], seen(8), Outcome::Pass),
        ("some outside, some left", [16, 8, 0, 0, 0], seen(4), Outcome::Warn),
        ("none left for what is promised", [16, 0, 0, 0, 0], seen(4), Outcome::Fail),
        ("the rest is reserved", [16, 2, 2, 0, 0], seen(4), Outcome::Fail),
        ("the pool may grow", [16, 0, 0, 0, 4], seen(4), Outcome::Warn),
        ("seen from the host", [16, 8, 0, 0, 0], PodUse::Outside(vec![(LARGE, 1)]), Outcome::Warn),
        ("seen from the host, none", [16, 8, 0, 0, 0], PodUse::Outside(vec![]), Outcome::Pass),
        ("nobody may look", [16, 8, 0, 0, 0], PodUse::NotSeen("list pods".into()), Outcome::Skip),
    ] {
        assert_eq!(outside(&machine(numbers), LARGE, &capacity, &pods).outcome, outcome, "{name}");
    }
    let mut blind = machine([16, 8, 0, 0, 0]);
    if let Reading::Known(pools) = &mut blind.pools {
        pools[0].free = Reading::Malformed("x".into());
    }
    assert_eq!(outside(&blind, LARGE, &capacity, &seen(0)).outcome, Outcome::Unknown);
    assert_eq!(outside(&Inventory::default(), LARGE, &capacity, &seen(0)).outcome, Outcome::Skip);
}

#[test]
fn what_is_published_of_use_does_not_move_with_it() {
    let summary = |free| {
        outside(&machine([16, free, 0, 0, 0]), LARGE, &Reading::Known(16), &PodUse::Requested(vec![])).summary
    };
    assert_eq!(summary(8), summary(7));
}

#[test]
fn admission_says_why() {
    for (state, outcome, text) in [
        (Admission::Ran, Outcome::Pass, "admitted"),
        (Admission::NotYet, Outcome::Unknown, "yet"),
        (Admission::Never("ImagePullBackOff".into()), Outcome::Unknown, "ImagePullBackOff"),
        (Admission::Stands { why: "busy".into(), ordinary: true }, Outcome::Pass, "busy"),
        (Admission::Stands { why: "ErrImagePull".into(), ordinary: false }, Outcome::Warn, "ErrImagePull"),
    ] {
        let finding = admission(LARGE, &state);
        assert_eq!(finding.outcome, outcome);
        assert!(finding.summary.contains(text), "{}", finding.summary);
    }
}

proptest! {
    #[test]
    fn no_numbers_panic(numbers: [u64; 5], told: u64, requested: u64) {
        let inventory = machine(numbers);
        let told = Reading::Known(told);
        let _ = capacity(&inventory, &asked(&[], &[]), LARGE, &told);
        let _ = outside(&inventory, LARGE, &told, &PodUse::Requested(vec![(LARGE, requested), (LARGE, requested)]));
    }
}
