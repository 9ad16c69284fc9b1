//! The guardian of `--reserve`: a process that grows the pools for a run and gives the pages back whatever ends it.
//!
//! ```text
//!   orchestrator ──spawn, JSON──► guardian: lock, replay the dead, journal, grow, unlock
//!       │  ◄──────── Granted ───────┤
//!       │ holds the write end;      │ reads the other end
//!     workers hold it too           │
//!       ▼                           ▼
//!   released, exited or killed ── EOF: lock, replay the dead, shrink, remove the journal
//! ```
//!
//! Who is killed, and who gives back: the orchestrator or a worker, the guardian; the guardian, the orchestrator by
//! [`Guardian::release`]; both, the next run by [`replay_dead`].

mod keeper;
mod listener;
mod message;
mod process;
mod replay;
#[cfg(test)]
mod tests;

use std::io::{self, PipeWriter, Read as _};
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::domain::request::PageCount;
use crate::domain::reserve::Granted;
use crate::linux::nr_hugepages::{self, PoolError};
use crate::linux::root::HostRoot;
use crate::linux::run_directory::{RunDirectory, RunDirectoryError};
use listener::{Heard, Listener};
use message::{Assignment, Message};

pub use message::{GivenBack, Replayed, Restored};
pub use process::main;
pub use replay::replay_dead;

/// How a guardian is started.
#[derive(Debug)]
pub struct Options<'a> {
    /// Where the tree of kernel files begins.
    pub root: HostRoot,
    /// Where the lock and the journals are.
    pub run_directory: RunDirectory,
    /// The program whose hidden verb `guardian` calls [`main`].
    pub program: PathBuf,
    /// Tells this run from others; letters, digits and `-` of it count.
    pub nonce: String,
    /// How long the pools may take to grow; past it nothing is reserved. Other runs that are growing count in.
    pub grow_within: Duration,
    /// How long the guardian may take to give back; past it, it is killed and its journal replayed.
    pub restore_within: Duration,
    /// When this becomes readable while the pools grow, nothing is reserved: a signalfd, for one.
    pub stop: Option<BorrowedFd<'a>>,
}

/// A guardian that has grown the pools. The pages go when it is released, and also when it is dropped, or never gets to be.
///
/// One at a time in a process: a second would keep the first one's pipe open.
#[derive(Debug)]
pub struct Guardian {
    process: Process,
    granted: Vec<Granted>,
    replayed: Vec<Replayed>,
}

/// Why there is no guardian, or no knowing what became of its pages.
#[derive(Debug, thiserror::Error)]
pub enum GuardianError {
    /// Only root may set the pools.
    #[error("--reserve needs root: only root may set the kernel's pools")]
    NotRoot,
    /// The size or node is not there, or may not be set.
    #[error("--reserve {count}: {source}")]
    Pool {
        /// What was asked.
        count: PageCount,
        /// What is wrong with it.
        source: PoolError,
    },
    /// The lock or a journal could not be had.
    #[error("--reserve: {0}")]
    RunDirectory(#[from] RunDirectoryError),
    /// The process could not be started.
    #[error("--reserve: cannot {verb}: {source}")]
    Start {
        /// What was attempted.
        verb: &'static str,
        /// What came back.
        source: io::Error,
    },
    /// It grew nothing, or not in time. What it had is given back, unless `owed` says otherwise.
    #[error("--reserve: {why}{owed}", owed = if .owed.is_empty() { String::new() } else { format!("; not given back: {owed}") })]
    NotReserved {
        /// What it said, or how it ended.
        why: String,
        /// What could not be given back; empty if all was.
        owed: String,
    },
    /// It was killed and does not end: the kernel holds it. Its journal stays for the next run.
    #[error(
        "the guardian (pid {pid}) was killed and has not ended within {waited:?}; the next run gives its pages back"
    )]
    Stuck {
        /// Its pid.
        pid: u32,
        /// How long it was waited for.
        waited: Duration,
    },
}

/// The process, and what is needed to clean up after it.
#[derive(Debug)]
struct Process {
    child: Child,
    /// Dropped to say that nobody holds pages.
    hold: PipeWriter,
    listener: Listener,
    root: HostRoot,
    run_directory: RunDirectory,
    run: String,
    restore_within: Duration,
}

/// How long a killed guardian is waited for. A kernel that is zeroing a gigantic page does not look at signals.
const DEATH: Duration = Duration::from_secs(10);

// === impl Options ===

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            root: HostRoot::default(),
            run_directory: RunDirectory::default(),
            program: PathBuf::from("/proc/self/exe"),
            nonce: String::new(),
            grow_within: Duration::from_secs(60),
            restore_within: Duration::from_secs(10),
            stop: None,
        }
    }
}

// === impl Guardian ===

impl Guardian {
    /// Starts a guardian and waits until it says what it got, which may be less than was asked: see [`Granted`].
    ///
    /// # Errors
    ///
    /// No right to (see [`GuardianError::is_usage`]), nothing of that name to grow, or the guardian failed; the pools are then
    /// as they were, or the error says what is owed.
    pub fn start(counts: &[PageCount], options: &Options<'_>) -> Result<Self, GuardianError> {
        check(counts, options)?;
        let mut process = Process::spawn(counts, options)?;
        let why = match process.listener.hear(Instant::now() + options.grow_within, options.stop) {
            Heard::Message(Message::Granted { granted, replayed }) => {
                return Ok(Self { process, granted, replayed });
            }
            Heard::Message(Message::Failed { why, .. }) => why,
            Heard::Message(Message::Restored(_)) => "the guardian gave back before it was told to".to_owned(),
            Heard::End => process.last_words(),
            Heard::Late => format!("the pools had not grown within {:?}", options.grow_within),
            Heard::Stopped => "interrupted while the pools grew".to_owned(),
        };
        let owed = match process.restore() {
            Ok(restored) => restored.problems.join("; "),
            Err(error) => error.to_string(),
        };
        Err(GuardianError::NotReserved { why, owed })
    }

    /// What was granted, one per count asked, in order.
    #[must_use]
    pub fn granted(&self) -> &[Granted] {
        &self.granted
    }

    /// What the guardian gave back before, on behalf of runs that were dead.
    #[must_use]
    pub fn replayed(&self) -> &[Replayed] {
        &self.replayed
    }

    /// The guardian's pid.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// The guardian's stdout, for poll(2): anything on it means that the guardian is no more. Then release: the pages are
    /// still there, and only the journal knows of them.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.listener.as_fd()
    }

    /// Gives the pages back. Workers must have been reaped: as long as one lives, the guardian waits for it, until
    /// `restore_within` is over; then the pools shrink under it, and its pages go when it does.
    ///
    /// # Errors
    ///
    /// What became of the pages cannot be told; the next run will give back what is owed.
    pub fn release(self) -> Result<Restored, GuardianError> {
        self.process.restore()
    }
}

impl GuardianError {
    /// Whether the request itself cannot be met here, by this user: exit code 2.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NotRoot
                | Self::Pool {
                    source: PoolError::NoSize(_) | PoolError::NoNode { .. } | PoolError::NotWritable { .. },
                    ..
                }
        )
    }
}

/// Refuses what cannot work, before anything is started.
fn check(counts: &[PageCount], options: &Options<'_>) -> Result<(), GuardianError> {
    if options.root.is_live() && !nix::unistd::geteuid().is_root() {
        return Err(GuardianError::NotRoot);
    }
    for count in counts {
        let refused = |source| GuardianError::Pool { count: *count, source };
        for pool in nr_hugepages::pools_for(&options.root, count).map_err(refused)? {
            nr_hugepages::check_writable(&options.root, pool).map_err(refused)?;
        }
    }
    Ok(())
}

// === impl Process ===

impl Process {
    fn spawn(counts: &[PageCount], options: &Options<'_>) -> Result<Self, GuardianError> {
        let failed = |verb| move |source| GuardianError::Start { verb, source };
        let absolute = |path: PathBuf| std::path::absolute(path).map_err(failed("make a path absolute"));
        let assignment = Assignment {
            root: absolute(options.root.path("/"))?,
            run_directory: absolute(options.run_directory.path().to_owned())?,
            nonce: options.nonce.clone(),
            counts: counts.to_vec(),
        };
        let assignment = serde_json::to_string(&assignment).map_err(io::Error::from);
        let (read_end, hold) = io::pipe().map_err(failed("make a pipe"))?;
        let mut child = Command::new(&options.program)
            .arg0("hugeprobe")
            .arg("guardian")
            .arg(assignment.map_err(failed("write the assignment"))?)
            .stdin(read_end)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed("start the guardian"))?;
        // From here on, and not before, since the guardian itself must not hold it: whatever is started inherits it.
        fcntl(&hold, FcntlArg::F_SETFD(FdFlag::empty()))
            .map_err(|errno| failed("share the guardian's pipe")(errno.into()))?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe.into());
        Ok(Self {
            listener: Listener::new(stdout.map_err(failed("hear the guardian"))?),
            run: process::run_name(child.id(), &options.nonce),
            child,
            hold,
            root: options.root.clone(),
            run_directory: options.run_directory.clone(),
            restore_within: options.restore_within,
        })
    }

    /// How it ended, and what it wrote to stderr.
    fn last_words(&mut self) -> String {
        const KEPT: u64 = 2048;
        let Some(status) = reap(&mut self.child, DEATH) else {
            return "the guardian closed its stdout and does not end".to_owned();
        };
        let mut words = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            let _ = stderr.take(KEPT).read_to_end(&mut words);
        }
        let words = String::from_utf8_lossy(&words);
        format!("the guardian ended before it had said anything: {status} {}", words.trim())
            .trim_end()
            .to_owned()
    }

    /// Lets go, waits, and sees to it that the pages are given back: by the guardian, else by its journal.
    fn restore(self) -> Result<Restored, GuardianError> {
        let Self { mut child, hold, mut listener, root, run_directory, run, restore_within } = self;
        drop(hold);
        let deadline = Instant::now() + restore_within;
        let mut answer = None;
        loop {
            match listener.hear(deadline, None) {
                Heard::Message(Message::Restored(restored) | Message::Failed { restored, .. }) => {
                    answer = Some(restored);
                }
                Heard::Message(Message::Granted { .. }) => {}
                Heard::End => break,
                Heard::Late | Heard::Stopped => {
                    // It has ended by itself in this moment, or it will now.
                    let _ = child.kill();
                    break;
                }
            }
        }
        let pid = child.id();
        if reap(&mut child, DEATH).is_none() {
            return Err(GuardianError::Stuck { pid, waited: DEATH });
        }
        if let Some(restored) = answer {
            return Ok(restored);
        }
        let replayed = replay_dead(&root, &run_directory, restore_within)?;
        // No journal: the guardian was past its end, or another run has replayed it.
        Ok(replayed
            .into_iter()
            .find(|replayed| replayed.run == run)
            .map(|replayed| replayed.restored)
            .unwrap_or_default())
    }
}

/// Waits for the end of `child`, but not for ever.
fn reap(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    const STEP: Duration = Duration::from_millis(1);
    let deadline = Instant::now() + patience;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(STEP),
            Ok(None) | Err(_) => return None,
        }
    }
}
