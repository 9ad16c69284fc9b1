//! SIGKILL of either role of a session at a random moment, in `check` and in the verbs `frontend` and `backend`: the
//! other side ends in time and reports it, and pools, files and sockets are as before.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::Case;
use crate::context::program::{PROGRAM, Run, run as run_to_end, wait};
use crate::context::random::Random;
use crate::context::{HANGS, Machine, Missing, SMALL, pools};

pub(crate) const CASES: &[Case] = &[
    ("killed: SIGKILL of either role at random moments", roles),
    ("killed: SIGKILL of `frontend`, `backend` and their workers in mid-traffic", verbs),
];

/// The longest delay before a role of `frontend` or `backend` is killed. Without a kill it would run for hours.
const SPAN: Duration = Duration::from_millis(180);

fn roles(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let kills = kills(200);
    let mut random = Random::new();
    let mount = Mount::new();
    let before = held();
    // The duration of a run without a kill, divided by the two kills of a run.
    let span = || {
        let begin = Instant::now();
        wait(start(None));
        begin.elapsed() / 2
    };
    let mut longest = span();
    let (mut killed, mut runs, mut struck, mut noticed) = (0, 0, 0, 0);
    while killed < kills {
        runs += 1;
        // Two kills in one run, so that many moments take little time.
        let victims = [(); 2].map(|()| {
            let role = if random.below(2) == 0 { "frontend:" } else { "backend:" };
            (role, longest.mul_f64(random.part()))
        });
        let what = format!("run {runs} of seed {}: {victims:?}", random.seed);
        // Every second run uses memory that has a path.
        let mut child = start((runs % 2 == 0).then_some(mount.path()));
        let hit: u32 = victims
            .iter()
            .map(|(role, delay)| {
                std::thread::sleep(*delay);
                u32::from(kill_one(&mut child, role))
            })
            .sum();
        let run = wait(child);
        struck += u32::from(hit > 0);
        noticed += u32::from(judge(&run, &what));
        nothing_is_left(&before, mount.path(), &what);
        killed += hit;
        if hit == 0 {
            // The machine has become faster, or less busy.
            longest = span();
        }
        assert!(runs <= 6 * kills, "{killed} of {kills} were met in {runs} runs");
    }
    // A kill after the last report of a role goes unnoticed. That is a small part of its life, so with a hundred runs
    // it is practically impossible that half of the kills go unnoticed. With few runs it can happen.
    let least = if kills < 100 { 1 } else { struck / 2 + 1 };
    assert!(noticed >= least, "{killed} kills were noticed in {noticed} of {struck} runs that they met");
    Ok(())
}

/// Returns the number of kills. `HUGEPROBE_KILLS` overrides the default.
fn kills(default: u32) -> u32 {
    std::env::var("HUGEPROBE_KILLS").map_or(default, |text| text.parse().unwrap())
}

/// A hugetlbfs for the test; unmounted when dropped.
struct Mount(tempfile::TempDir);

impl Mount {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let done =
            run_to_end(mount.args(["-t", "hugetlbfs", "-o", "pagesize=2M", "none"]).arg(directory.path()));
        assert_eq!(done.code, Some(0), "{done:?}");
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Ignored: the test itself asserts that nothing is left in it.
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

/// Runs `frontend` and `backend` with frames for hours, and kills one of their four processes a moment after they have
/// connected.
fn verbs(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let mut random = Random::new();
    let mount = Mount::new();
    let before = held();
    for number in 0..kills(100) {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let delay = SPAN.mul_f64(random.part());
        let (of_frontend, its_worker) = (random.below(2) == 0, random.below(2) == 0);
        let listens = random.below(2) == 0;
        let what = format!(
            "kill {number} of seed {}: frontend {of_frontend}, worker {its_worker}, after {delay:?}, it listens {listens}",
            random.seed
        );
        let play = |verb: &str, is_listening: bool, arguments: &[&str]| {
            let mut command = Command::new(PROGRAM);
            command.args([verb, "--deadline", "50", "--socket"]).arg(&socket).args(arguments);
            command.args(is_listening.then_some("--listen"));
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let mut arguments = vec!["--size", "2Mi", "--frames", "1000000000000"];
        if random.below(2) == 0 {
            arguments.extend(["--dir", mount.path().to_str().unwrap()]);
        }
        let frontend = play("frontend", listens, &arguments);
        let backend = play("backend", !listens, &[]);
        let (victim, other) = if of_frontend { (frontend, backend) } else { (backend, frontend) };
        let Some(worker) = worker_of(&victim) else {
            for verb in [&victim, &other] {
                let _ = kill(Pid::from_raw(verb.id().try_into().unwrap()), Signal::SIGKILL);
            }
            panic!("{what}: the two did not meet: {:?} {:?}", wait(victim), wait(other));
        };
        std::thread::sleep(delay);
        let hit = if its_worker { worker } else { Pid::from_raw(victim.id().try_into().unwrap()) };
        kill(hit, Signal::SIGKILL).unwrap();
        let (victim, other) = (wait(victim), wait(other));
        assert_eq!(victim.code, its_worker.then_some(3), "{what}: {victim:?}");
        assert!(!its_worker || victim.stdout.contains("killed by SIGKILL"), "{what}: {victim:?}");
        // A surviving backend exits 0 when the frontend hangs up, because it was to serve until then, and reports that.
        assert!(
            matches!(other.code, Some(1 | 3)) || (of_frontend && other.code == Some(0)),
            "{what}: {other:?}"
        );
        let is_said =
            ["hung up", "hangs up", "closed the connection"].iter().any(|words| other.stdout.contains(words));
        assert!(is_said, "{what}: {other:?}");
        nothing_is_left(&before, mount.path(), &what);
        let left: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{what}: {left:?}");
        let sockets = fs::read_to_string("/proc/net/unix").unwrap();
        assert!(!sockets.contains(directory.path().to_str().unwrap()), "{what}: a socket is left");
    }
    Ok(())
}

/// Returns the worker of a role, which starts after the two have connected. Returns `None` if it does not start.
fn worker_of(verb: &Child) -> Option<Pid> {
    let pid = verb.id();
    let begin = Instant::now();
    loop {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        if let Some(worker) = children.split_whitespace().next() {
            return Some(Pid::from_raw(worker.parse().unwrap()));
        }
        if begin.elapsed() > HANGS {
            return None;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Returns the number of pages in use, and the number of reserved pages.
fn held() -> [u64; 2] {
    let counter = |name| pools::counter(SMALL, name);
    [counter("nr_hugepages") - counter("free_hugepages"), counter("resv_hugepages")]
}

/// Asserts that no file is left and waits until the pages are free. They normally are at once, but other programs may
/// hold pages for a while.
#[track_caller]
fn nothing_is_left(before: &[u64; 2], mount: &Path, what: &str) {
    let files: Vec<_> = fs::read_dir(mount).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.is_empty(), "{what}: {files:?}");
    let begin = Instant::now();
    while held() != *before {
        assert!(begin.elapsed() < HANGS, "{what}: {:?}, {before:?} before", held());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn start(directory: Option<&Path>) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(["check", "-o", "json", "--size", "2Mi", "--only", "HP6"]);
    if let Some(directory) = directory {
        command.arg("--dir").arg(directory);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Kills the first worker of this role that appears. Returns false if the run ends before one does.
fn kill_one(run: &mut Child, role: &str) -> bool {
    let pid = run.id();
    let mark = format!("\"role\":\"{role}");
    while run.try_wait().unwrap().is_none() {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&mark) {
                // Only the run reaps the worker, so the pid still belongs to it, even if it is a zombie.
                return kill(Pid::from_raw(child.parse().unwrap()), Signal::SIGKILL).is_ok();
            }
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    false
}

/// Returns whether the kill was noticed. If it was not, asserts that no result is missing.
fn judge(run: &Run, what: &str) -> bool {
    let report = run.report();
    let checks = report["checks"].as_array().unwrap();
    let ids: Vec<_> = checks.iter().map(|entry| entry["id"].as_str().unwrap()).collect();
    let all: Vec<_> = (601..=611).map(|number| format!("HP{number}")).collect();
    assert_eq!(ids, all, "{what}: {report:#}");
    match run.code {
        Some(1 | 3) => {
            assert!(checks.iter().any(|entry| entry["outcome"] != "pass"), "{what}: {report:#}");
            true
        }
        // With --dir, a failure with other memory is a warning at most.
        Some(0) if checks.iter().any(|entry| entry["outcome"] == "warn") => {
            let is_good = |entry: &Value| entry["outcome"] == "warn" || entry["outcome"] == "pass";
            assert!(checks.iter().all(is_good), "{what}: {report:#}");
            true
        }
        Some(0) => {
            let whole = |entry: &Value| {
                let said = entry["evidence"].as_object().unwrap();
                let is = |prefix: &str| said.iter().filter(|(role, _)| role.starts_with(prefix)).count();
                entry["outcome"] == "pass" && is("frontend:") > 0 && is("frontend:") == is("backend:")
            };
            assert!(checks.iter().all(whole), "{what}: {report:#}");
            false
        }
        code => panic!("{what}: exit {code:?}: {run:?}"),
    }
}
