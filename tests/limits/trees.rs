//! Mounts, cgroups, limits and privileges, read from captured trees and judged.
//!
//! A tree is one file, `tests/fixtures/limits/NAME.tree`: `--- PATH` and the lines of the file, `--- PATH = TEXT` for
//! one line, `--- PATH/` for a directory.

use hugeprobe::domain::catalogue::{HP401, HP402};
use hugeprobe::domain::cgroup::{CgroupVersion, HugetlbCgroup, HugetlbCounterKind};
use hugeprobe::domain::check::{Finding, Outcome};
use hugeprobe::domain::inspect;
use hugeprobe::domain::inventory::Inventory;
use hugeprobe::domain::reading::Reading;
use hugeprobe::domain::request::Request;
use hugeprobe::linux::root::HostRoot;
use hugeprobe::linux::{cgroup, limits, mounts, privileges};

use super::{MIB, size};
use Outcome::{Fail, Pass, Skip, Unknown, Warn};

struct Tree {
    _directory: tempfile::TempDir,
    root: HostRoot,
}

fn tree(name: &str) -> Tree {
    let text = std::fs::read_to_string(format!("tests/fixtures/limits/{name}.tree")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for entry in text.split("--- ").skip(1) {
        let (head, body) = entry.split_once('\n').unwrap();
        let (path, body) = match head.split_once(" =") {
            Some((path, line)) => (path, format!("{}\n", line.trim())),
            None => (head, body.to_owned()),
        };
        let full = directory.path().join(path.trim_start_matches('/'));
        if path.ends_with('/') {
            std::fs::create_dir_all(full).unwrap();
        } else {
            std::fs::create_dir_all(full.parent().unwrap()).unwrap();
            std::fs::write(full, body).unwrap();
        }
    }
    let root = HostRoot::new(directory.path());
    Tree { _directory: directory, root }
}

fn group(name: &str) -> HugetlbCgroup {
    match cgroup::read(&tree(name).root) {
        Reading::Known(group) => group,
        reading => panic!("{name}: {reading:?}"),
    }
}

/// The tightest file and the bytes it leaves.
fn tightest(group: &HugetlbCgroup, its_size: &str, kind: HugetlbCounterKind) -> Option<(String, u64)> {
    let headroom = group.headroom(size(its_size), kind);
    assert_eq!(headroom.not_known, Vec::<String>::new());
    headroom.tightest.map(|room| (room.file, room.left))
}

fn directories(group: &HugetlbCgroup) -> Vec<&str> {
    group.levels.iter().map(|level| level.directory.as_str()).collect()
}

/// HP401 and HP402 with `--need`, so that no pool matters.
fn judged(name: &str, need: &str) -> Vec<Finding> {
    let Tree { root, .. } = &tree(name);
    let inventory = Inventory {
        cgroup: cgroup::read(root),
        memory_cgroup: cgroup::read_memory(root),
        huge_pages_count_as_memory: cgroup::counts_huge_pages(root),
        limits: limits::read(root),
        ..Inventory::default()
    };
    let need: Vec<_> = vec![need.parse().unwrap()];
    let its_size = need.iter().map(|need: &hugeprobe::domain::request::PageCount| need.size).next().unwrap();
    inspect::limits::inspect(&inventory, &Request { need, ..Request::default() }, its_size)
}

fn outcomes(name: &str, need: &str) -> (Outcome, Outcome) {
    let findings = judged(name, need);
    assert_eq!([findings[0].id, findings[1].id], [HP401, HP402]);
    (findings[0].outcome, findings[1].outcome)
}

#[test]
fn memory_max_of_a_slice_counts_where_huge_pages_are_charged_to_it() {
    // 64 MiB less 12 MiB, of which 4 MiB are page cache: 26 pages at once, 28 when the cache is reclaimed.
    for (need, outcome) in
        [("2Mi=26", Pass), ("2Mi=27", Outcome::Warn), ("2Mi=28", Outcome::Warn), ("2Mi=29", Fail)]
    {
        assert_eq!(outcomes("v2-memory-accounting", need), (outcome, Pass), "{need}");
    }
    let findings = judged("v2-memory-accounting", "2Mi=48");
    assert!(findings[0].seen.contains("/sys/fs/cgroup/work.slice/memory.max is 64 MiB"), "{:?}", findings[0]);
    assert_eq!(cgroup::counts_huge_pages(&tree("v2-parent").root), Reading::Known(false));
}

#[test]
fn the_mixed_layout_has_its_limits_above_a_group_without_the_controller() {
    let group = group("mixed");
    assert_eq!(
        (group.version, group.path.as_str(), group.complete),
        (CgroupVersion::V2, "/t/kid/leaf", true)
    );
    let unified = "/sys/fs/cgroup/unified";
    assert_eq!(
        directories(&group),
        [
            format!("{unified}/t/kid/leaf"),
            format!("{unified}/t/kid"),
            format!("{unified}/t"),
            unified.to_owned()
        ]
    );
    assert_eq!(group.levels[0].sizes, Reading::Known(vec![]));
    assert_eq!(
        tightest(&group, "2Mi", HugetlbCounterKind::Fault),
        Some((format!("{unified}/t/hugetlb.2MB.max"), 8 * MIB))
    );
    assert_eq!(
        tightest(&group, "2Mi", HugetlbCounterKind::Reservation),
        Some((format!("{unified}/t/kid/hugetlb.2MB.rsvd.max"), 4 * MIB))
    );
    assert_eq!(tightest(&group, "1Gi", HugetlbCounterKind::Fault), None);
    assert_eq!(outcomes("mixed", "2Mi=2"), (Pass, Pass));
    assert_eq!(outcomes("mixed", "2Mi=4"), (Pass, Fail));
    assert_eq!(outcomes("mixed", "2Mi=5"), (Fail, Fail));
}

#[test]
fn a_container_sees_its_own_limits_and_knows_that_there_may_be_more() {
    let group = group("v2-container");
    assert_eq!((group.path.as_str(), group.complete), ("/", false));
    assert_eq!(directories(&group), ["/sys/fs/cgroup"]);
    let file = |name: &str| format!("/sys/fs/cgroup/{name}");
    assert_eq!(tightest(&group, "2Mi", HugetlbCounterKind::Fault), Some((file("hugetlb.2MB.max"), 28 * MIB)));
    assert_eq!(tightest(&group, "2Mi", HugetlbCounterKind::Reservation), None);
    assert_eq!(tightest(&group, "1Gi", HugetlbCounterKind::Fault), Some((file("hugetlb.1GB.max"), 0)));
    assert_eq!(outcomes("v2-container", "1Gi=1"), (Fail, Fail));
    assert_eq!(
        judged("v2-container", "2Mi=14")[0].summary,
        "room for 14 pages, as far as parent cgroups are visible from here"
    );

    let tree = tree("v2-container");
    let privileges = privileges::read(&tree.root);
    assert_eq!((privileges.uid, privileges.gid), (65532, 65532));
    assert_eq!(privileges.capabilities, Reading::Known(0));
    let mounts = mounts::read(&tree.root);
    let [mount] = mounts.known().unwrap().as_slice() else { panic!("{mounts:?}") };
    assert_eq!((mount.path.as_str(), mount.size, mount.limit_bytes), ("/hugepages", Some(size("2Mi")), None));
}

#[test]
fn a_parents_limit_is_tighter_than_the_own_group_without_one() {
    let group = group("v2-parent");
    assert!(group.complete);
    assert_eq!(directories(&group).len(), 3);
    assert_eq!(
        tightest(&group, "2Mi", HugetlbCounterKind::Fault),
        Some(("/sys/fs/cgroup/work.slice/hugetlb.2MB.max".into(), 4 * MIB))
    );
    assert_eq!(outcomes("v2-parent", "2Mi=2"), (Pass, Pass));
    let findings = judged("v2-parent", "2Mi=3");
    assert_eq!(findings[0].summary, "this cgroup may use 2 of the 3 pages needed");
    assert_eq!(findings[0].seen, "/sys/fs/cgroup/work.slice/hugetlb.2MB.max is 16 MiB, with 12 MiB in use");
    assert!(
        findings[0].remedy.starts_with("raise /sys/fs/cgroup/work.slice/hugetlb.2MB.max to 18874368 bytes;")
    );

    let mounts = mounts::read(&tree("v2-parent").root);
    let mounts = mounts.known().unwrap();
    assert_eq!(
        mounts.iter().map(|mount| mount.path.as_str()).collect::<Vec<_>>(),
        ["/dev/hugepages", "/mnt/one gig"]
    );
    assert_eq!((mounts[1].size, mounts[1].limit_bytes), (Some(size("1Gi")), Some(4096 * MIB)));
}

#[test]
fn a_controller_enabled_nowhere_on_the_way_limits_nothing() {
    let group = group("v2-not-enabled");
    assert_eq!((directories(&group).len(), group.complete), (4, true));
    assert!(group.levels.iter().all(|level| level.sizes == Reading::Known(vec![])));
    assert_eq!(outcomes("v2-not-enabled", "2Mi=512"), (Pass, Pass));
}

#[test]
fn the_hosts_hierarchy_in_a_container_shows_the_limits_above_it() {
    let group = group("v2-host-in-container");
    assert_eq!((group.path.as_str(), group.complete), ("/", true));
    let top = "/host/cgroup";
    assert_eq!(
        directories(&group),
        [
            format!("{top}/kubepods/pod1/own"),
            format!("{top}/kubepods/pod1"),
            format!("{top}/kubepods"),
            top.into()
        ]
    );
    assert_eq!(
        tightest(&group, "2Mi", HugetlbCounterKind::Fault),
        Some(("/host/cgroup/kubepods/hugetlb.2MB.max".into(), 0))
    );
    assert_eq!(outcomes("v2-host-in-container", "2Mi=1"), (Fail, Pass));
}

#[test]
fn v1_has_its_limits_on_every_level_and_the_highest_may_be_the_tightest() {
    let group = group("v1");
    assert_eq!((group.version, group.path.as_str()), (CgroupVersion::V1, "/kubepods/pod1/c1"));
    assert_eq!((directories(&group).len(), group.complete), (4, true));
    let file = "/sys/fs/cgroup/pids,hugetlb/kubepods/hugetlb.2MB.limit_in_bytes".to_owned();
    assert_eq!(tightest(&group, "2Mi", HugetlbCounterKind::Fault), Some((file, 2 * MIB)));
    assert_eq!(tightest(&group, "2Mi", HugetlbCounterKind::Reservation), None);
    assert_eq!(outcomes("v1", "2Mi=1"), (Pass, Pass));
    assert_eq!(outcomes("v1", "2Mi=2"), (Fail, Pass));
    assert_eq!(outcomes("v1", "1Gi=1"), (Fail, Pass));
}

#[test]
fn a_v1_container_without_a_namespace_has_its_own_group_mounted() {
    let group = group("v1-container");
    assert_eq!((directories(&group), group.complete), (vec!["/sys/fs/cgroup/hugetlb"], false));
    let file = "/sys/fs/cgroup/hugetlb/hugetlb.2MB.limit_in_bytes".to_owned();
    assert_eq!(tightest(&group, "2Mi", HugetlbCounterKind::Fault), Some((file, 0)));
    assert_eq!(tightest(&group, "2Mi", HugetlbCounterKind::Reservation), None, "this kernel has none");
    assert_eq!(tightest(&group, "1Gi", HugetlbCounterKind::Fault), None, "the counter's end is no limit");
}

#[test]
fn sizes_are_data() {
    let group = group("arm64");
    for (its_size, left) in
        [("64Ki", Some(64 << 10)), ("2Mi", None), ("512Mi", Some(512 * MIB)), ("16Gi", Some(16 << 30))]
    {
        assert_eq!(
            tightest(&group, its_size, HugetlbCounterKind::Fault).map(|(_, left)| left),
            left,
            "{its_size}"
        );
    }
    let file = "/sys/fs/cgroup/w/hugetlb.16GB.rsvd.max".to_owned();
    assert_eq!(tightest(&group, "16Gi", HugetlbCounterKind::Reservation), Some((file, 0)));
}

#[test]
fn garbage_is_unknown_and_named() {
    for (need, kind, part) in [
        ("2Mi=1", 0, "/sys/fs/cgroup/w/hugetlb.2MB.max holds 'many'"),
        ("2Mi=1", 1, "cannot read /sys/fs/cgroup/w/hugetlb.2MB.rsvd.max"),
        ("1Gi=1", 0, "/sys/fs/cgroup/w/hugetlb.1GB.current holds ''"),
    ] {
        let finding = &judged("garbage", need)[kind];
        assert_eq!(finding.outcome, Unknown, "{need}");
        assert!(finding.seen.contains(part), "{}", finding.seen);
    }
    // More than the limit does not fit, whatever is in use.
    assert_eq!(outcomes("garbage", "1Gi=5"), (Fail, Pass));

    let tree = tree("garbage");
    let limits = limits::read(&tree.root);
    assert!(matches!(limits.nofile, Reading::Malformed(_)) && limits.memlock == Reading::Absent);
    assert!(limits.swap_bytes.is_trouble());
    let privileges = privileges::read(&tree.root);
    assert!(privileges.capabilities.is_trouble() && privileges.mems.is_trouble());
    assert_eq!(privileges.uid, u32::MAX);
    let memory_cgroup = Reading::Malformed("garbage".into());
    let inventory = Inventory { limits, privileges, memory_cgroup, ..Inventory::default() };
    for finding in inspect::limits::inspect_machine(&inventory, &Request::default()) {
        let outcome = match finding.id.to_string().as_str() {
            // A memory limit below what the workload needs is too rare to make every other answer unknown.
            "HP410" => Warn,
            // Nothing on the machine has a part in it.
            "HP412" => Pass,
            // The tree has no directory of CPUs.
            "HP414" => Skip,
            _ => Unknown,
        };
        assert_eq!(finding.outcome, outcome, "{finding:?}");
    }
}

#[test]
fn what_cannot_be_seen_is_unknown_and_never_no_limit() {
    for (name, part) in [
        ("files-missing", "/sys/fs/cgroup/w has no hugetlb files"),
        ("group-missing", "/sys/fs/cgroup/gone (deleted) does not exist"),
        ("not-mounted", "the cgroup v1 hierarchy of the hugetlb controller is not mounted"),
        ("covered", "cgroup v2 is not mounted where this process can see it"),
        ("other-subtree", "no mount of cgroup v2 shows this process's group /"),
        ("contradiction", "on hierarchy 10, which /proc/self/cgroup does not list"),
        ("no-mountinfo", "/proc/self/mountinfo is empty"),
    ] {
        for finding in judged(name, "2Mi=1") {
            assert_eq!(finding.outcome, Unknown, "{name}");
            assert!(finding.seen.contains(part), "{name}: {}", finding.seen);
        }
    }
    let nothing = tempfile::tempdir().unwrap();
    assert!(cgroup::read(&HostRoot::new(nothing.path())).is_trouble(), "/proc is not mounted");
    assert_eq!(mounts::read(&HostRoot::new(nothing.path())), Reading::Absent);
    assert!(matches!(mounts::read(&tree("no-mountinfo").root), Reading::Malformed(_)));
}

#[test]
fn a_kernel_that_has_no_controller_has_no_limit() {
    for name in ["switched-off", "no-controller", "nothing-mounted", "no-cgroups"] {
        assert_eq!(cgroup::read(&tree(name).root), Reading::Absent, "{name}");
        assert_eq!(outcomes(name, "2Mi=1"), (Pass, Pass), "{name}");
    }
}

#[test]
fn this_machine_can_be_read() {
    let root = HostRoot::default();
    assert!(mounts::read(&root).known().is_some());
    assert!(!matches!(cgroup::read(&root), Reading::Malformed(_)));
    assert!(limits::read(&root).nofile.known().is_some());
}
