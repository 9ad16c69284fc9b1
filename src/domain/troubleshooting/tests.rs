//! Tests that each row is found by its example, and that no text causes a panic. tests/troubleshooting.rs searches
//! whole logs.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::pattern::LONGEST_LINE;
use super::*;

/// Returns a log with the line of a failure, and the other line that must be in the log, if any.
fn example(failure: &KnownFailure) -> Option<String> {
    let MetAs::Line(line) = failure.met_as else { return None };
    let beside = if failure.beside.is_some() { "\nvm.nr_hugepages = 1024" } else { "" };
    Some(format!("{line}{beside}"))
}

#[test]
fn the_rows_parse() {
    let chapters = parse::chapters(ROWS).unwrap_or_else(|error| panic!("rows.txt: {error}"));
    assert!(chapters.iter().map(|chapter| chapter.failures.len()).sum::<usize>() >= 110);
}

#[test]
fn every_row_is_found_by_its_example() {
    let mut names = BTreeSet::new();
    for failure in all() {
        assert!(names.insert(failure.name), "{} twice", failure.name);
        let Some(log) = example(failure) else { continue };
        let found: Vec<_> = search(&log).iter().map(|found| found.failure.name).collect();
        assert_eq!(found, [failure.name]);
    }
}

#[test]
fn repeats_are_counted() {
    let log = "\nVHOST_CONFIG: (/run/a) failed to connect: Permission denied\nEAL: Not enough memory available! Requested: 1\n\
               not ENOUGH memory  available on socket 0! requested: 2\n";
    let found = search(log);
    assert_eq!(
        found.iter().map(|one| (one.failure.name, one.number, one.times)).collect::<Vec<_>>(),
        [("ovs-permission", 2, 1), ("dpdk-not-enough", 3, 2)]
    );
    assert_eq!(found[1].line, "EAL: Not enough memory available! Requested: 1");
    assert!(search("no error\n").is_empty() && search("").is_empty());
    assert!(search(&format!("{}cannot init memory", "x".repeat(LONGEST_LINE))).is_empty());
}

#[test]
fn a_consequence_comes_after_its_cause_and_names_its_line() {
    let log = "EAL: No free 1048576 kB hugepages reported on node 0\n\
               EAL: couldn't find suitable memseg_list\n\
               EAL: FATAL: Cannot init memory\n\
               Cause: Cannot init EAL: Cannot allocate memory\n";
    let found: Vec<_> = search(log).iter().map(|one| (one.failure.name, one.follows)).collect();
    assert_eq!(
        found,
        [
            ("dpdk-memseg-lists", None),
            ("dpdk-init-memory", Some(2)),
            ("dpdk-init-enomem", Some(2)),
            ("dpdk-none-free", None)
        ]
    );
}

#[test]
fn a_consequence_without_a_cause_near_it_counts_as_one() {
    let alone = search("EAL: FATAL: Cannot init memory\n");
    assert_eq!(alone[0].follows, None);
    let far =
        format!("EAL: FATAL: unsupported cpu type\n{}Cannot init memory\n", "\n".repeat(CONSEQUENCE_WITHIN));
    assert_eq!(search(&far).len(), 2);
    assert!(search(&far).iter().all(|one| one.follows.is_none()));
}

#[test]
fn the_errno_decides() {
    for (line, name) in [
        ("dpdk|EMER|Unable to initialize DPDK: Operation not supported", "ovs-dpdk-init-failed"),
        ("dpdk|EMER|Unable to initialize DPDK: Cannot allocate memory", "ovs-dpdk-init"),
        ("Failed to reserve shared memory. (error = 1)", "jvm-shm-denied"),
        ("Failed to reserve shared memory. (error = 12)", "jvm-shm-no-pages"),
        ("unable to start vhost net: 24: falling back on userspace virtio", "qemu-fallback-files"),
        ("unable to start vhost net: 22: falling back on userspace virtio", "qemu-fallback"),
        ("qemu_prealloc_mem: preallocating memory failed: Operation not permitted", "qemu-prealloc-denied"),
    ] {
        assert_eq!(search(line)[0].failure.name, name, "{line}");
    }
}

#[test]
fn a_line_about_something_else_is_no_bus_error() {
    for line in
        ["process exited: Bus error", "Main process exited, code=dumped, status=7/BUS", "      Signal:    7"]
    {
        assert_eq!(search(line)[0].failure.name, "bus-error", "{line}");
    }
    let line =
        "pcieport 0000:00:1c.5: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)";
    assert!(search(line).is_empty());
}

#[test]
fn a_row_may_need_a_second_line_of_the_log() {
    let line = r#""Allocatable" allocatable={"cpu":"7","hugepages-2Mi":"0"}"#;
    assert!(search(line).is_empty(), "a node without huge pages");
    let names: Vec<_> = search(&format!("{line}\nsysctl: vm.nr_hugepages = 1024"))
        .iter()
        .map(|one| one.failure.name)
        .collect();
    assert_eq!(names, ["kubelet-stale"]);
}

proptest! {
    #[test]
    fn no_text_panics(text: String) {
        prop_assert!(search(&text).len() <= text.lines().count());
    }

    #[test]
    fn a_line_is_found_among_others(before in "[a-z0-9 \n]{0,200}", row in 0_usize..1000, after in "\\PC{0,40}") {
        let rows: Vec<_> = all().filter(|failure| matches!(failure.met_as, MetAs::Line(_))).collect();
        let row = rows[row % rows.len()];
        let log = format!("{before}\n2026-11-23T05:46:21Z|1|{}\n{after}", example(row).unwrap());
        prop_assert!(search(&log).iter().any(|found| found.failure.name == row.name));
    }
}
