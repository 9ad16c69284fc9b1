//! Each row is found by its own example, and no text does harm. Real logs: tests/troubleshooting.rs.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn every_row_is_found_by_its_own_example_and_has_all_its_fields() {
    let mut names = BTreeSet::new();
    for trouble in all() {
        assert!(names.insert(trouble.name), "{} twice", trouble.name);
        assert!(![trouble.cause, trouble.remedy, trouble.example].contains(&""), "{}", trouble.name);
        assert!(!trouble.sources.is_empty(), "{}", trouble.name);
        assert_eq!(
            trouble.says.is_empty(),
            trouble.example.starts_with("nothing is printed"),
            "{}",
            trouble.name
        );
        for piece in trouble.says.iter().copied().flatten() {
            assert_eq!(*piece, piece.to_ascii_lowercase(), "{}", trouble.name);
            assert!(!piece.is_empty(), "{}", trouble.name);
        }
        let found: Vec<_> = search(trouble.example).iter().map(|found| found.trouble.name).collect();
        let expected: &[&str] = if trouble.says.is_empty() { &[] } else { &[trouble.name] };
        assert_eq!(found, expected);
    }
    assert!(names.len() >= 63, "{}", names.len());
}

#[test]
fn remedies_that_name_no_check_say_that_hugeprobe_does_not_look() {
    let known = ["dpdk-lock", "vhost-fdset", "qemu-reserve-off", "volume-two-sizes", "volume-no-request"];
    for trouble in all().filter(|trouble| trouble.checks.is_empty()) {
        let says_so = trouble.remedy.contains("hugeprobe does not look at");
        assert!(says_so || known.contains(&trouble.name), "{}", trouble.name);
    }
}

#[test]
fn a_line_tells_of_what_it_says_most_of_and_repeats_are_counted() {
    let log = "\nfailed to connect: Permission denied\nEAL: Not enough memory available!\nnot ENOUGH memory available\n";
    let found = search(log);
    assert_eq!(
        found.iter().map(|one| (one.trouble.name, one.number, one.times)).collect::<Vec<_>>(),
        [("ovs-permission", 2, 1), ("dpdk-not-enough", 3, 2),]
    );
    assert_eq!(found[1].line, "EAL: Not enough memory available!");
    assert!(search("all is well\n").is_empty() && search("").is_empty());
    assert!(search(&format!("{}cannot init memory", "x".repeat(LONGEST_LINE))).is_empty());
}

#[test]
fn what_is_often_harmless_comes_last() {
    let log = "EAL: No free 1048576 kB hugepages reported on node 0\nEAL: FATAL: Cannot init memory\n";
    let found: Vec<_> = search(log).iter().map(|one| one.trouble.name).collect();
    assert_eq!(found, ["dpdk-init-memory", "dpdk-none-free"]);
}

proptest! {
    #[test]
    fn no_text_panics(text: String) {
        prop_assert!(search(&text).len() <= text.lines().count());
    }

    #[test]
    fn a_line_is_found_among_others(before in "[a-z0-9 \n]{0,200}", row in 0_usize..1000, after in "\\PC{0,40}") {
        let rows: Vec<_> = all().filter(|trouble| !trouble.says.is_empty()).collect();
        let row = rows[row % rows.len()];
        let log = format!("{before}\n2026-11-23T05:46:21Z|1|{}\n{after}", row.example);
        prop_assert!(search(&log).iter().any(|found| found.trouble.name == row.name));
    }
}
