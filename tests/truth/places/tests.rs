//! Tests that need no huge pages: how places are drawn, and how they are reduced.

use std::collections::BTreeSet;

use libtest_mimic::{Failed, Trial};

use hugeprobe::domain::catalogue::{HP101, HP102, HP105, HP106};

use super::facts::Facts;
use super::fault::Fault;
use super::{draw, faults, kept, shrink};
use crate::context::random::Random;

/// The number of places that each test draws.
const MANY: u64 = 4000;

/// The number in which the rarest fault, which is one of many masked files and of one workload, is drawn about ten times.
const MANY_MORE: u64 = 12_000;

/// Returns the tests.
pub(crate) fn all() -> impl Iterator<Item = Trial> {
    let tests: [(&str, fn()); 8] = [
        ("the_smallest_set_is_found", the_smallest_set_is_found),
        ("a_seed_draws_the_same_place_each_time", a_seed_draws_the_same_place_each_time),
        ("every_fault_is_drawn", every_fault_is_drawn),
        ("a_fault_that_cannot_be_made_is_not_drawn", a_fault_that_cannot_be_made_is_not_drawn),
        ("a_pool_that_changes_is_large_enough", a_pool_that_changes_is_large_enough),
        ("half_of_the_places_should_work", half_of_the_places_should_work),
        ("a_place_is_read_as_it_is_written", a_place_is_read_as_it_is_written),
        ("what_is_kept_can_be_read", what_is_kept_can_be_read),
    ];
    tests.into_iter().map(|(name, test)| {
        Trial::test(format!("places::{name}"), move || {
            test();
            Ok::<(), Failed>(())
        })
    })
}

fn places() -> impl Iterator<Item = draw::Place> {
    some_places(MANY)
}

fn some_places(number: u64) -> impl Iterator<Item = draw::Place> {
    let mut seeds = Random::seeded(1);
    (0..number).map(move |_| draw::place(seeds.below(u64::MAX), &Facts::all()))
}

fn the_smallest_set_is_found() {
    let all = [1, 2, 3, 4];
    let found = |wanted: &[i32]| shrink::smallest(&all, |part| wanted.iter().all(|one| part.contains(one)));
    assert!(found(&[]).is_empty());
    assert_eq!(found(&[3]), [3]);
    assert_eq!(found(&[2, 4]), [2, 4]);
    assert_eq!(found(&all), all);
    // Either of two parts will do, and neither is contained in the other. The smaller one is found.
    let either = |part: &[i32]| part.contains(&4) || part.contains(&1) && part.contains(&2);
    assert_eq!(shrink::smallest(&all, either), [4]);
    let mut tries = 0;
    shrink::smallest(&[1, 2, 3], |_| {
        tries += 1;
        false
    });
    assert_eq!(tries, 7, "all but the whole, which is known to show it");
}

fn a_seed_draws_the_same_place_each_time() {
    for seed in 0..MANY {
        assert_eq!(draw::place(seed, &Facts::all()), draw::place(seed, &Facts::all()));
    }
}

fn every_fault_is_drawn() {
    // Some faults need several nodes, and others are made on one node alone.
    let mut seeds = Random::seeded(1);
    let on_one_node = (0..MANY).map(|_| draw::place(seeds.below(u64::MAX), &Facts::of_one_node()));
    let drawn: BTreeSet<String> = some_places(MANY_MORE)
        .chain(on_one_node)
        .flat_map(|place| place.faults)
        .map(|fault| fault.spec.name.to_owned())
        .collect();
    let missing: Vec<_> = faults::all().map(|spec| spec.name).filter(|name| !drawn.contains(*name)).collect();
    assert!(missing.is_empty(), "never drawn: {missing:?}");
    let names: BTreeSet<_> = faults::all().map(|spec| spec.name).collect();
    assert_eq!(names.len(), faults::all().count(), "a name is used twice");
}

fn a_fault_that_cannot_be_made_is_not_drawn() {
    let facts = Facts::of_one_node();
    let mut seeds = Random::seeded(1);
    let places = (0..MANY).map(|_| draw::place(seeds.below(u64::MAX), &facts));
    let drawn: BTreeSet<&str> = places.flat_map(|place| place.faults).map(|fault| fault.spec.name).collect();
    assert!(drawn.contains("cpuset"), "it can be made on one node");
    for name in ["node", "node-without-memory", "pages-on", "policy", "cpuset-mems", "memory-with-pages"] {
        assert!(
            !drawn.contains(name),
            "{name} needs several nodes, or huge pages that count against memory.max"
        );
    }
}

fn a_pool_that_changes_is_large_enough() {
    // The pool of a machine with several nodes is not resized.
    let mut seeds = Random::seeded(1);
    let places = (0..MANY).map(|_| draw::place(seeds.below(u64::MAX), &Facts::of_one_node()));
    let changing = places.filter(|place| place.faults.iter().any(|fault| fault.spec.name == "restless"));
    let wrong = |fault: &Fault| {
        fault.spec.harmful.contains(&fault.value)
            && fault.spec.causes.iter().any(|id| [HP101, HP102, HP105, HP106].contains(id))
    };
    let (mut seen, mut short) = (0, Vec::new());
    for place in changing {
        seen += 1;
        if place.faults.iter().any(wrong) {
            short.push(place.to_string());
        }
    }
    assert!(seen > 0 && short.is_empty(), "{seen} places, in which the moment decides: {short:?}");
}

fn half_of_the_places_should_work() {
    let harmless =
        places().filter(|place| place.faults.iter().all(|fault| fault.spec.harmless.contains(&fault.value)));
    let share = harmless.count() as f64 / MANY as f64;
    assert!((0.45..0.65).contains(&share), "{share} of the places have no harmful fault");
    let none = places().filter(|place| place.faults.is_empty()).count();
    assert!(none > 0, "no place is without a fault");
}

fn a_place_is_read_as_it_is_written() {
    for place in places() {
        assert_eq!(draw::read(&place.to_string()), place);
    }
}

fn what_is_kept_can_be_read() {
    assert!(kept::all().len() < 1000);
}
