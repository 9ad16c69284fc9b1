//! What a check costs, in counts: kernel files read, processes started, pages populated. Nothing here measures time.

use std::process::Command;

use crate::Case;
use crate::context::program::{PROGRAM, Run, run};
use crate::context::{Machine, Missing, SMALL, child, pools, program_or_missing};

pub(crate) const CASES: &[Case] = &[
    ("cost: beside a process with pages, a check reads no other process's mappings", beside_others),
    ("cost: where pages are short, a check reads the mappings of their holder", where_short),
];

/// The system calls that are counted.
const TRACED: &str = "trace=openat,execve,mmap,madvise";
/// Processes that a check of one size starts, the one under test included: workers of five kinds, and two for each session.
const MOST_PROCESSES: usize = 20;
/// Reads of /proc/self/smaps, by all workers together: one after each step that maps or touches.
const MOST_OF_SMAPS: usize = 34;
/// Reads of /proc/self/numa_maps.
const MOST_OF_NUMA_MAPS: usize = 22;
/// Pages that the kernel is asked to populate, present or not.
const MOST_POPULATED: u64 = 32;

/// What the kernel prints of a process under the lock of its address space.
const MAPPINGS: [&str; 3] = ["/smaps", "/maps", "/numa_maps"];

/// What a run did, by its trace.
#[derive(Debug, Default)]
struct Cost {
    processes: usize,
    own_smaps: usize,
    own_numa_maps: usize,
    /// Paths of other processes' mappings: reading them takes a lock of the process.
    others: Vec<String>,
    populated: u64,
}

fn beside_others(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 8)?;
    let _holder = child::hold(SMALL, 2, child::How::Touched);
    let (run, cost) = traced(&["--size", "2Mi"])?;
    println!("{cost:?}");
    run.expect("HP505", "pass");
    assert_eq!(cost.others, Vec::<String>::new());
    assert!((1..=MOST_PROCESSES).contains(&cost.processes), "{cost:?}");
    assert!((1..=MOST_OF_SMAPS).contains(&cost.own_smaps), "{cost:?}");
    assert!(cost.own_numa_maps <= MOST_OF_NUMA_MAPS, "{cost:?}");
    assert!((1..=MOST_POPULATED).contains(&cost.populated), "{cost:?}");
    Ok(())
}

fn where_short(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let _holder = child::hold(SMALL, pools::available(SMALL), child::How::Touched);
    let (run, cost) = traced(&["--size", "2Mi"])?;
    let entry = run.expect("HP105", "pass");
    assert!(!entry["evidence"]["holders"].as_array().unwrap().is_empty(), "{entry:#}");
    assert!(cost.others.iter().any(|path| path.ends_with("/smaps")), "{cost:?}");
    Ok(())
}

/// Runs `check` under strace.
fn traced(arguments: &[&str]) -> Result<(Run, Cost), Missing> {
    program_or_missing("strace")?;
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-s", "256", "-e", TRACED, "-o"]).arg(&trace);
    let run = run(command.args([PROGRAM, "check", "-o", "json"]).args(arguments));
    let text = std::fs::read_to_string(&trace).unwrap();
    Ok((run, Cost::of(&text)))
}

// === impl Cost ===

impl Cost {
    fn of(trace: &str) -> Self {
        let mut cost = Self::default();
        for line in trace.lines().filter(|line| !line.contains(" = -1 ")) {
            if line.contains(" execve(") {
                cost.processes += 1;
            } else if line.contains(" openat(") {
                cost.opened(line.split('"').nth(1).unwrap_or_default());
            } else if line.contains("MAP_POPULATE") || line.contains("MADV_POPULATE_WRITE") {
                cost.populated += pages(line);
            }
        }
        cost
    }

    fn opened(&mut self, path: &str) {
        match path {
            "/proc/self/smaps" => self.own_smaps += 1,
            "/proc/self/numa_maps" => self.own_numa_maps += 1,
            "/proc/self/maps" => {}
            path if path.starts_with("/proc/") && MAPPINGS.iter().any(|name| path.ends_with(name)) => {
                self.others.push(path.to_owned());
            }
            _ => {}
        }
    }
}

/// The pages of 2Mi in the second argument of a call.
fn pages(line: &str) -> u64 {
    let length = line.split(", ").nth(1).and_then(|length| length.parse::<u64>().ok());
    length.unwrap_or(0) / SMALL.bytes()
}
