//! hugeprobe as the healthy side.

use std::time::Duration;

use super::{Faulty, Strike, hugeprobe};
use crate::compare::{Asked, Verdict, read};
use crate::process::{Process, Waited};
use crate::scene::Scene;
use crate::workload::{START, shown};

/// How long a role may run beyond its deadline.
const GRACE: Duration = Duration::from_secs(30);

/// Runs `hugeprobe backend`, to which `frontend` connects. It expects `frames` frames within `seconds` seconds.
pub(super) fn backend(
    scene: &Scene,
    [frames, seconds]: [u64; 2],
    frontend: fn(&Scene) -> Faulty,
    strike: Strike,
) -> Asked {
    let mut command = hugeprobe(scene, "backend");
    command.args(["--listen", "--mode", "sink"]);
    role(scene, command, [frames, seconds], |_, ours| {
        ours.wait_for(|said| said.contains("listening"), START);
        let mut frontend = frontend(scene);
        strike(scene, &mut frontend);
        Some(frontend)
    })
}

/// Runs `hugeprobe frontend`, which connects to `backend`.
pub(super) fn frontend(
    scene: &Scene,
    [frames, seconds]: [u64; 2],
    backend: fn(&Scene) -> Faulty,
    strike: Strike,
) -> Asked {
    let mut backend = Some(backend(scene));
    let mut command = hugeprobe(scene, "frontend");
    command.args(["--peer", "sink", "--pages", "8"]);
    if let Some(directory) = scene.directory() {
        command.arg("--dir").arg(directory);
    }
    role(scene, command, [frames, seconds], |_, ours| {
        ours.wait_for(|said| said.contains("vring 1"), START);
        let mut backend = backend.take().unwrap();
        strike(scene, &mut backend);
        Some(backend)
    })
}

/// Runs a role until it ends. `with` starts the other side.
fn role(
    scene: &Scene,
    mut command: std::process::Command,
    [frames, seconds]: [u64; 2],
    with: impl FnOnce(&Scene, &mut Process) -> Option<Faulty>,
) -> Asked {
    command.args(["--socket", &scene.socket(), "--size", &scene.size.to_string()]);
    command.args(["--frames", &frames.to_string(), "--deadline", &seconds.to_string()]);
    let mut ours = Process::start(&mut command);
    let _other = with(scene, &mut ours);
    let waited = ours.wait_for(|_| false, Duration::from_secs(seconds) + GRACE);
    let said = ours.words();
    let verdict = match ours.ended().and_then(|status| status.code()) {
        _ if waited != Waited::Ended => Verdict::Crashed,
        Some(0) => Verdict::Pass,
        Some(1) => Verdict::Fail,
        Some(3) => Verdict::Unknown,
        _ => Verdict::Crashed,
    };
    let sentence = said.lines().last().unwrap_or_default();
    let sentence = shown(scene, sentence.split_once(' ').map_or(sentence, |(_, rest)| rest));
    Asked { verdict, because: if verdict == Verdict::Pass { Vec::new() } else { vec![sentence] }, said }
}

/// Runs `hugeprobe check --peer` with frames. It connects to `backend`.
pub(super) fn check(scene: &Scene, backend: fn(&Scene) -> Faulty) -> Asked {
    let _backend = backend(scene);
    let mut command = hugeprobe(scene, "check");
    command.args(["-o", "json", "--size", &scene.size.to_string(), "--peer", &scene.socket()]);
    command.args(["--peer-transmit", "1000"]);
    command.args(["HP612", "HP613", "HP614", "HP615"].map(|id| format!("--only={id}")));
    read(&mut command)
}
