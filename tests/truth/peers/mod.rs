//! Rows about peers. One side is faulty. The healthy side is first hugeprobe and then the real program. What hugeprobe
//! reports is compared with what the real healthy side did.

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

/// A fault of one side, and the two programs that encounter it.
struct Row {
    fault: &'static str,
    /// The programs that encounter it: the real one, and hugeprobe in its place.
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
    /// A socket, a thread or a path, which is only kept.
    Thing(#[allow(dead_code, reason = "kept, and dropped")] Box<dyn Any>),
}

/// Returns every row about peers.
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

/// Makes a pool with the pages of both sides, and some for hugeprobe in the place of one, and a mount if the workload
/// uses one.
fn pages(scene: &mut Scene) -> Result<(), Missing> {
    room(scene, 0)
}

/// Does the same with `more` additional pages, for a frontend that takes more.
fn room(scene: &mut Scene, more: u64) -> Result<(), Missing> {
    // As a peer of QEMU, testpmd takes pages too.
    scene.pool(2 * scene.need().max(16) + more)?;
    if scene.directory().is_some() {
        scene.mount("");
    }
    Ok(())
}

// === what is done to a side while frames are in flight ===

type Strike = fn(&Scene, &mut Faulty);

/// Does nothing, because the fault exists from the start.
fn nothing(_: &Scene, _: &mut Faulty) {}

fn kill(_: &Scene, faulty: &mut Faulty) {
    let Faulty::Process(process) = faulty else { panic!("nothing to kill") };
    process.kill();
}

/// Truncates the frontend's files to length 0, through the descriptors of any process that has them open.
fn truncate(scene: &Scene, _: &mut Faulty) {
    let mut cut = 0;
    for file in open_files_below(scene.huge.to_str().unwrap()) {
        // DPDK includes the prefix in the names of its files. The backend's own files must stay as they are.
        let name = std::fs::read_link(&file).unwrap_or_default().display().to_string();
        if name.contains("-bmap_") {
            continue;
        }
        let opened = std::fs::File::options().write(true).open(&file);
        cut += usize::from(opened.is_ok_and(|opened| opened.set_len(0).is_ok()));
    }
    assert!(cut > 0, "no file to cut below {}", scene.huge.display());
}

/// Returns `/proc/PID/fd/NUMBER` for all open files of a mount, including deleted ones.
fn open_files_below(directory: &str) -> Vec<PathBuf> {
    let entries = |path: &str| std::fs::read_dir(path).into_iter().flatten().flatten();
    let processes = entries("/proc").filter(|entry| entry.path().join("fd").exists());
    let fds = processes.flat_map(|process| entries(process.path().join("fd").to_str().unwrap()));
    fds.map(|fd| fd.path())
        .filter(|path| std::fs::read_link(path).is_ok_and(|link| link.starts_with(directory)))
        .collect()
}

/// Returns a command that runs hugeprobe for a row.
fn hugeprobe(scene: &Scene, verb: &str) -> Command {
    let mut command = Command::new(&scene.program);
    command.arg(verb).env("LC_ALL", "C.UTF-8");
    command
}
