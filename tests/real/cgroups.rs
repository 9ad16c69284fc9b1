//! Frontend and backend in separate cgroups: which one is charged, and whose limit causes a failure.

use hugeprobe::domain::size::PageSize;
use serde_json::Value;

use crate::Case;
use crate::context::cgroup::Group;
use crate::context::program::{Run, check};
use crate::context::{LARGE, Machine, Missing, SMALL};

pub(crate) const CASES: &[Case] = &[
    ("cgroups: the toucher's pays, 2Mi, either first", toucher_pays),
    ("cgroups: the toucher's pays, 1Gi, either first", toucher_pays_large),
    ("cgroups: HP605 fails when the frontend's is at its limit, HP606 does not", frontend_limited),
    ("cgroups: HP606 fails when the backend's is at its limit, HP605 does not", backend_limited),
    ("cgroups: 1Gi, each limit fails its own check", limited_large),
    ("cgroups: the limit of a group above is named", parent_limited),
    ("cgroups: HP605 and HP606 fail when the frontend's may reserve nothing", no_reservation),
    ("cgroups: a limit of one page is enough for one page", one_page),
    ("cgroups: one role's alone is told of alone", one_role),
    ("cgroups: what is not a cgroup, or has no hugetlb files, exits 2", no_group),
];

/// The cgroups of both roles.
struct Groups {
    frontend: Group,
    backend: Group,
}

impl Groups {
    fn new(machine: &Machine) -> Result<Self, Missing> {
        Ok(Self { frontend: machine.cgroup("frontend")?, backend: machine.cgroup("backend")? })
    }

    fn check(&self, size: PageSize) -> Run {
        let path = |group: &Group| group.path().to_str().unwrap().to_owned();
        check(&[
            "--size",
            &size.to_string(),
            "--only",
            "HP6",
            "--frontend-cgroup",
            &path(&self.frontend),
            "--backend-cgroup",
            &path(&self.backend),
        ])
    }
}

/// Returns the pages charged to the cgroups of frontend and backend, as `role` reported them.
fn charged(entry: &Value, role: &str) -> [Option<i64>; 2] {
    // In a session that reports several checks, the charges are in the evidence of HP605.
    let told = &entry["evidence"][role];
    let cgroups = if told["cgroups"].is_null() { &told["HP605"]["cgroups"] } else { &told["cgroups"] };
    ["frontend", "backend"].map(|group| cgroups[group]["pages"].as_i64())
}

fn pays(machine: &Machine, size: PageSize) -> Result<(), Missing> {
    let groups = Groups::new(machine)?;
    let run = groups.check(size);
    let first = run.expect("HP605", "pass");
    assert_eq!(charged(&first, "frontend:frontend-first"), [Some(2), Some(0)], "{first:#}");
    assert_eq!(charged(&first, "backend:frontend-first"), [Some(0), Some(0)], "{first:#}");
    // The second region is added later, so only one page is charged here.
    let second = run.expect("HP606", "pass");
    assert_eq!(charged(&second, "frontend:backend-first"), [Some(0), Some(1)], "{second:#}");
    assert_eq!(charged(&second, "backend:backend-first"), [Some(0), Some(1)], "{second:#}");
    assert!(second["summary"].as_str().unwrap().contains("1 to the backend's cgroup"), "{second:#}");
    for id in ["HP601", "HP602", "HP603", "HP604", "HP607", "HP608", "HP609", "HP610", "HP611"] {
        run.expect(id, "pass");
    }
    assert_eq!(run.code, Some(0));
    Ok(())
}

fn toucher_pays(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    pays(machine, SMALL)
}

fn toucher_pays_large(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(LARGE, 2)?;
    pays(machine, LARGE)
}

/// Asserts that `id` fails and that its remedy names `file` of `group`.
#[track_caller]
fn fails_over(run: &Run, id: &str, group: &Group, file: &str) -> Value {
    let entry = run.expect(id, "fail");
    let path = group.path().join(file);
    assert!(entry["remedy"].as_str().unwrap().contains(path.to_str().unwrap()), "{entry:#}");
    assert_eq!(run.code, Some(1));
    entry
}

fn frontend_limited(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let groups = Groups::new(machine)?;
    groups.frontend.set("hugetlb.2MB.max", 0);
    let run = groups.check(SMALL);
    let entry = fails_over(&run, "HP605", &groups.frontend, "hugetlb.2MB.max");
    let bill = &entry["evidence"]["frontend:frontend-first"]["cgroups"]["frontend"];
    let refused = |when: &str| bill[when]["refused"].as_u64().unwrap();
    assert!(refused("after") > refused("before"), "{entry:#}");
    run.expect("HP606", "pass");
    // Checks that cannot be reached have no result, so they must not pass.
    for id in ["HP601", "HP604", "HP611"] {
        run.expect(id, "unknown");
    }
    fails_over(&run, "HP607", &groups.frontend, "hugetlb.2MB.max");
    Ok(())
}

fn backend_limited(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let groups = Groups::new(machine)?;
    groups.backend.set("hugetlb.2MB.max", 0);
    let run = groups.check(SMALL);
    fails_over(&run, "HP606", &groups.backend, "hugetlb.2MB.max");
    for id in ["HP601", "HP602", "HP603", "HP604", "HP605", "HP610", "HP611"] {
        run.expect(id, "pass");
    }
    fails_over(&run, "HP607", &groups.backend, "hugetlb.2MB.max");
    Ok(())
}

fn limited_large(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(LARGE, 2)?;
    let groups = Groups::new(machine)?;
    groups.frontend.set("hugetlb.1GB.max", 0);
    let run = groups.check(LARGE);
    fails_over(&run, "HP605", &groups.frontend, "hugetlb.1GB.max");
    run.expect("HP606", "pass");
    groups.frontend.set("hugetlb.1GB.max", 2 << 30);
    groups.backend.set("hugetlb.1GB.max", 0);
    let run = groups.check(LARGE);
    fails_over(&run, "HP606", &groups.backend, "hugetlb.1GB.max");
    run.expect("HP605", "pass");
    Ok(())
}

fn parent_limited(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let (frontend, parent) = (machine.cgroup("frontend")?, machine.cgroup("backend")?);
    let groups = Groups { frontend, backend: parent.child("child") };
    parent.set("hugetlb.2MB.max", 0);
    let run = groups.check(SMALL);
    fails_over(&run, "HP606", &parent, "hugetlb.2MB.max");
    run.expect("HP605", "pass");
    // A child must be removed before its parent.
    drop(groups);
    Ok(())
}

fn no_reservation(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let groups = Groups::new(machine)?;
    groups.frontend.set("hugetlb.2MB.rsvd.max", 0);
    let run = groups.check(SMALL);
    fails_over(&run, "HP605", &groups.frontend, "hugetlb.2MB.rsvd.max");
    fails_over(&run, "HP606", &groups.frontend, "hugetlb.2MB.rsvd.max");
    // The frontend maps the memory first in both sessions, so the backend needs no reservation.
    groups.frontend.set("hugetlb.2MB.rsvd.max", 4 << 20);
    groups.backend.set("hugetlb.2MB.rsvd.max", 0);
    let run = groups.check(SMALL);
    run.expect("HP605", "pass");
    run.expect("HP606", "pass");
    Ok(())
}

fn one_page(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let groups = Groups::new(machine)?;
    groups.backend.set("hugetlb.2MB.max", 2 << 20);
    let run = groups.check(SMALL);
    for id in ["HP601", "HP604", "HP605", "HP606", "HP607", "HP610"] {
        run.expect(id, "pass");
    }
    run.expect("HP608", "skip");
    assert_eq!(run.code, Some(0));
    Ok(())
}

fn one_role(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let group = machine.cgroup("backend")?;
    let run = check(&["--size", "2Mi", "--only", "HP6", "--backend-cgroup", group.path().to_str().unwrap()]);
    let entry = run.expect("HP606", "pass");
    assert_eq!(charged(&entry, "backend:backend-first"), [None, Some(1)], "{entry:#}");
    Ok(())
}

fn no_group(machine: &Machine) -> Result<(), Missing> {
    let group = machine.cgroup("frontend")?;
    let directory = tempfile::tempdir().unwrap();
    let root = group.path().parent().unwrap();
    let missing = directory.path().join("none");
    for (path, says) in
        [(directory.path(), "is not a cgroup"), (&missing, "ENOENT"), (root, "has no hugetlb files")]
    {
        for option in ["--frontend-cgroup", "--backend-cgroup"] {
            let run = check(&[option, path.to_str().unwrap()]);
            assert_eq!(run.code, Some(2), "{run:?}");
            assert!(run.stderr.contains(says) && run.stderr.contains(option), "{run:?}");
            assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        }
    }
    Ok(())
}
