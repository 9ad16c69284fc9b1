//! `hugeprobe walk` on real pages: its output, step by step.

use std::process::{Command, Stdio};

use hugeprobe::domain::size::PageSize;

use crate::Case;
use crate::context::program::{PROGRAM, Run, run, wait};
use crate::context::{LARGE, Machine, Missing, SMALL};

pub(crate) const CASES: &[Case] = &[
    ("walk: one process, then two, either of them first, 2Mi", small),
    ("walk: the same with 1Gi", large),
    ("walk: who touches first has its cgroup pay, and goes on paying when it is gone", payers),
    ("walk: --dir shares files of that mount", mount),
    ("walk: --pause waits for Enter before each step, of two processes too", pause),
    ("walk: a closed standard input ends a pause, and everything is given back", closed),
];

/// The number of steps with one process, with two and the frontend first, and with two and the backend first.
const STEPS: usize = 7 + 8 + 9;

fn walk(arguments: &[&str]) -> Run {
    run(Command::new(PROGRAM).arg("walk").args(arguments).env("LC_ALL", "C.UTF-8"))
}

/// Returns the table of the `nth` step whose name begins with `text`.
#[track_caller]
fn step<'r>(run: &'r Run, text: &str, nth: usize) -> &'r str {
    let begin = run.stdout.match_indices(text).nth(nth).unwrap_or_else(|| panic!("no {text} in {run:?}")).0;
    run.stdout[begin..].split("\n\n").nth(1).unwrap()
}

/// Asserts that the line `name` of a table has these values before and after.
#[track_caller]
fn assert_moves(table: &str, name: &str, before: &str, after: &str) {
    let line = table.lines().find(|line| line.trim_start().starts_with(name));
    let line = line.unwrap_or_else(|| panic!("no {name} in {table}"));
    let figures = line.trim_start()[name.len()..].split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(figures.starts_with(&format!("{before} {after}")), "{line}, not {before} and {after}");
}

fn walks(size: PageSize) {
    let run = walk(&["--size", &size.to_string()]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for text in ["before", "after", "the frontend touches them first", "the backend touches them first"] {
        assert!(run.stdout.contains(text), "no {text} in {}", run.stdout);
    }
    assert!(run.stdout.contains(&format!("✔ {STEPS} steps, the counters moved as documented")), "{run:?}");
    let (one, both) = if size == SMALL { ("2 MiB", "4 MiB") } else { ("1 GiB", "2 GiB") };
    let alone = step(&run, "write one byte of the first page", 0);
    assert_moves(alone, "process maps", "0 B", one);
    for nth in 0..2 {
        let map = step(&run, "frontend: create the files and map them", nth);
        assert_moves(map, "frontend maps", "0 B", "0 B");
    }
    let touch = step(&run, "frontend: take the pages and write to them", 0);
    assert_moves(touch, "frontend maps", "0 B", both);
    assert_moves(touch, "backend maps", "0 B", "0 B");
    // As DPDK's vhost library does, the backend maps all regions anew for each table. After the second table, frames
    // touch the first region, and they begin while the counters are being read. It then maps one page or both.
    for (nth, before, after) in [(0, "0 B", one), (1, one, both)] {
        let read = step(&run, "backend: read what the frontend wrote", nth);
        assert_moves(read, "frontend maps", both, both);
        let take = step(&run, "backend: take the pages of a region", nth);
        assert_moves(take, "frontend maps", before, before);
        let read_back = step(&run, "frontend: read what the backend wrote", nth);
        assert_moves(read_back, "frontend maps", before, after);
        let backend_after = if nth == 0 { after } else { "" };
        for table in [read, take] {
            assert_moves(table, "backend maps", "0 B", backend_after);
        }
    }
    for nth in 0..2 {
        let end = step(&run, "backend: unmap and close", nth);
        assert_moves(end, "backend maps", both, "0 B");
    }
}

fn small(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    walks(SMALL);
    Ok(())
}

fn large(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(LARGE, 2)?;
    walks(LARGE);
    Ok(())
}

fn payers(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let groups = [machine.cgroup("walk-frontend")?, machine.cgroup("walk-backend")?];
    let [frontend, backend] = groups.each_ref().map(|group| group.path().to_str().unwrap());
    let run = walk(&["--size", "2Mi", "--frontend-cgroup", frontend, "--backend-cgroup", backend]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let touch = step(&run, "frontend: take the pages and write to them", 0);
    assert_moves(touch, "frontend's cgroup pays", "0 B", "4 MiB");
    assert_moves(touch, "backend's cgroup pays", "0 B", "0 B");
    for (nth, before, after) in [(0, "0 B", "2 MiB"), (1, "2 MiB", "4 MiB")] {
        let take = step(&run, "backend: take the pages of a region", nth);
        assert_moves(take, "backend's cgroup pays", before, after);
        assert_moves(take, "frontend's cgroup pays", "0 B", "0 B");
    }
    for (nth, payer) in [(0, "frontend's cgroup pays"), (1, "backend's cgroup pays")] {
        let gone = step(&run, "frontend: unmap and close", nth);
        assert_moves(gone, payer, "4 MiB", "4 MiB");
        let end = step(&run, "backend: unmap and close", nth);
        assert_moves(end, payer, "4 MiB", "0 B");
    }
    assert!(!run.stdout.contains('✘'), "{}", run.stdout);
    Ok(())
}

fn mount(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let directory = tempfile::tempdir().unwrap();
    let script = "mount -t hugetlbfs -o pagesize=2M none \"$0\" && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(directory.path()).arg(PROGRAM);
    let run = run(command.args(["walk", "--size", "2Mi", "--dir"]).arg(directory.path()));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("backend maps"), "{run:?}");
    Ok(())
}

const PROMPT: &str = "press Enter to continue";

fn pausing(returns: &'static [u8]) -> Run {
    let mut command = Command::new(PROGRAM);
    command.args(["walk", "--size", "2Mi", "--pause"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, returns).unwrap();
    drop(input);
    wait(child)
}

fn pause(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let run = pausing(&[b'\n'; STEPS]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stdout.matches(PROMPT).count(), STEPS, "{run:?}");
    Ok(())
}

fn closed(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    for returns in [&[b'\n'; 2][..], &[b'\n'; 8][..]] {
        let run = pausing(returns);
        assert_eq!(run.code, Some(3), "{run:?}");
        assert_eq!(run.stdout.matches(PROMPT).count(), returns.len() + 1, "{run:?}");
        assert!(!run.stdout.contains('✔'), "{run:?}");
        assert!(run.stderr.contains("standard input was closed at a pause"), "{run:?}");
    }
    Ok(())
}
