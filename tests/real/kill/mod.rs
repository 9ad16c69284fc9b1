//! kill -9 at any moment of any run: pools, mounts, files and SysV segments are as before. They are restored at once if
//! one process was killed, and by the next run if all were.
//!
//! Each kill is known to have hit: either the exit status of the victim shows it, or the victim was stopped first.
//! `HUGEPROBE_KILLS` is the number of kills that have to hit for each victim.

mod running;
mod scene;

use std::io::{BufReader, Read, Write as _};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::Case;
use crate::context::{Machine, Missing};
use running::{Running, Shape, Victim};
use scene::{Round, Scene};

pub(crate) const CASES: &[Case] = &[
    ("kill: -9 of the orchestrator at any moment", |machine| killed(machine, Victim::Orchestrator)),
    ("kill: -9 of the guardian at any moment", |machine| killed(machine, Victim::Guardian)),
    ("kill: -9 of a worker at any moment", |machine| killed(machine, Victim::Worker)),
    ("kill: -9 of all at once at any moment, and the next run restores", |machine| {
        killed(machine, Victim::All)
    }),
    ("kill: SIGINT and SIGTERM at any moment end in a report", interrupted),
    ("kill: walk --pause, while it waits", paused),
];

/// How many kills have to hit for each victim, by default.
const KILLS: u32 = 200;
/// How many signals of each kind are sent, at least.
const SIGNALS: u32 = 20;
/// How many rounds other programs may disturb before the whole test counts as disturbed.
const DISTURBED: u32 = 5;

/// The pages that a run adds. No other program adds this number by chance, so a difference shows where it comes from.
const RESERVE: &str = "2Mi=13";

/// Returns the kinds of runs that are killed in turn: one with anonymous memory, one with files of a mount, and one
/// that uses as many pages as it added.
fn shapes(scene: &Scene) -> Vec<Shape> {
    let directory = scene.directory().to_str().unwrap();
    let check = ["check", "-o", "json", "--size", "2Mi", "--reserve", RESERVE];
    [&[][..], &["--dir", directory], &["--only", "HP5", "--reserve", "2Mi=4@numa0", "--need", "2Mi=17"]]
        .iter()
        .map(|more| Shape::new(scene, &[&check[..], more].concat()))
        .collect()
}

fn killed(machine: &Machine, victim: Victim) -> Result<(), Missing> {
    let kills = std::env::var("HUGEPROBE_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    scene::on(machine, |scene| {
        let since = Instant::now();
        let mut shapes = shapes(scene);
        let (mut hits, mut missed, mut disturbed, mut owed) = (0, 0, 0, 0);
        for round in 0.. {
            if hits >= kills {
                break;
            }
            let shape = &mut shapes[round % 3];
            assert!(missed <= kills, "{hits} of {} kills hit {victim:?}", hits + missed);
            assert!(disturbed <= DISTURBED, "others change the pools all the time");
            let before = scene.remains();
            let mut run = Running::start(scene, &shape.arguments);
            let moment = shape.moment(scene);
            thread::sleep(moment);
            let mut struck = Instant::now();
            let hit = run.strike(victim);
            let found = format!("{:?}, {victim:?} after {moment:?}", shape.arguments);
            if victim == Victim::All {
                owed += u32::from(nobody_left(scene) != before);
                next_run(scene);
                struck = Instant::now();
            }
            // A run whose worker was killed continues with the next worker.
            let rest = if victim == Victim::Worker { shape.life } else { Duration::ZERO };
            let round = scene.restored(&before, struck, rest).unwrap_or_else(|why| panic!("{found}: {why}"));
            if matches!(victim, Victim::Guardian | Victim::Worker) {
                let ended = run.end();
                assert!(ended.is_told(), "{found}: {ended:?}");
            }
            if !hit {
                shape.measure(scene);
            }
            hits += u32::from(hit && round == Round::Counts);
            missed += u32::from(!hit);
            disturbed += u32::from(round == Round::Disturbed);
        }
        // A run holds reserved pages during most of its life.
        assert!(victim != Victim::All || owed * 3 > hits, "{owed} of {hits} kills left something to restore");
        eprintln!(
            "{victim:?}: {hits} hits, {missed} missed, {disturbed} disturbed by others, {owed} left to the next run; {:?}",
            since.elapsed()
        );
    })
}

/// Waits until the last of the killed processes is gone. Returns what they left.
fn nobody_left(scene: &Scene) -> scene::Remains {
    while !scene.processes().is_empty() {
        thread::yield_now();
    }
    scene.remains()
}

/// Starts the run that restores what a killed run left, at random with or without `--reserve`.
fn next_run(scene: &Scene) {
    let with = ["check", "--only", "HP101", "--size", "2Mi", "--reserve", "2Mi=1"];
    let arguments = if scene.random().below(2) == 0 { &with[..] } else { &with[..5] };
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let ended = Running::start(scene, &arguments).end();
    assert!(matches!(ended.code, Some(0 | 1 | 3)), "{ended:?}");
}

/// Tests that an interrupted run prints its report. There are two exceptions, both at its very beginning: before the
/// program has set up signal handling, a signal kills it, and while the pools grow, it prints a sentence instead of a
/// report.
fn interrupted(machine: &Machine) -> Result<(), Missing> {
    scene::on(machine, |scene| {
        let shape = Shape::new(
            scene,
            &["check", "-o", "json", "--size", "2Mi", "--reserve", RESERVE, "--only", "HP5"],
        );
        for signal in [Signal::SIGINT, Signal::SIGTERM] {
            let (mut reports, mut broken_off) = (0, 0);
            // The moments are random, so this repeats until there are enough reports, and enough of them of interrupted
            // runs.
            for round in 0.. {
                if round >= SIGNALS && reports * 2 > SIGNALS && broken_off * 4 > SIGNALS {
                    break;
                }
                assert!(
                    round < 10 * SIGNALS,
                    "{signal}: {reports} reports, {broken_off} of a run broken off"
                );
                let before = scene.remains();
                let run = Running::start(scene, &shape.arguments);
                let moment = shape.moment(scene);
                thread::sleep(moment);
                run.signal(signal);
                let struck = Instant::now();
                let found = format!("{signal} after {moment:?}");
                scene
                    .restored(&before, struck, Duration::ZERO)
                    .unwrap_or_else(|why| panic!("{found}: {why}"));
                let ended = run.end();
                let killed_at_once = ended.code.is_none() && ended.stdout.is_empty();
                assert!(ended.is_told() || killed_at_once, "{found}, round {round}: {ended:?}");
                reports += u32::from(ended.report().is_some());
                if ended.stdout.contains("interrupted by") {
                    broken_off += 1;
                    assert_eq!(ended.code, Some(3), "{ended:?}");
                }
            }
            eprintln!("{signal}: {reports} reports, {broken_off} of them of a run broken off");
        }
    })
}

/// Tests every kill and every signal at every pause of a walk.
fn paused(machine: &Machine) -> Result<(), Missing> {
    scene::on(machine, |scene| {
        let directory = scene.directory().to_str().unwrap();
        let walk = ["walk", "--size", "2Mi", "--reserve", RESERVE, "--pause"];
        for arguments in [&walk[..], &[&walk[..], &["--dir", directory]].concat()] {
            let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
            for pauses in 1..=PAUSES {
                for end in [
                    End::Kill(Victim::Orchestrator),
                    End::Kill(Victim::Guardian),
                    End::Kill(Victim::Worker),
                    End::Kill(Victim::All),
                    End::Signal(Signal::SIGINT),
                    End::Signal(Signal::SIGTERM),
                ] {
                    end_walk(scene, &arguments, pauses, end);
                }
            }
        }
    })
}

/// The number of pauses of a walk that are tested: those before all steps of one process (reserve, touch, touch,
/// release, populate, verify, release), and those before the first four of two (reserve, touch, hand over, read).
const PAUSES: usize = 7 + 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Kill(Victim),
    Signal(Signal),
}

fn end_walk(scene: &Scene, arguments: &[String], pauses: usize, end: End) {
    let before = scene.remains();
    let mut run = Running::with_streams(scene, arguments, Stdio::piped(), Some(Stdio::piped()));
    let mut input = run.child.stdin.take().unwrap();
    let mut output = BufReader::new(run.child.stdout.take().unwrap());
    for pause in 1..=pauses {
        wait_for_pause(&mut output);
        if pause < pauses {
            input.write_all(b"\n").unwrap();
        }
    }
    let mut struck = Instant::now();
    match end {
        End::Kill(victim) => assert!(run.strike(victim), "{end:?} at pause {pauses} hit nobody"),
        End::Signal(signal) => run.signal(signal),
    }
    let found = format!("{arguments:?}: {end:?} at pause {pauses}");
    if end == End::Kill(Victim::All) {
        nobody_left(scene);
        next_run(scene);
        struck = Instant::now();
    }
    scene.restored(&before, struck, Duration::ZERO).unwrap_or_else(|why| panic!("{found}: {why}"));
    let ended = run.end();
    let by_ourselves = matches!(end, End::Kill(Victim::Orchestrator | Victim::All));
    assert!(by_ourselves || ended.code == Some(3), "{found}: {ended:?}");
}

/// Reads up to the next prompt, byte by byte, because the prompt does not end with a newline.
fn wait_for_pause(output: &mut impl Read) {
    const PROMPT: &[u8] = b"press Enter to continue ";
    let mut said = Vec::new();
    while !said.ends_with(PROMPT) {
        let mut byte = [0];
        output.read_exact(&mut byte).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&said)));
        said.push(byte[0]);
    }
}
