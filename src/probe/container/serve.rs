//! The orchestrator of a container: makes one run and leaves its message, or answers requests for rounds.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::supervisor::Supervisor;
use super::error::{ServeError, ignore};
use super::log;
use super::meeting::Meeting;
use super::probe::Probe;
use super::round::Round;
use super::rounds::{self, Rounds};
use hugeprobe_domain::compact::{Container, Run};

/// The command line options of a container.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which container it is.
    pub container: Container,
    /// The probe to run.
    pub probe: Probe,
    /// The directory that both containers see.
    pub rendezvous: PathBuf,
    /// The time limit of a run.
    pub time: Duration,
    /// Whether to make one run or to answer requests for rounds.
    pub mode: Mode,
}

/// Whether a container runs once or stays.
#[derive(Debug, Clone)]
pub enum Mode {
    /// One run.
    Once {
        /// The name of the run.
        run: Run,
        /// The file that the message is written to: the termination log.
        report: PathBuf,
    },
    /// A run for each request that appears in this directory.
    Rounds(PathBuf),
}

/// Runs the probe and leaves a message, whatever the outcome is. `out` receives the whole report. `err` receives
/// problems of the container itself and the workers' logs.
///
/// # Errors
///
/// See [`ServeError`].
pub fn serve(options: &Options, out: &mut dyn Write, err: &mut dyn Write) -> Result<(), ServeError> {
    let mut supervisor = Supervisor::new().map_err(ServeError::Signals)?;
    let Options { container, probe, rendezvous, time, mode } = options;
    let meeting = Meeting::new(rendezvous, *container);
    if let Some(error) = meeting.trouble() {
        // Not fatal: the sessions will report what they could not do, and the other checks need no peer.
        ignore(writeln!(
            err,
            "hugeprobe: cannot announce this container in {}: {error}",
            rendezvous.display()
        ));
    }
    match mode {
        Mode::Once { run, report } => {
            let mut left = Ok(());
            let round = Round {
                container: *container,
                probe,
                run,
                meeting: &meeting,
                time: *time,
                missed: Cell::default(),
            };
            let message = round.play(&mut supervisor, &mut |so_far| left = leave(report, &so_far.write()));
            ignore(log::write(&message, out, err));
            left.map_err(|source| ServeError::Report { path: report.clone(), source })
        }
        Mode::Rounds(directory) => {
            let rounds = Rounds { container: *container, probe, meeting: &meeting, time: *time, directory };
            rounds::serve(&rounds, &mut supervisor, out, err)
        }
    }
}

/// Replaces the content of the file in one write. The kubelet has created the file.
fn leave(path: &Path, text: &str) -> io::Result<()> {
    File::options().write(true).create(true).truncate(true).open(path)?.write_all(text.as_bytes())
}
