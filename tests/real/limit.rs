//! HP4xx under real limits: each check is made to fail, and the steps with it.

use std::process::Command;

use crate::Case;
use crate::context::cgroup::Controlled;
use crate::context::program::{self, PROGRAM, check, check_in, check_in_cgroup};
use crate::context::{Machine, Missing, SMALL, child};

pub(crate) const CASES: &[Case] = &[
    ("limit: HP401 fails at a fault limit of 0, and the first touch with it", no_faults),
    ("limit: HP401 finds the tighter limit of a parent", parent),
    ("limit: HP401 warns when the limit is below what is free", below_free),
    ("limit: HP401 and HP509 fail when the limit is below --need", below_need),
    ("limit: HP402 fails at a reservation limit of 0, and mmap with it", no_reservations),
    ("limit: HP404, HP405, HP406 and HP415 fail under tight rlimits", rlimits),
    ("limit: HP407 names the system calls that seccomp forbids", seccomp),
    ("limit: HP409 fails when pids.max is below the workload's threads", threads),
    ("limit: HP410 fails when the memory limit is below what the workload needs", memory),
    ("limit: HP411 fails when vm.max_map_count is below the workload's mappings", mappings),
    ("limit: HP413 warns of a cgroup that may use pages below a limit of 0", zero_above),
    ("limit: HP414 fails without a CPU in /sys", no_cpu_in_sysfs),
];

fn no_faults(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let group = machine.cgroup("faults")?;
    group.set("hugetlb.2MB.max", 0);
    let run = check_in_cgroup(group.path(), &["--size", "2Mi"]);
    let entry = run.expect("HP401", "fail");
    assert!(entry["remedy"].as_str().unwrap().contains("hugetlb.2MB.max"), "{entry:#}");
    run.expect("HP501", "pass");
    run.expect("HP502", "fail");
    assert_eq!(run.code, Some(1));
    Ok(())
}

fn parent(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let group = machine.cgroup("parent")?;
    let child = group.child("child");
    group.set("hugetlb.2MB.max", 0);
    let run = check_in_cgroup(child.path(), &["--size", "2Mi"]);
    let entry = run.expect("HP401", "fail");
    assert!(!entry["remedy"].as_str().unwrap().contains("/child/"), "{entry:#}");
    run.expect("HP502", "fail");
    drop(child);
    Ok(())
}

fn below_free(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 8)?;
    let group = machine.cgroup("below-free")?;
    group.set("hugetlb.2MB.max", 4 << 20);
    let run = check_in_cgroup(group.path(), &["--size", "2Mi"]);
    run.expect("HP401", "warn");
    run.expect("HP505", "pass");
    group.set("hugetlb.2MB.max", 2 << 20);
    let run = check_in_cgroup(group.path(), &["--size", "2Mi"]);
    run.expect("HP401", "warn");
    run.expect("HP503", "skip");
    run.expect("HP505", "pass");
    Ok(())
}

fn below_need(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 8)?;
    let group = machine.cgroup("below-need")?;
    group.set("hugetlb.2MB.max", 4 << 20);
    let run = check_in_cgroup(group.path(), &["--need", "2Mi=3"]);
    run.expect("HP401", "fail");
    run.expect("HP509", "fail");
    let run = check_in_cgroup(group.path(), &["--need", "2Mi=2"]);
    run.expect("HP509", "pass");
    Ok(())
}

fn no_reservations(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let group = machine.cgroup("reservations")?;
    group.set("hugetlb.2MB.rsvd.max", 0);
    let run = check_in_cgroup(group.path(), &["--size", "2Mi"]);
    run.expect("HP402", "fail");
    run.expect("HP501", "fail");
    assert_eq!(run.code, Some(1));
    Ok(())
}

/// Runs `check` under a limit set by prlimit(1).
fn limited(limit: &str) -> program::Run {
    program::run(Command::new("prlimit").args([limit, PROGRAM, "check", "-o", "json", "--size", "2Mi"]))
}

fn rlimits(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    limited("--nofile=20:20").expect("HP404", "fail");
    limited("--as=4294967296:4294967296").expect("HP405", "fail");
    limited("--fsize=1048576:1048576").expect("HP406", "fail");
    limited("--cpu=3600:7200").expect("HP415", "fail");
    let run = check(&["--size", "2Mi"]);
    for id in ["HP404", "HP405", "HP406", "HP415"] {
        run.expect(id, "pass");
    }
    // The guardian of --reserve adds a pipe that every worker inherits but no workload does. It must not be counted.
    let judged = |more: &[&str]| {
        let only = ["check", "-o", "json", "--size", "2Mi", "--only", "HP404"];
        let mut command = Command::new("prlimit");
        program::run(command.args(["--nofile=20:20", PROGRAM]).args(only).args(more)).expect("HP404", "fail")
            ["expected"]
            .clone()
    };
    assert_eq!(judged(&["--reserve", "2Mi=1"]), judged(&[]));
    Ok(())
}

fn seccomp(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let run = child::under(child::Filter::NoMbind, &["check", "-o", "json", "--size", "2Mi"]);
    let entry = run.expect("HP407", "warn");
    assert!(entry["seen"].as_str().unwrap().contains("set_mempolicy"), "{entry:#}");
    let run_qemu =
        child::under(child::Filter::NoMbind, &["check", "-o", "json", "--size", "2Mi", "--workload", "qemu"]);
    let entry = run_qemu.expect("HP407", "warn");
    assert!(entry["seen"].as_str().unwrap().contains("mbind"), "{entry:#}");
    let bound = ["check", "-o", "json", "--need", "2Mi=1@numa0", "--workload", "qemu"];
    child::under(child::Filter::NoMbind, &bound).expect("HP407", "fail");
    run.expect("HP505", "pass");
    check(&["--size", "2Mi"]).expect("HP407", "pass");
    Ok(())
}

/// Asks about two testpmd in the cgroup of another controller.
fn in_group(group: &Controlled, only: &str) -> program::Run {
    let mut command = Command::new("sh");
    let join = "echo 0 > \"$0/cgroup.procs\" && exec \"$@\"";
    command.args(["-c", join]).arg(group.path()).args([PROGRAM, "check", "-o", "json", "--only", only]);
    program::run(command.args(["--frontend-need", "2Mi=1", "--backend-need", "2Mi=1"]))
}

fn threads(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let group = Controlled::new("pids", "threads")?;
    group.set("pids.max", "pids.max", 9);
    let entry = in_group(&group, "HP409").expect("HP409", "fail");
    assert!(entry["seen"].as_str().unwrap().contains("EAGAIN"), "{entry:#}");
    group.set("pids.max", "pids.max", 10);
    in_group(&group, "HP409").expect("HP409", "pass");
    Ok(())
}

fn memory(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let group = Controlled::new("memory", "memory")?;
    group.set("memory.limit_in_bytes", "memory.max", 24 << 20);
    let entry = in_group(&group, "HP410").expect("HP410", "fail");
    assert!(entry["remedy"].as_str().unwrap().contains("memory."), "{entry:#}");
    group.set("memory.limit_in_bytes", "memory.max", 1 << 30);
    in_group(&group, "HP410").expect("HP410", "pass");
    Ok(())
}

fn mappings(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let limit: u64 = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    let ask = |pages: u64| check(&["--only", "HP411", "--need", &format!("2Mi={pages}")]);
    ask(1).expect("HP411", "pass");
    let entry = ask(limit).expect("HP411", "fail");
    assert!(entry["seen"].as_str().unwrap().contains("ENOMEM"), "{entry:#}");
    Ok(())
}

fn zero_above(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let group = machine.cgroup("zero-above")?;
    let child = group.child("child");
    child.limit(SMALL, 2);
    let path = child.path().to_str().unwrap();
    let ask = || check(&["--size", "2Mi", "--only", "HP413"]);
    ask().expect("HP413", "pass");
    group.limit(SMALL, 0);
    let run = ask();
    let entry = run.expect("HP413", "warn");
    assert!(entry["summary"].as_str().unwrap().starts_with(path), "{entry:#}");
    assert!(entry["remedy"].as_str().unwrap().contains("hugetlb.2MB.max"), "{entry:#}");
    assert_eq!(run.code, Some(0));
    // A process in the child can take no page, although the limit of the child allows two.
    check_in_cgroup(child.path(), &["--size", "2Mi"]).expect("HP502", "fail");
    drop(child);
    Ok(())
}

fn no_cpu_in_sysfs(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let hide = |path: &str| format!("mount -t tmpfs none {path}");
    for (path, workload, outcome) in [
        ("/sys/devices/system/cpu", "dpdk", "fail"),
        ("/sys/devices/system/cpu", "ovs", "fail"),
        ("/sys/devices/system/cpu", "qemu", "pass"),
        ("/sys/devices/system/node", "dpdk", "pass"),
        ("/sys/devices/system/node", "ovs", "fail"),
        ("/sys/class", "ovs", "pass"),
    ] {
        check_in(&hide(path), &["--size", "2Mi", "--workload", workload]).expect("HP414", outcome);
    }
    Ok(())
}
