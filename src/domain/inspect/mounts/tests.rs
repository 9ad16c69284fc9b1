//! Tests that each of HP301 to HP305 has each of its outcomes.

use super::*;
use crate::inventory::{Directory, Pool, Privileges};
use crate::request::Workload;
use Outcome::{Fail, Pass, Skip, Unknown, Warn};

const DIR: &str = "/mnt/huge";

fn size(text: &str) -> PageSize {
    text.parse().unwrap()
}

fn mount(path: &str, its_size: &str) -> HugeMount {
    HugeMount {
        path: path.into(),
        size: Some(size(its_size)),
        limit_bytes: None,
        min_bytes: None,
        inodes: None,
        read_only: false,
        hidden_by: None,
        options: vec![],
        device: "0:53".into(),
    }
}

fn hugetlbfs(its_size: &str, pages: Option<(u64, u64)>, inodes: Option<(u64, u64)>) -> DirectoryKind {
    DirectoryKind::Hugetlbfs { size: size(its_size), pages, inodes }
}

fn directory(kind: Reading<DirectoryKind>, writable: Reading<WriteAttempt>) -> Directory {
    Directory {
        path: DIR.into(),
        real_path: Some(DIR.into()),
        device: Some("0:53".into()),
        kind,
        writable,
        listing: Reading::Known(()),
    }
}

fn good() -> Directory {
    directory(Reading::Known(hugetlbfs("2Mi", None, None)), Reading::Known(WriteAttempt::Allowed))
}

fn inventory(mounts: Vec<HugeMount>, directory: Option<Directory>) -> Inventory {
    let privileges = Privileges { uid: 65532, gid: 65532, ..Privileges::default() };
    Inventory { mounts: Reading::Known(mounts), directory, privileges, ..Inventory::default() }
}

fn request(directory: bool, need: &[&str]) -> Request {
    Request {
        directory: directory.then(|| DIR.to_owned()),
        need: need.iter().map(|text| text.parse().unwrap()).collect(),
        ..Request::default()
    }
}

/// Returns the five findings about 2Mi, and checks that there is one for each id.
fn findings(inventory: &Inventory, request: &Request) -> [Finding; 5] {
    let findings = inspect(inventory, request, size("2Mi"));
    assert_eq!(
        findings.iter().map(|finding| finding.id).collect::<Vec<_>>(),
        [HP301, HP302, HP303, HP304, HP305]
    );
    for finding in &findings {
        assert_eq!(finding.size, Some(size("2Mi")));
        let answered = !finding.expected.is_empty() && !finding.seen.is_empty() && !finding.remedy.is_empty();
        assert_eq!(answered, !matches!(finding.outcome, Pass | Skip), "{finding:?}");
    }
    findings.try_into().unwrap()
}

fn with(directory: Directory) -> [Finding; 5] {
    findings(&inventory(vec![mount(DIR, "2Mi")], Some(directory)), &request(true, &[]))
}

fn outcomes(findings: &[Finding]) -> Vec<Outcome> {
    findings.iter().map(|finding| finding.outcome).collect()
}

#[test]
fn without_dir_the_mounts_of_the_size_are_told_and_none_is_needed() {
    let found = findings(
        &inventory(vec![mount("/dev/hugepages", "2Mi"), mount("/g", "1Gi")], None),
        &request(false, &[]),
    );
    assert_eq!(outcomes(&found), [Pass, Skip, Skip, Skip, Pass]);
    assert_eq!(found[0].summary, "mounted at /dev/hugepages");
    assert_eq!(found[4].summary, "1 mount, none hidden");

    let found = findings(&inventory(vec![mount("/g", "1Gi")], None), &request(false, &[]));
    assert_eq!(outcomes(&found), [Skip; 5]);
    assert_eq!(found[0].summary, "no hugetlbfs of 2Mi is mounted; memfd needs none");

    let mut limited = mount("/a", "2Mi");
    (limited.limit_bytes, limited.min_bytes, limited.read_only) = (Some(8 << 20), Some(2 << 20), true);
    let found = findings(&inventory(vec![limited.clone()], None), &request(false, &[]));
    assert_eq!(found[0].summary, "mounted at /a, size= 8 MiB, min_size= keeps 1 page for it, read-only");
    let found = findings(&inventory(vec![limited, mount("/b", "2Mi")], None), &request(false, &[]));
    assert_eq!(found[0].summary, "mounted at /a and 1 place more");
}

#[test]
fn mounts_that_cannot_be_read_are_unknown() {
    for mounts in
        [Reading::Unreadable("EACCES".into()), Reading::Malformed("garbage".into()), Reading::Absent]
    {
        let inventory = Inventory { mounts, ..Inventory::default() };
        assert_eq!(
            outcomes(&findings(&inventory, &request(false, &[]))),
            [Unknown, Skip, Skip, Skip, Unknown]
        );
        // The directory is examined directly. Whether another mount hides it is still not known.
        let inventory = Inventory { directory: Some(good()), ..inventory };
        assert_eq!(outcomes(&findings(&inventory, &request(true, &[]))), [Pass, Pass, Pass, Pass, Unknown]);
    }
}

#[test]
fn a_hidden_mount_is_a_warning_and_none_to_use() {
    let mut hidden = mount("/dev/hugepages", "2Mi");
    hidden.hidden_by = Some("/dev".into());
    let found = findings(&inventory(vec![hidden.clone()], None), &request(false, &[]));
    assert_eq!(outcomes(&found), [Skip, Skip, Skip, Skip, Warn]);
    assert_eq!(found[4].seen, "another mount at /dev hides it");

    hidden.size = Some(size("1Gi"));
    let found = findings(&inventory(vec![hidden], None), &request(false, &[]));
    assert_eq!(found[4].outcome, Skip, "another size");
}

#[test]
fn with_dir_a_mount_hidden_at_its_path_or_above_is_a_warning_of_whatever_size() {
    for (path, its_size, expected) in [
        (DIR, "1Gi", Warn),
        ("/mnt", "2Mi", Warn),
        ("/mnt/hugepages", "2Mi", Pass),
        ("/mnt/huge/below", "2Mi", Pass),
    ] {
        let mut hidden = mount(path, its_size);
        hidden.hidden_by = Some(DIR.into());
        let found = findings(&inventory(vec![hidden, mount(DIR, "2Mi")], Some(good())), &request(true, &[]));
        assert_eq!(found[4].outcome, expected, "{path}");
    }
}

#[test]
fn a_directory_that_is_good_passes_everywhere() {
    let found = with(good());
    assert_eq!(outcomes(&found), [Pass; 5]);
    assert_eq!(found[0].summary, "/mnt/huge is a hugetlbfs of 2Mi");
    assert_eq!(found[2].summary, "no size= limit");
    assert_eq!(found[3].summary, "no limit on inodes (nr_inodes=)");
}

#[test]
fn a_directory_that_is_something_else_fails_and_another_is_never_used() {
    for (kind, summary) in [
        (hugetlbfs("1Gi", None, None), "hugetlbfs of 1Gi at /mnt/huge, not hugetlbfs of 2Mi"),
        (DirectoryKind::Other("tmpfs".into()), "tmpfs at /mnt/huge, not hugetlbfs of 2Mi"),
        (DirectoryKind::NotADirectory("nothing".into()), "nothing at /mnt/huge, not hugetlbfs of 2Mi"),
    ] {
        let directory = directory(Reading::Known(kind), Reading::Known(WriteAttempt::Allowed));
        let found =
            findings(&inventory(vec![mount("/dev/hugepages", "2Mi")], Some(directory)), &request(true, &[]));
        assert_eq!(outcomes(&found), [Fail, Skip, Skip, Skip, Skip]);
        assert_eq!(found[0].summary, summary);
        assert_eq!(found[0].remedy, "use --dir /dev/hugepages, which is a hugetlbfs of 2Mi");
    }
}

#[test]
fn no_remedy_mounts_over_what_is_there() {
    let other = || Reading::Known(DirectoryKind::Other("tmpfs".into()));
    let remedy = |mounts| {
        let tmp = Directory { path: "/tmp".into(), ..directory(other(), Reading::Absent) };
        findings(&inventory(mounts, Some(tmp)), &request(true, &[]))[0].remedy.clone()
    };
    let fresh = "mount a hugetlbfs of 2Mi at a new path, and use that with --dir:\n  mkdir -p /mnt/hugepages-2M && \
                 mount -t hugetlbfs -o pagesize=2M none /mnt/hugepages-2M";
    assert_eq!(remedy(vec![]), fresh);
    assert!(remedy(vec![mount("/mnt/hugepages-2M", "1Gi")]).ends_with("none /mnt/hugepages-2M-2"));

    let mut hidden = mount("/dev/hugepages", "2Mi");
    hidden.hidden_by = Some("/dev".into());
    let found = findings(&inventory(vec![hidden.clone()], None), &request(false, &[]));
    assert!(
        found[4].remedy.contains("/mnt/hugepages-2M") && !found[4].remedy.contains("umount"),
        "{found:?}"
    );
    hidden.hidden_by = Some(hidden.path.clone());
    let found = findings(&inventory(vec![hidden], None), &request(false, &[]));
    assert_eq!(found[4].remedy, "run `umount /dev/hugepages` if the mount on top is not needed");
}

#[test]
fn a_directory_that_nobody_could_look_at_is_unknown() {
    assert_eq!(outcomes(&findings(&inventory(vec![], None), &request(true, &[]))), [Unknown; 5]);
    let denied = Reading::Known(WriteAttempt::Denied("opening it answered: EACCES".into()));
    let found = with(directory(Reading::Unreadable("opening it answered: EACCES".into()), denied));
    assert_eq!(outcomes(&found), [Unknown, Fail, Skip, Skip, Pass]);
    assert_eq!(found[1].remedy, "let uid 65532 search every directory above /mnt/huge");
    let found = with(directory(Reading::Malformed("blocks of 3 bytes".into()), Reading::Absent));
    assert_eq!(outcomes(&found), [Unknown, Skip, Skip, Skip, Pass]);
}

#[test]
fn a_path_that_proc_mounts_escapes_is_of_no_use_to_dpdk_alone() {
    for name in ["/mnt/huge pages", "/mnt/t\tab", "/mnt/b\\s"] {
        let directory = Directory { real_path: Some(name.into()), ..good() };
        let inventory = inventory(vec![mount(name, "2Mi")], Some(directory));
        let mut request = request(true, &[]);
        assert_eq!(findings(&inventory, &request)[0].outcome, Fail, "{name}");
        request.workload = Workload::Qemu;
        assert_eq!(findings(&inventory, &request)[0].outcome, Pass, "{name}");
    }
}

#[test]
fn dpdk_finds_a_mount_by_the_path_as_it_is_written() {
    let written = |path: &str, mounts: Vec<HugeMount>, workload| {
        let directory = Directory { path: path.into(), ..good() };
        let request = Request { workload, ..request(true, &[]) };
        findings(&inventory(mounts, Some(directory)), &request)[0].outcome
    };
    let there = || vec![mount(DIR, "2Mi")];
    for (path, outcome) in [
        ("/mnt/huge", Pass),
        ("/mnt/huge/", Pass),
        ("/mnt/huge/.", Pass),
        ("/mnt/huge/below", Pass),
        ("//mnt/huge", Fail),
        ("/mnt/./huge", Fail),
        ("/mnt/link", Fail),
        ("huge", Fail),
    ] {
        assert_eq!(written(path, there(), Workload::Dpdk), outcome, "{path}");
        assert_eq!(written(path, there(), Workload::Qemu), Pass, "{path}");
    }
    // Kernels before 4.13 show pagesize= only if it was given.
    let unsized_mount = HugeMount { size: None, ..mount(DIR, "2Mi") };
    assert_eq!(written(DIR, vec![unsized_mount], Workload::Dpdk), Pass);
    assert_eq!(written(DIR, vec![mount(DIR, "1Gi")], Workload::Dpdk), Fail, "DPDK looks at pagesize=");
}

#[test]
fn each_answer_to_creating_a_file_has_its_own_outcome_and_remedy() {
    let said = || "open(O_TMPFILE) answered: that".to_owned();
    for (writable, outcome, remedy) in [
        (Reading::Known(WriteAttempt::Allowed), Pass, ""),
        (Reading::Known(WriteAttempt::NoInode(said())), Pass, ""),
        (Reading::Known(WriteAttempt::ReadOnly(said())), Fail, "mount -o remount,rw /mnt/huge"),
        (Reading::Known(WriteAttempt::Denied(said())), Fail, "chown 65532:65532 /mnt/huge"),
        (Reading::Known(WriteAttempt::Failed(said())), Unknown, ""),
        (Reading::Absent, Unknown, ""),
        (Reading::Unreadable("no".into()), Unknown, ""),
    ] {
        let finding = &with(directory(Reading::Known(hugetlbfs("2Mi", None, None)), writable.clone()))[1];
        assert_eq!(finding.outcome, outcome, "{writable:?}");
        assert!(finding.remedy.contains(remedy), "{}", finding.remedy);
    }
}

#[test]
fn dpdk_also_lists_the_directory_and_qemu_does_not() {
    let mut found =
        directory(Reading::Known(hugetlbfs("2Mi", None, None)), Reading::Known(WriteAttempt::Allowed));
    found.listing = Reading::Unreadable("open(O_RDONLY) failed: EACCES".into());
    for (workload, outcome) in
        [(Workload::Dpdk, Fail), (Workload::DpdkLegacyMem, Fail), (Workload::Qemu, Pass)]
    {
        let request = Request { workload, directory: Some(DIR.into()), ..Request::default() };
        let inventory = Inventory { directory: Some(found.clone()), ..Inventory::default() };
        let finding = &inspect(&inventory, &request, "2Mi".parse().unwrap())[1];
        assert_eq!((finding.id, finding.outcome), (HP302, outcome), "{workload}");
    }
}

#[test]
fn room_is_judged_by_the_need_or_else_by_what_all_steps_take() {
    for (pages, need, outcome) in [
        (None, &["2Mi=512"][..], Pass),
        (Some((4, 4)), &["2Mi=4"], Pass),
        (Some((4, 3)), &["2Mi=4"], Fail),
        (Some((4, 3)), &["2Mi=2@numa0", "2Mi=2@numa1"], Fail),
        (Some((4, 4)), &["1Gi=8"], Pass),
        (Some((1, 1)), &["2Mi=1"], Pass),
        (Some((4, 2)), &[], Pass),
        (Some((4, 1)), &[], Warn),
        (Some((4, 0)), &[], Fail),
        (Some((0, 0)), &[], Fail),
    ] {
        let directory =
            directory(Reading::Known(hugetlbfs("2Mi", pages, None)), Reading::Known(WriteAttempt::Allowed));
        let found = findings(&inventory(vec![mount(DIR, "2Mi")], Some(directory)), &request(true, need));
        assert_eq!(found[2].outcome, outcome, "{pages:?} {need:?}");
    }
}

#[test]
fn legacy_mem_counts_no_page_that_min_size_keeps() {
    const PAGE: u64 = 2 << 20;
    // The pool has 16 pages. min_size= reserves its pages, and those of the backend are taken from them first.
    for (workload, kept, outcome) in [
        (Workload::DpdkLegacyMem, 16, Fail),
        (Workload::DpdkLegacyMem, 9, Fail),
        (Workload::DpdkLegacyMem, 8, Pass),
        (Workload::DpdkFilePerPage, 16, Pass),
    ] {
        let directory =
            directory(Reading::Known(hugetlbfs("2Mi", None, None)), Reading::Known(WriteAttempt::Allowed));
        let mount = HugeMount { min_bytes: Some(kept * PAGE), ..mount(DIR, "2Mi") };
        let pool = Pool {
            size: "2Mi".parse().unwrap(),
            total: Reading::Known(16),
            free: Reading::Known(16),
            reserved: Reading::Known(kept),
            surplus: Reading::Known(0),
            overcommit: Reading::Known(0),
            mempolicy: Reading::Absent,
            numa: vec![],
        };
        let inventory =
            Inventory { pools: Reading::Known(vec![pool]), ..inventory(vec![mount], Some(directory)) };
        let role = || vec!["2Mi=8".parse().unwrap()];
        let request = Request { workload, frontend_need: role(), backend_need: role(), ..request(true, &[]) };
        assert_eq!(findings(&inventory, &request)[2].outcome, outcome, "{workload} {kept}");
    }
}

#[test]
fn too_small_a_mount_is_to_be_mounted_anew_by_its_own_path() {
    let mut directory = directory(
        Reading::Known(hugetlbfs("2Mi", Some((4, 1)), None)),
        Reading::Known(WriteAttempt::Allowed),
    );
    directory.path = "below".into();
    directory.real_path = Some("/mnt/huge/below".into());
    let found = findings(&inventory(vec![mount(DIR, "2Mi")], Some(directory)), &request(true, &["2Mi=4"]));
    assert_eq!(
        found[2].remedy,
        "remove files from below, or mount it again: umount /mnt/huge && \
         mount -t hugetlbfs -o pagesize=2M,size=14680064 none /mnt/huge"
    );
    assert_eq!(found[2].summary, "the mount has 1 of 4 pages free");
}

#[test]
fn inodes_are_judged_also_where_the_kernel_does_not_tell_them() {
    let used_up = || WriteAttempt::NoInode("ENOSPC".into());
    let last = || WriteAttempt::LastInode("ENOSPC".into());
    for (inodes, shown, writable, need, qemu, outcome) in [
        (None, None, WriteAttempt::Allowed, &[][..], false, Pass),
        (None, Some(10), WriteAttempt::Allowed, &[], false, Pass),
        (None, Some(1), used_up(), &[], false, Fail),
        (None, None, used_up(), &[], false, Fail),
        (Some((3, 2)), Some(3), WriteAttempt::Allowed, &[], false, Pass),
        (Some((3, 0)), Some(3), used_up(), &[], false, Fail),
        (Some((3, 2)), Some(3), used_up(), &[], false, Fail),
        (Some((3, 2)), Some(3), WriteAttempt::Allowed, &["2Mi=4"], false, Warn),
        (Some((3, 2)), Some(3), WriteAttempt::Allowed, &["2Mi=4"], true, Pass),
        (None, Some(2), last(), &[], false, Warn),
        (None, Some(2), last(), &["2Mi=4"], false, Warn),
        (Some((2, 1)), Some(2), last(), &["2Mi=4"], true, Warn),
    ] {
        let directory = directory(Reading::Known(hugetlbfs("2Mi", None, inodes)), Reading::Known(writable));
        let mut mounted = mount(DIR, "2Mi");
        mounted.inodes = shown;
        let mut request = request(true, need);
        request.workload = if qemu { Workload::Qemu } else { Workload::Dpdk };
        let found = findings(&inventory(vec![mounted], Some(directory)), &request);
        assert_eq!(found[3].outcome, outcome, "{inodes:?} {shown:?} {need:?}");
    }
}

#[test]
fn each_side_of_a_dpdk_pair_takes_an_inode() {
    let last = Reading::Known(WriteAttempt::LastInode("ENOSPC".into()));
    let directory = directory(Reading::Known(hugetlbfs("2Mi", None, None)), last);
    let pair = |workload| Request {
        frontend_need: vec!["2Mi=8".parse().unwrap()],
        backend_need: vec!["2Mi=8".parse().unwrap()],
        workload,
        ..request(true, &[])
    };
    for (workload, outcome) in [(Workload::Dpdk, Fail), (Workload::Qemu, Warn)] {
        let inventory = inventory(vec![mount(DIR, "2Mi")], Some(directory.clone()));
        assert_eq!(findings(&inventory, &pair(workload))[3].outcome, outcome);
    }
}
