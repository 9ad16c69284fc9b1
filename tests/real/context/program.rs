//! Runs of the program under test in a prepared environment.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The path of the program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_hugeprobe");

/// How long a run may take before the test fails: far longer than any run takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code; `None` if it was killed.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error, for the message of a failed test.
    #[allow(dead_code, reason = "read through Debug")]
    pub(crate) stderr: String,
}

/// Runs `check -o json` with these arguments.
pub(crate) fn check(arguments: &[&str]) -> Run {
    run(Command::new(PROGRAM).args(["check", "-o", "json"]).args(arguments))
}

/// Does the same in a new mount namespace, after a shell has run `preamble` there (`set -e`). `$DIR` in it is an empty
/// directory.
pub(crate) fn check_in(preamble: &str, arguments: &[&str]) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("set -e\n{preamble}\nexec \"$@\"");
    let arguments =
        arguments.iter().map(|argument| argument.replace("$DIR", directory.path().to_str().unwrap()));
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh", PROGRAM, "check", "-o", "json"]).args(arguments);
    run(command.env("DIR", directory.path()))
}

/// Runs `check -o json` with these arguments in a cgroup.
pub(crate) fn check_in_cgroup(group: &Path, arguments: &[&str]) -> Run {
    run(in_cgroup(group).args([PROGRAM, "check", "-o", "json"]).args(arguments))
}

/// Returns a shell that joins the cgroup and then executes the program given by its further arguments.
pub(crate) fn in_cgroup(group: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$@\""]).arg(group);
    command
}

/// Runs a command and waits until it has ended.
pub(crate) fn run(command: &mut Command) -> Run {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait(child)
}

/// Waits until `child` has ended. Kills it and fails the test if it takes too long.
pub(crate) fn wait(child: Child) -> Run {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let begin = Instant::now();
        if waiting.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
            panic!("not done after {:?}", begin.elapsed());
        }
    });
    let output = child.wait_with_output().unwrap();
    drop(done);
    watchdog.join().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

// === impl Run ===

impl Run {
    /// Returns the report. Fails the test if there is none.
    pub(crate) fn report(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no report ({error}): {self:?}"))
    }

    /// Returns the outcome of one check, for 2Mi or, if the check is not per size, for the machine.
    pub(crate) fn outcome(&self, id: &str) -> String {
        let report = self.report();
        let entries = report["checks"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["id"] == id);
        entry.unwrap_or_else(|| panic!("{id} is not in the report: {report:#}"))["outcome"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Asserts the outcome of one check. An entry that is not a pass must also have an expected value, a seen value and
    /// a remedy.
    #[track_caller]
    pub(crate) fn expect(&self, id: &str, outcome: &str) -> Value {
        self.expect_of(None, id, outcome)
    }

    /// Does the same for one page size, for runs that check several.
    #[track_caller]
    pub(crate) fn expect_of(&self, size: Option<&str>, id: &str, outcome: &str) -> Value {
        let report = self.report();
        let entries = report["checks"].as_array().unwrap();
        let entry = entries
            .iter()
            .find(|entry| entry["id"] == id && (size.is_none() || entry["size"].as_str() == size));
        let entry = entry.unwrap_or_else(|| panic!("{id} is not in the report: {report:#}"));
        assert_eq!(entry["outcome"], outcome, "{id}: {entry:#}");
        if ["warn", "fail", "unknown"].contains(&outcome) {
            for field in ["expected", "seen", "remedy"] {
                assert!(
                    entry[field].as_str().is_some_and(|text| !text.is_empty()),
                    "{id} has no {field}: {entry:#}"
                );
            }
        }
        entry.clone()
    }
}
