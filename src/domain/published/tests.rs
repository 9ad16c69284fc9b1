//! Tests which verdicts are valid, and that texts written by others are not trusted.

use super::*;
use proptest::prelude::*;

const PREFIX: &str = "hugeprobe.io/";
const BOOT: &str = "6a1d2c3e-0000-4fff-8abc-0123456789ab";

fn texts(pairs: &[(&str, &str)]) -> Texts {
    pairs.iter().map(|(key, text)| (format!("{PREFIX}{key}"), (*text).to_owned())).collect()
}

fn annotations(changes: &[(&str, &str)]) -> Published {
    let mut texts = texts(&[
        ("verdict", "pass"),
        ("boot-id", BOOT),
        ("checked-at", "2026-11-23T05:00:00Z"),
        ("valid-until", "2026-11-23T06:00:00Z"),
    ]);
    for (key, text) in changes {
        texts.insert(format!("{PREFIX}{key}"), (*text).to_owned());
    }
    Published::read(&texts, &Texts::new(), PREFIX)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_verdict_counts_in_its_boot_and_until_its_time_is_up() {
    let now = at("2026-11-23T05:30:00Z");
    for (changes, boot, word) in [
        (&[][..], BOOT, "pass"),
        (&[("verdict", "fail")][..], BOOT, "fail"),
        (&[("verdict", "none")][..], BOOT, "none"),
        (&[][..], "6a1d2c3e-0000-4fff-8abc-0123456789ac", "stale"),
        (&[][..], "", "doubtful"),
        (&[("boot-id", "")][..], "", "doubtful"),
        (&[("valid-until", "2026-11-23T05:30:00Z")][..], BOOT, "stale"),
        (&[("valid-until", "2026-11-23T05:30:01Z")][..], BOOT, "pass"),
        (&[("valid-until", "soon")][..], BOOT, "doubtful"),
        (&[("checked-at", "")][..], BOOT, "doubtful"),
        (&[("checked-at", "2026-11-23T05:39:59Z")][..], BOOT, "pass"),
        (&[("checked-at", "2026-11-24T05:30:00Z")][..], BOOT, "doubtful"),
        (&[("verdict", "PASS")][..], BOOT, "missing"),
        (&[("verdict", "")][..], BOOT, "missing"),
    ] {
        let state = annotations(changes).state(boot, now);
        assert_eq!(state.word(), word, "{changes:?} {boot}");
        let counts = matches!(state, VerdictState::Fresh(_));
        assert_eq!(counts, state.why().is_none());
        assert!(counts || state.verdict() == Verdict::Unknown);
    }
}

#[test]
fn sizes_and_checks_are_read_by_name_and_foreign_ones_left_alone() {
    let annotations = texts(&[
        ("check.HP105.1Gi", "no free page"),
        ("check.HP106", "machine"),
        ("check.HP999.1Gi", "no such check"),
        ("check.HP105.3Mi", "no such size"),
        ("check.", ""),
    ]);
    let mut labels = texts(&[("hugepages-2Mi", "pass"), ("hugepages-1Gi", "maybe"), ("hugepages-x", "pass")]);
    labels.insert("example.com/hugepages-1Gi".to_owned(), "pass".to_owned());
    let published = Published::read(&annotations, &labels, PREFIX);
    let keys: Vec<_> = published.checks.keys().map(|(id, size)| format!("{id} {size:?}")).collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert_eq!(published.sizes, BTreeMap::from([("2Mi".parse().unwrap(), Verdict::Pass)]));
}

#[test]
fn the_fleet_is_as_bad_as_its_worst_node_and_a_stale_pass_is_unknown_by_size_too() {
    let now = at("2026-11-23T05:30:00Z");
    let node = |name: &str, verdict: &str, boot: &str| {
        let mut published = annotations(&[("verdict", verdict)]);
        published.sizes.insert("2Mi".parse().unwrap(), Verdict::Pass);
        let state = published.state(boot, now);
        FleetNode { name: name.into(), boot_id: boot.into(), published, state }
    };
    let fleet = |nodes: Vec<FleetNode>| Fleet { at: now, nodes };
    let stale = node("b", "pass", "another");
    assert_eq!(stale.size("2Mi".parse().unwrap()), Some(Verdict::Unknown));
    assert_eq!(fleet(vec![]).verdict(), Verdict::None);
    assert!(!fleet(vec![]).is_told());
    assert_eq!(fleet(vec![node("a", "pass", BOOT), node("c", "none", BOOT)]).verdict(), Verdict::Pass);
    assert!(fleet(vec![node("a", "fail", BOOT)]).is_told());
    let two = fleet(vec![node("a", "pass", BOOT), stale.clone()]);
    assert_eq!((two.verdict(), two.is_told()), (Verdict::Unknown, false));
    assert_eq!(fleet(vec![node("a", "fail", BOOT), stale]).verdict(), Verdict::Fail);
}

proptest! {
    #[test]
    fn no_text_panics_and_none_but_the_right_boot_counts(
        verdict in "pass|\\PC*", boot in "\\PC*", checked in "\\PC*|2026-11-23T05:00:00Z", until in "\\PC*|9999-12-31T00:00:00Z",
        key in "(check\\.HP105\\.)?\\PC*"
    ) {
        let texts = texts(&[("verdict", &verdict), ("boot-id", &boot), ("checked-at", &checked), ("valid-until", &until), (&key, "x")]);
        let published = Published::read(&texts, &texts, PREFIX);
        let state = published.state(BOOT, at("2026-11-23T05:30:00Z"));
        prop_assert!(state.verdict() == Verdict::Unknown || boot == BOOT);
    }
}
