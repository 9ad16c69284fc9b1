//! A run of the program that is to be killed.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::scene::Scene;
use crate::context::program::{PROGRAM, in_cgroup};

/// The process that is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    /// The process that the user starts.
    Orchestrator,
    /// The process that gives the pages back.
    Guardian,
    /// A living worker; any of them, if there are several.
    Worker,
    /// All processes at the same moment.
    All,
}

/// A kind of run, and how long such a run takes.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) arguments: Vec<String>,
    pub(super) life: Duration,
}

/// A run of the program.
pub(super) struct Running<'a> {
    scene: &'a Scene,
    pub(super) child: Child,
    output: File,
    log: File,
}

/// The result of a run that ended by itself.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

// === impl Shape ===

impl Shape {
    /// Measures how long runs with these arguments take: the median of a few.
    pub(super) fn new(scene: &Scene, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut shape = Self { arguments, life: Duration::ZERO };
        let mut lives = [(); 5].map(|()| {
            shape.measure(scene);
            shape.life
        });
        lives.sort_unstable();
        Self { life: lives[2], ..shape }
    }

    /// Measures again. If a busy machine has become idle, most moments would otherwise be too late.
    pub(super) fn measure(&mut self, scene: &Scene) {
        let run = Running::start(scene, &self.arguments);
        let since = Instant::now();
        let ended = run.end();
        assert!(matches!(ended.code, Some(0 | 1 | 3)), "{:?}: {ended:?}", self.arguments);
        self.life = since.elapsed();
    }

    /// Returns a random moment of such a run, uniformly distributed.
    pub(super) fn moment(&self, scene: &Scene) -> Duration {
        self.life.mul_f64(scene.random().part())
    }
}

// === impl Running ===

impl<'a> Running<'a> {
    /// Starts the program. It is running when this returns.
    pub(super) fn start(scene: &'a Scene, arguments: &[String]) -> Self {
        Self::with_streams(scene, arguments, Stdio::null(), None)
    }

    /// Starts the program with this standard input, and with `output` as its standard output if that is not to be kept.
    pub(super) fn with_streams(
        scene: &'a Scene,
        arguments: &[String],
        input: Stdio,
        output: Option<Stdio>,
    ) -> Self {
        let [kept, log] = [(); 2].map(|()| tempfile::tempfile().unwrap());
        let mut child = in_cgroup(scene.group())
            .arg(PROGRAM)
            .args(arguments)
            .stdin(input)
            .stdout(output.unwrap_or_else(|| kept.try_clone().unwrap().into()))
            .stderr(log.try_clone().unwrap())
            .spawn()
            .unwrap();
        // Wait until the shell has been replaced by the program. On a busy machine the program may have ended by then.
        let line = format!("/proc/{}/cmdline", child.id());
        while !std::fs::read(&line).unwrap().starts_with(PROGRAM.as_bytes())
            && child.try_wait().unwrap().is_none()
        {
            thread::yield_now();
        }
        Self { scene, child, output: kept, log }
    }

    /// Kills `victim`; waits for it if it has not started yet. Returns true if this kill ended the process.
    pub(super) fn strike(&mut self, victim: Victim) -> bool {
        let verb = match victim {
            Victim::Orchestrator => {
                self.child.kill().unwrap();
                return self.child.wait().unwrap().signal() == Some(Signal::SIGKILL as i32);
            }
            Victim::All => {
                self.scene.kill_all();
                return self.child.wait().unwrap().signal() == Some(Signal::SIGKILL as i32);
            }
            Victim::Guardian => "guardian",
            Victim::Worker => "worker",
        };
        loop {
            let mut processes = self.scene.processes();
            processes.retain(|(_, its)| its == verb);
            if !processes.is_empty() && kill_living(processes[self.scene.random().index(processes.len())].0) {
                return true;
            }
            if self.status().is_some() {
                return false;
            }
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// Sends a signal to the orchestrator.
    pub(super) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until the run has ended.
    pub(super) fn end(mut self) -> Ended {
        let code = self.child.wait().unwrap().code();
        let [stdout, stderr] = [&mut self.output, &mut self.log].map(|file| {
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            text
        });
        Ended { code, stdout, stderr }
    }
}

/// Stops a process, then kills it. A stopped process is alive and cannot end in any other way. Returns false if it
/// ended before it could be stopped.
fn kill_living(pid: i32) -> bool {
    let stat = format!("/proc/{pid}/stat");
    let process = Pid::from_raw(pid);
    let _ = kill(process, Signal::SIGSTOP);
    loop {
        // The line is `PID (NAME) STATE ...`, proc(5). The name may contain any character.
        let text = std::fs::read_to_string(&stat).unwrap_or_default();
        match text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()) {
            Some('T') => return kill(process, Signal::SIGKILL).is_ok(),
            Some('Z' | 'X') | None => return false,
            Some(_) => thread::yield_now(),
        }
    }
}

// === impl Ended ===

impl Ended {
    /// Returns the report, if there is one.
    pub(super) fn report(&self) -> Option<Value> {
        serde_json::from_str(&self.stdout).ok()
    }

    /// Returns whether the run ended as it should: with a report whose verdict matches the exit code, or with a
    /// sentence that says why there is none.
    pub(super) fn is_told(&self) -> bool {
        match self.report().as_ref().map(|report| report["verdict"].as_str()) {
            Some(Some("pass" | "warn")) => self.code == Some(0),
            Some(Some("fail" | "none")) => self.code == Some(1),
            Some(Some("unknown")) => self.code == Some(3),
            Some(_) => false,
            None => self.code == Some(3) && self.stdout.is_empty() && self.stderr.starts_with("hugeprobe: "),
        }
    }
}
