//! A worker process: it ends with its parent, does one task, and reports its findings on standard output.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getppid};

use hugeprobe_domain::check::{CheckId, Finding};
use hugeprobe_domain::movement::Step;
use hugeprobe_domain::part::{PartWriter, WorkerOutput};
use hugeprobe_domain::standalone::SessionEvent;

use super::assignment::{Assignment, VERB, Work};
use super::standalone;

/// Runs the worker or the role that this command line describes; `None` if it describes neither.
///
/// hugeprobe alone starts them, about twenty in a run, so they are not verbs of the command line's parser, which takes longer
/// than everything else in the start of a worker.
#[must_use]
pub fn main(command_line: &[OsString]) -> Option<ExitCode> {
    let [_, verb, argument] = command_line else { return None };
    let argument = argument.to_str()?;
    match verb.to_str()? {
        VERB => Some(worker(argument)),
        standalone::VERB => Some(role(argument)),
        _ => None,
    }
}

/// Runs the worker that `argument` describes. The exit code is 0 once a complete part was written.
fn worker(argument: &str) -> ExitCode {
    let mut log = io::stderr();
    let assignment: Assignment = match serde_json::from_str(argument) {
        Ok(assignment) => assignment,
        Err(error) => {
            // Only hugeprobe itself uses this verb. If stderr is closed too, the exit code alone reports the error.
            let _ = writeln!(log, "hugeprobe: invalid assignment of a worker: {error}");
            return ExitCode::from(2);
        }
    };
    match work(&assignment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(log, "hugeprobe: the {} worker stopped: {error}", assignment.work.role());
            ExitCode::FAILURE
        }
    }
}

/// Runs the role that `argument` describes, over the socket that is its standard input. The exit code is 0 once the end
/// of the role was reported.
fn role(argument: &str) -> ExitCode {
    let mut log = io::stderr();
    let played = serde_json::from_str(argument).map_err(io::Error::other).and_then(|assignment| {
        let standalone::Assignment { parent, task } = assignment;
        tie_to(Pid::from_raw(parent))?;
        let mut out = io::stdout().lock();
        let say = &mut |said: &SessionEvent| writeln!(out, "{}", serde_json::to_string(said)?);
        hugeprobe_exchange::standalone::run(&task, io::stdin().as_fd().try_clone_to_owned()?, say)
    });
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(log, "hugeprobe: the role stopped: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(assignment: &Assignment) -> io::Result<()> {
    tie_to(Pid::from_raw(assignment.parent))?;
    let work = &assignment.work;
    let part = PartWriter::new(io::stdout(), assignment.run.clone(), work.role(), work.size());
    let mut report = StepwisePart { part, stepwise: assignment.stepwise };
    match work {
        Work::Allocation(task) => hugeprobe_allocation::run(task, &mut report)?,
        Work::Exchange(task) => {
            hugeprobe_exchange::run(task, io::stdin().as_fd().try_clone_to_owned()?, &mut report)?;
        }
        Work::Peer(task) => {
            hugeprobe_exchange::peer::run(task, io::stdin().as_fd().try_clone_to_owned()?, &mut report)?;
        }
    }
    report.part.end()
}

/// Makes the kernel kill this process when its parent dies, disables core dumps and unblocks all signals.
///
/// PR_SET_PDEATHSIG (prctl(2)) applies only to a later death, so the parent is checked afterwards.
fn tie_to(parent: Pid) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        return Err(io::Error::other(format!("process {parent}, which started this one, has ended")));
    }
    // SIGBUS is an expected end of a worker, and a core dump would hold gigabytes of pages. With a limit of 1 byte the
    // kernel dumps neither to a file (too small) nor to a pipe (`do_coredump()` takes 1 for "never").
    let hard = getrlimit(Resource::RLIMIT_CORE).map_or(0, |(_, hard)| hard);
    setrlimit(Resource::RLIMIT_CORE, hard.min(1), hard.min(1))?;
    // The parent blocks the signals that it reads from a signalfd, and a child inherits the mask.
    SigSet::all().thread_unblock()?;
    Ok(())
}

/// Writes a part. If `stepwise` is set, it waits for the parent's permission after it has announced each step.
struct StepwisePart<W> {
    part: PartWriter<W>,
    stepwise: bool,
}

impl<W> StepwisePart<W> {
    fn wait(&self) -> io::Result<()> {
        if !self.stepwise {
            return Ok(());
        }
        let mut byte = [0];
        loop {
            match nix::unistd::read(io::stdout().as_fd(), &mut byte) {
                Ok(0) => {
                    let why = "the step was not allowed";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
                }
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<W: Write> WorkerOutput for StepwisePart<W> {
    fn step(&mut self, id: CheckId, what: &str) -> io::Result<()> {
        self.part.step(id, what)?;
        self.wait()
    }

    fn page_step(&mut self, id: CheckId, what: &str, effect: Step) -> io::Result<()> {
        self.part.page_step(id, what, effect)?;
        self.wait()
    }

    fn found(&mut self, finding: Finding) -> io::Result<()> {
        self.part.found(finding)
    }
}
