//! Mounts, cgroups, limits and privileges, read from captured trees and judged; and, as root, mounts of a namespace of
//! our own, as this kernel shows them.
//!
//! A tree is one file, `tests/fixtures/limits/NAME.tree`: `--- PATH` and the lines of the file, `--- PATH = TEXT` for
//! one line, `--- PATH/` for a directory.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)] // it is a test

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hugeprobe::domain::catalogue::{HP401, HP402};
use hugeprobe::domain::cgroup::{CgroupVersion, HugetlbCgroup, HugetlbCounterKind};
use hugeprobe::domain::check::{Finding, Outcome};
use hugeprobe::domain::inspect;
use hugeprobe::domain::inventory::{DirectoryKind, Inventory, WriteAttempt};
use hugeprobe::domain::reading::Reading;
use hugeprobe::domain::request::Request;
use hugeprobe::domain::size::PageSize;
use hugeprobe::linux::directory::inspect_directory;
use hugeprobe::linux::mounts::parse_huge_mounts;
use hugeprobe::linux::root::HostRoot;
use hugeprobe::linux::{cgroup, limits, mounts, privileges};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use Outcome::{Fail, Pass, Unknown, Warn};

const MIB: u64 = 1 << 20;

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

fn size(text: &str) -> PageSize {
    text.parse().unwrap()
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
    assert_eq!(cgroup::read_memory(&tree("v2-parent").root), Reading::Absent);
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
    let memory_limit = Reading::Malformed("garbage".into());
    let inventory = Inventory { limits, privileges, memory_limit, ..Inventory::default() };
    for finding in inspect::limits::inspect_machine(&inventory, &Request::default()) {
        let outcome = match finding.id.to_string().as_str() {
            // A memory limit below what the workload needs is too rare to make every other answer unknown.
            "HP410" => Warn,
            // Nothing on the machine has a part in it.
            "HP412" => Pass,
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

/// A directory in a mount namespace of this thread's own, under a tmpfs that takes all mounts below away with it.
struct Scratch(tempfile::TempDir);

impl Scratch {
    /// `None` without the right to make such a namespace.
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let nothing = None::<&str>;
        let made = unshare(CloneFlags::CLONE_NEWNS)
            .and_then(|()| mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing))
            .and_then(|()| {
                mount(Some("none"), directory.path(), Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
            });
        match made {
            Ok(()) => Some(Self(directory)),
            Err(errno) => {
                println!("not run: a mount namespace of one's own is refused: {errno}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn make(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        umount2(self.path(), MntFlags::MNT_DETACH).unwrap();
    }
}

fn hugetlbfs(path: &Path, flags: MsFlags, options: &str) -> nix::Result<()> {
    mount(Some("none"), path, Some("hugetlbfs"), flags, Some(options))
}

fn kind(path: &Path) -> DirectoryKind {
    inspect_directory(path).kind.known().unwrap().clone()
}

/// As another user, in the eyes of the file system and for this thread alone.
fn as_nobody<T>(act: impl FnOnce() -> T) -> T {
    let before = nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
    let result = act();
    nix::unistd::setfsuid(before);
    result
}

#[test]
fn this_kernel_shows_mounts_as_they_were_seen() {
    let Some(scratch) = Scratch::new() else { return };
    let small = size("2Mi");
    let plain = DirectoryKind::Hugetlbfs { size: small, pages: None, inodes: None };
    // options; limit and inodes among the mount's; what fstatfs tells; whether a file can be made
    for (index, (options, limit, inodes, expected)) in [
        ("pagesize=2M", None, None, plain.clone()),
        (
            "pagesize=2M,size=5M",
            Some(4 * MIB),
            None,
            DirectoryKind::Hugetlbfs { size: small, pages: Some((2, 2)), inodes: None },
        ),
        (
            "pagesize=2M,size=0",
            Some(0),
            None,
            DirectoryKind::Hugetlbfs { size: small, pages: Some((0, 0)), inodes: None },
        ),
        ("pagesize=2M,nr_inodes=1", None, Some(1), plain.clone()),
        ("pagesize=2M,nr_inodes=2", None, Some(2), plain.clone()),
        ("pagesize=2M,nr_inodes=3", None, Some(3), plain),
        (
            "pagesize=2M,nr_inodes=1,size=4M",
            Some(4 * MIB),
            Some(1),
            DirectoryKind::Hugetlbfs { size: small, pages: Some((2, 2)), inodes: Some((1, 0)) },
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let path = scratch.make(&format!("m {index}"));
        if let Err(errno) = hugetlbfs(&path, MsFlags::empty(), options) {
            println!("not run: this kernel mounts no hugetlbfs of 2Mi: {errno}");
            return;
        }
        let text = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let mounts = parse_huge_mounts(&text).unwrap();
        let shown = mounts.iter().find(|mount| Path::new(&mount.path) == path).unwrap();
        assert_eq!((shown.size, shown.limit_bytes, shown.inodes), (Some(small), limit, inodes), "{options}");

        let directory = inspect_directory(&path);
        assert_eq!(directory.kind, Reading::Known(expected), "{options}");
        assert_eq!(directory.device.as_ref(), Some(&shown.device));
        let may = directory.writable.known().unwrap().clone();
        assert_eq!(matches!(may, WriteAttempt::NoInode(_)), inodes == Some(1), "{options}: {may:?}");
        // The root directory has one.
        assert_eq!(matches!(may, WriteAttempt::LastInode(_)), inodes == Some(2), "{options}: {may:?}");
        let is_enough = inodes.is_none_or(|inodes| inodes >= 3);
        assert_eq!(may == WriteAttempt::Allowed, is_enough, "{options}: {may:?}");
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0, "{options}");
    }
}

#[test]
fn this_kernel_tells_read_only_from_not_permitted() {
    let Some(scratch) = Scratch::new() else { return };
    let (open, mine, read_only, secret) =
        ["open", "mine", "read-only", "secret"].map(|name| scratch.make(name)).into();
    if hugetlbfs(&open, MsFlags::empty(), "mode=0777").is_err() {
        return;
    }
    hugetlbfs(&mine, MsFlags::empty(), "").unwrap();
    hugetlbfs(&read_only, MsFlags::MS_RDONLY, "").unwrap();
    std::fs::set_permissions(&secret, Permissions::from_mode(0o700)).unwrap();
    std::fs::create_dir(secret.join("below")).unwrap();

    let answer = |path: &Path| inspect_directory(path).writable.known().unwrap().clone();
    assert_eq!(answer(&mine), WriteAttempt::Allowed);
    assert!(matches!(answer(&read_only), WriteAttempt::ReadOnly(text) if text.contains("EROFS")));
    as_nobody(|| {
        assert_eq!(answer(&open), WriteAttempt::Allowed);
        assert!(matches!(answer(&mine), WriteAttempt::Denied(text) if text.contains("EACCES")));
        let below = inspect_directory(&secret.join("below"));
        assert!(below.kind.is_trouble(), "{below:?}");
        assert!(matches!(below.writable, Reading::Known(WriteAttempt::Denied(_))));
    });
}

#[test]
fn this_kernel_hides_mounts_as_the_tables_say() {
    let Some(scratch) = Scratch::new() else { return };
    let (stacked, below, beside, itself) =
        ["stacked", "a/b", "a.b", "itself"].map(|name| scratch.make(name)).into();
    for path in [&stacked, &stacked, &below, &beside, &itself] {
        if hugetlbfs(path, MsFlags::empty(), "").is_err() {
            return;
        }
    }
    mount(Some("none"), &scratch.path().join("a"), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    mount(Some(&itself), &itself, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    assert_eq!(kind(&scratch.path().join("a")), DirectoryKind::Other("tmpfs".into()));

    let text = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let top = scratch.path().to_str().unwrap();
    let seen: Vec<_> = parse_huge_mounts(&text)
        .unwrap()
        .into_iter()
        .filter_map(|mount| {
            let hider = mount.hidden_by.map(|hider| hider.trim_start_matches(top).to_owned());
            Some((mount.path.strip_prefix(top)?.to_owned(), hider))
        })
        .collect();
    let expected = [
        ("/stacked", Some("/stacked")),
        ("/stacked", None),
        ("/a/b", Some("/a")),
        ("/a.b", None),
        ("/itself", None),
        ("/itself", None),
    ]
    .map(|(path, hider)| (path.to_owned(), hider.map(str::to_owned)));
    assert_eq!(seen, expected);
}
