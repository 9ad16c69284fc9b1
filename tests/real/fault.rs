//! HP504, HP506 and HP507 made to fail. No machine has these faults on demand, so they are simulated around a worker
//! with an assignment written by hand.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::Case;
use crate::context::child::{self, Filter};
use crate::context::program::{PROGRAM, Run, run};
use crate::context::{Machine, Missing, SMALL};

pub(crate) const CASES: &[Case] = &[
    ("fault: HP504 fails when somebody keeps the pages that were released", kept),
    ("fault: HP506 fails when pages land elsewhere than they were bound to", astray),
    ("fault: HP507 warns when a NUMA node gives none of its pages", empty_node),
];

/// Returns the arguments of a worker with this task.
fn arguments(task: &Value, stepwise: bool) -> [String; 2] {
    let assignment = json!({
        "run": "by-hand", "parent": std::process::id(), "stepwise": stepwise, "work": {"allocation": task},
    });
    ["worker".to_owned(), assignment.to_string()]
}

/// Returns the finding `id` from the lines of a worker's part.
#[track_caller]
fn found(lines: &[Value], id: &str) -> Value {
    let mut findings = lines.iter().filter(|line| line["id"] == id && !line["outcome"].is_null());
    findings.next().unwrap_or_else(|| panic!("{id} is not in {lines:#?}")).clone()
}

fn lines(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs a worker that waits before each step. Each time before it releases its pages, its file is opened a second time,
/// so that the pages are not freed.
fn kept(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 16)?;
    let task = json!({"role": "memfd", "size": "2Mi", "pages": 2});
    // The worker's part is read from this socket, and a byte written to it permits the next step.
    let (mut ours, its) = UnixStream::pair().unwrap();
    let mut worker = Command::new(PROGRAM)
        .args(arguments(&task, true))
        .stdin(Stdio::null())
        .stdout(OwnedFd::from(its))
        .spawn()
        .unwrap();
    let (mut lines, mut kept) = (Vec::new(), Vec::new());
    for line in BufReader::new(ours.try_clone().unwrap()).lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if let Some(step) = line["step"].as_str() {
            if step.starts_with("unmap and close") {
                kept.push(memfd_of(worker.id()));
            }
            ours.write_all(b"\n").unwrap();
        }
        lines.push(line);
    }
    worker.wait().unwrap();
    let finding = found(&lines, "HP504");
    assert_eq!(finding["outcome"], "fail", "{finding:#}");
    assert!(finding["summary"].as_str().unwrap().contains("free -2"), "{finding:#}");
    assert!(kept.len() >= 3, "one try proves nothing");
    Ok(())
}

/// Opens the memfd of process `pid` once more.
fn memfd_of(pid: u32) -> File {
    let mut files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap().path());
    let is_memfd =
        |path: &Path| fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with("/memfd:"));
    File::open(files.find(|path| is_memfd(path)).unwrap()).unwrap()
}

/// Creates a tree in which two NUMA nodes have 4 pages each, with the given numbers of free pages.
fn two_nodes(free: [u64; 2]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    let pool = |parent: &str, counters: &[(&str, u64)]| {
        let pool = tree.path().join(parent).join("hugepages-2048kB");
        fs::create_dir_all(&pool).unwrap();
        for (name, value) in counters {
            fs::write(pool.join(format!("{name}_hugepages")), format!("{value}\n")).unwrap();
        }
    };
    for (node, free) in free.iter().enumerate() {
        let parent = format!("sys/devices/system/node/node{node}/hugepages");
        pool(&parent, &[("nr", 4), ("free", *free), ("surplus", 0)]);
    }
    let free = free.iter().sum();
    let all = [("nr", 8), ("free", free), ("resv", 0), ("surplus", 0), ("nr_overcommit", 0)];
    pool("sys/kernel/mm/hugepages", &all);
    tree
}

/// Tests a kernel that reports success for mbind but does not bind the memory.
fn astray(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 2)?;
    let tree = two_nodes([4, 4]);
    let task = json!({"role": "placement", "size": "2Mi", "pages": 1, "root": tree.path()});
    let arguments = arguments(&task, false);
    let run = child::under(Filter::DeafMbind, &arguments.each_ref().map(String::as_str));
    let finding = found(&lines(&run), "HP506");
    assert_eq!(finding["outcome"], "fail", "{finding:#}");
    assert!(finding["summary"].as_str().unwrap().contains("got node"), "{finding:#}");
    Ok(())
}

fn empty_node(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 2)?;
    let tree = two_nodes([4, 0]);
    let task = json!({"role": "placement", "size": "2Mi", "pages": 1, "root": tree.path()});
    let run = run(Command::new(PROGRAM).args(arguments(&task, false)));
    let finding = found(&lines(&run), "HP507");
    assert_eq!(finding["outcome"], "warn", "{finding:#}");
    assert!(finding["remedy"].as_str().unwrap().contains("node1/hugepages"), "{finding:#}");
    Ok(())
}
