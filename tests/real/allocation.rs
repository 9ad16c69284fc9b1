//! HP5xx on real pages: what passes, and each check made to fail.

use std::process::Command;

use serde_json::{Value, json};

use crate::Case;
use crate::context::program::{PROGRAM, Run, check, check_in_cgroup, in_cgroup, run};
use crate::context::{LARGE, Machine, Missing, SMALL, child, pools};

pub(crate) const CASES: &[Case] = &[
    ("allocation: 2Mi, every kind of memory, with the counters of each step in the evidence", small),
    ("allocation: 1Gi, two pages", large),
    ("allocation: 1Gi, one page: HP503 is not mandatory and skipped", one_page),
    ("allocation: without root memfd and anonymous memory suffice", without_root),
    ("allocation: HP501 to HP505 fail when the counters stand still", still_counters),
    ("allocation: HP503 fails when the limit has room for one page", second_page),
    ("allocation: HP505 fails when populating gets fewer pages", populate),
    ("allocation: HP508 warns without the right to SHM_HUGETLB", sysv),
    ("allocation: HP509 passes, and fails when the pool is too small", need),
    ("allocation: HP509 names the NUMA node", need_on_node),
    ("allocation: a kernel before MADV_POPULATE_WRITE passes all the same", old_kernel),
    ("allocation: there, the first touch past a limit is SIGBUS and fail", old_kernel_sigbus),
    ("allocation: --measure reports figures, and nothing without it", measure),
];

const STEPS: [&str; 5] = ["HP501", "HP502", "HP503", "HP504", "HP505"];

fn small(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let run = check(&["--size", "2Mi"]);
    for id in STEPS {
        let entry = run.expect(id, "pass");
        for kind in ["anonymous", "hugetlbfs", "memfd"] {
            assert_eq!(entry["evidence"][kind]["outcome"], "pass", "{id} {kind}: {entry:#}");
        }
    }
    let text = run.expect("HP501", "pass").to_string();
    for word in ["before", "expected", "after", "reserved", "numa"] {
        assert!(text.contains(word), "no {word} in {text}");
    }
    Ok(())
}

fn large(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(LARGE, 2)?;
    let run = check(&["--size", "1Gi"]);
    for id in STEPS {
        run.expect(id, "pass");
    }
    Ok(())
}

fn one_page(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(LARGE, 1)?;
    let rest = pools::available(LARGE) - 1;
    let _rest = (rest > 0).then(|| child::hold(LARGE, rest, child::How::Reserved));
    let run = check(&["--size", "1Gi", "--only", "HP5"]);
    run.expect("HP503", "skip");
    run.expect("HP505", "pass");
    assert_eq!(run.code, Some(0), "{run:?}");
    Ok(())
}

fn without_root(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let run = run(Command::new("setpriv").args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        PROGRAM,
        "check",
        "-o",
        "json",
        "--size",
        "2Mi",
    ]));
    for id in STEPS {
        run.expect(id, "pass");
    }
    run.expect("HP508", "skip");
    Ok(())
}

/// Returns a worker with an assignment written by hand, for tasks that no run would give it.
fn worker(task: &Value) -> Command {
    let assignment =
        json!({"run": "by-hand", "parent": std::process::id(), "work": {"allocation": task}}).to_string();
    let mut command = Command::new(PROGRAM);
    command.args(["worker", &assignment]);
    command
}

/// Returns the outcome of the finding `id` in a part.
fn outcome(run: &Run, id: &str) -> String {
    let lines = run.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut found = lines.filter(|line| line["id"] == id && !line["outcome"].is_null());
    found.next().unwrap_or_else(|| panic!("{id} is not in {run:?}"))["outcome"].as_str().unwrap().to_owned()
}

fn still_counters(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let tree = tempfile::tempdir().unwrap();
    let pool = tree.path().join("sys/kernel/mm/hugepages/hugepages-2048kB");
    std::fs::create_dir_all(&pool).unwrap();
    for (name, value) in [("nr", 8), ("free", 8), ("resv", 0), ("surplus", 0), ("nr_overcommit", 0)] {
        std::fs::write(pool.join(format!("{name}_hugepages")), format!("{value}\n")).unwrap();
    }
    let run = run(&mut worker(&json!({"role": "memfd", "size": "2Mi", "pages": 2, "root": tree.path()})));
    for id in ["HP501", "HP502", "HP503", "HP505"] {
        assert_eq!(outcome(&run, id), "fail", "{id}: {run:?}");
    }
    Ok(())
}

fn second_page(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let group = machine.cgroup("second-page")?;
    group.set("hugetlb.2MB.max", 2 << 20);
    // The plan would only take one page. With two pages in its assignment, the worker exceeds the limit.
    let assignment = "{\"run\":\"by-hand\",\"parent\":PARENT,\"work\":{\"allocation\":{\"role\":\"memfd\",\"size\":\"2Mi\",\"pages\":2}}}";
    let assignment = assignment.replace("PARENT", &std::process::id().to_string());
    let run = run(in_cgroup(group.path()).args([PROGRAM, "worker", &assignment]));
    assert_eq!(outcome(&run, "HP502"), "pass", "{run:?}");
    assert_eq!(outcome(&run, "HP503"), "fail", "{run:?}");
    Ok(())
}

fn populate(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let group = machine.cgroup("populate")?;
    group.set("hugetlb.2MB.max", 0);
    let run = check_in_cgroup(group.path(), &["--size", "2Mi"]);
    run.expect("HP505", "fail");
    Ok(())
}

fn sysv(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    check(&["--size", "2Mi"]).expect("HP508", "pass");
    let run = run(Command::new("setpriv")
        .args(["--regid=65534", "--clear-groups", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"])
        .args([PROGRAM, "check", "-o", "json", "--size", "2Mi"]));
    let entry = run.expect("HP508", "warn");
    assert!(entry["remedy"].as_str().unwrap().contains("hugetlb_shm_group"), "{entry:#}");
    Ok(())
}

fn need(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 8)?;
    let there = pools::available(SMALL);
    check(&["--need", &format!("2Mi={there}")]).expect("HP509", "pass");
    assert_eq!(pools::available(SMALL), there, "all given back");
    let run = check(&["--need", &format!("2Mi={}", there + 1)]);
    run.expect("HP509", "fail");
    assert_eq!(run.code, Some(1));
    assert_eq!(pools::available(SMALL), there, "all given back");
    let _holder = child::hold(SMALL, 2, child::How::Reserved);
    check(&["--need", &format!("2Mi={}", there - 1)]).expect("HP509", "fail");
    check(&["--need", &format!("2Mi={}", there - 2)]).expect("HP509", "pass");
    Ok(())
}

fn need_on_node(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 8)?;
    check(&["--need", "2Mi=4@numa0"]).expect("HP509", "pass");
    check(&["--need", "2Mi=4@numa63"]).expect("HP509", "fail");
    Ok(())
}

fn old_kernel(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let run = child::under(child::Filter::OldKernel, &["check", "-o", "json", "--size", "2Mi"]);
    for id in STEPS {
        run.expect(id, "pass");
    }
    let run = child::under(child::Filter::OldKernel, &["check", "-o", "json", "--need", "2Mi=4"]);
    run.expect("HP509", "pass");
    Ok(())
}

fn old_kernel_sigbus(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let group = machine.cgroup("sigbus")?;
    group.set("hugetlb.2MB.max", 0);
    let arguments = ["check", "-o", "json", "--size", "2Mi"];
    let run = child::under_in_cgroup(group.path(), child::Filter::OldKernel, &arguments);
    let entry = run.expect("HP502", "fail");
    assert!(entry["seen"].as_str().unwrap().contains("SIGBUS"), "{entry:#}");
    assert_eq!(run.code, Some(1));
    Ok(())
}

fn measure(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 80)?;
    let run = check(&["--size", "2Mi", "--measure"]);
    run.expect("HP701", "pass");
    run.expect("HP702", "pass");
    assert!(
        run.report()["measurements"]["2Mi"].as_object().is_some_and(|figures| !figures.is_empty()),
        "{run:?}"
    );
    let run = check(&["--size", "2Mi"]);
    assert_eq!(run.report()["measurements"], json!({}));
    Ok(())
}
