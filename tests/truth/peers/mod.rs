//! Peer rows: one side is faulty, and in the place of the healthy one stands hugeprobe, and then the real program. What
//! hugeprobe reports is held against what the real healthy side did.

mod backends;
mod frontends;
mod ours;
mod real;

use std::any::Any;
use std::path::PathBuf;
use std::process::Command;

use crate::case::{Case, Cause};
use crate::compare::Asked;
use crate::context::{Missing, SMALL};
use crate::process::Process;
use crate::rows::State;
use crate::scene::Scene;
use crate::workload::{Kind, Outcome};

/// A fault of one side, and the two that meet it.
struct Row {
    fault: &'static str,
    /// Who meets it: the real program, and hugeprobe in its place.
    workload: &'static str,
    kind: Kind,
    cause: Cause,
    state: State,
    ask: fn(&Scene) -> Asked,
    work: fn(&Scene) -> Outcome,
}

/// The faulty side; ended when dropped.
enum Faulty {
    Process(Process),
    /// A socket, a thread, a path: nothing that is looked at.
    Thing(#[allow(dead_code, reason = "kept, and dropped")] Box<dyn Any>),
}

/// Every peer row.
pub(crate) fn all() -> impl Iterator<Item = Case> {
    [frontends::ROWS, backends::ROWS].into_iter().flatten().map(|row| Case {
        fault: row.fault.to_owned(),
        workload: row.workload.to_owned(),
        kind: row.kind,
        size: SMALL,
        cause: row.cause.clone(),
        state: Box::new(row.state),
        ask: row.ask,
        work: row.work,
    })
}

// === states ===

/// The pages of either side, and some for hugeprobe in its place; a mount for whoever wants one.
fn pages(scene: &mut Scene) -> Result<(), Missing> {
    room(scene, 0)
}

/// The same, and more pages for a frontend that takes more.
fn room(scene: &mut Scene, more: u64) -> Result<(), Missing> {
    // As a peer of QEMU, testpmd has pages too.
    scene.pool(2 * scene.need().max(16) + more)?;
    if scene.directory().is_some() {
        scene.mount("");
    }
    Ok(())
}

// === what is done to a side in mid-transfer ===

type Strike = fn(&Scene, &mut Faulty);

/// Nothing: its fault is there from the start.
fn nothing(_: &Scene, _: &mut Faulty) {}

fn kill(_: &Scene, faulty: &mut Faulty) {
    let Faulty::Process(process) = faulty else { panic!("nothing to kill") };
    process.kill();
}

/// Cuts the frontend's files to nothing, through the descriptors of whoever has them open.
fn truncate(scene: &Scene, _: &mut Faulty) {
    let mut cut = 0;
    for file in open_files_below(scene.huge.to_str().unwrap()) {
        // DPDK names its files after the prefix; the backend's own are not at issue.
        let name = std::fs::read_link(&file).unwrap_or_default().display().to_string();
        if name.contains("-bmap_") {
            continue;
        }
        let opened = std::fs::File::options().write(true).open(&file);
        cut += usize::from(opened.is_ok_and(|opened| opened.set_len(0).is_ok()));
    }
    assert!(cut > 0, "no file to cut below {}", scene.huge.display());
}

/// `/proc/PID/fd/NUMBER` of what is open of a mount, deleted files too.
fn open_files_below(directory: &str) -> Vec<PathBuf> {
    let entries = |path: &str| std::fs::read_dir(path).into_iter().flatten().flatten();
    let processes = entries("/proc").filter(|entry| entry.path().join("fd").exists());
    let fds = processes.flat_map(|process| entries(process.path().join("fd").to_str().unwrap()));
    fds.map(|fd| fd.path())
        .filter(|path| std::fs::read_link(path).is_ok_and(|link| link.starts_with(directory)))
        .collect()
}

/// hugeprobe, of this row.
fn hugeprobe(scene: &Scene, verb: &str) -> Command {
    let mut command = Command::new(&scene.program);
    command.arg(verb).env("LC_ALL", "C.UTF-8");
    command
}
