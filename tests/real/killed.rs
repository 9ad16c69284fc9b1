//! Either role of a session killed at a random moment: the run ends in time, says so, and leaves nothing behind.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::Case;
use crate::context::program::{PROGRAM, Run, wait};
use crate::context::{Machine, Missing, SMALL, pools};

pub(crate) const CASES: &[Case] = &[("killed: SIGKILL of either role at random moments", roles)];

/// How long a run may take in which a worker is killed: a phase's deadline, and the phases after it.
const DEADLINE: Duration = Duration::from_secs(12);

/// How long is waited at most before either kill: a run takes some 400 ms without one, in a debug build.
const SPAN: Duration = Duration::from_millis(180);

fn roles(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let kills = std::env::var("HUGEPROBE_KILLS").map_or(200_u32, |text| text.parse().unwrap());
    let mut random = Random::new();
    let before = held();
    let (mut killed, mut runs, mut noticed) = (0, 0, 0);
    while killed < kills {
        runs += 1;
        // Two in one run, so that many moments cost little time.
        let victims = [random.victim(), random.victim()];
        let what = format!("run {runs} of seed {}: {victims:?}", random.seed);
        let begin = Instant::now();
        let child = start();
        let hit: u32 = victims
            .iter()
            .map(|(role, delay)| {
                std::thread::sleep(*delay);
                u32::from(kill_one(&child, role))
            })
            .sum();
        let run = wait(child);
        assert!(begin.elapsed() < DEADLINE, "{what}: {:?}", begin.elapsed());
        noticed += u32::from(judge(&run, &what));
        nothing_is_left(&before, &what);
        killed += hit;
        assert!(runs <= 6 * kills, "{killed} of {kills} were met in {runs} runs");
    }
    // Who is killed after its last word is not missed; most are.
    assert!(noticed * 2 > killed, "{killed} kills were noticed in {noticed} of {runs} runs");
    Ok(())
}

/// Pages in use and pages promised.
fn held() -> [u64; 2] {
    let counter = |name| pools::counter(SMALL, name);
    [counter("nr_hugepages") - counter("free_hugepages"), counter("resv_hugepages")]
}

/// At once, as a rule; others on the machine may hold pages meanwhile.
#[track_caller]
fn nothing_is_left(before: &[u64; 2], what: &str) {
    let begin = Instant::now();
    while held() != *before {
        assert!(begin.elapsed() < Duration::from_secs(5), "{what}: {:?}, {before:?} before", held());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn start() -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(["check", "-o", "json", "--size", "2Mi", "--only", "HP6"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Kills the first worker of this role that turns up. False if the run ends before one does.
fn kill_one(run: &Child, role: &str) -> bool {
    let pid = run.id();
    let mark = format!("\"role\":\"{role}");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(100) {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&mark) {
                // Not reaped by anybody but the run, so the number is still that worker's, if perhaps a zombie.
                return kill(Pid::from_raw(child.parse().unwrap()), Signal::SIGKILL).is_ok();
            }
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    false
}

/// Whether the kill was noticed. If not, nothing may be missing.
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

/// Numbers that differ from run to run, by a seed that a failure names (xorshift64).
struct Random {
    seed: u64,
    state: u64,
}

impl Random {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = (now.as_secs() << 30) | u64::from(now.subsec_nanos()) | 1;
        Self { seed, state: seed }
    }

    fn victim(&mut self) -> (&'static str, Duration) {
        let role = if self.below(2) == 0 { "frontend:" } else { "backend:" };
        (role, SPAN.mul_f64(self.below(1000) as f64 / 1000.0))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % end
    }
}
