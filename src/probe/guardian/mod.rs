//! The guardian of `--reserve`: a process that grows the pools for a run and gives the pages back however the run ends.
//!
//! ```text
//!   orchestrator ── spawn ──► guardian: lock, replay the journals of dead runs, write its journal, grow, unlock
//!       │  ◄──────── Grown ───────┤
//!       │ holds the write end;    │ reads the other end of the pipe that is its stdin
//!     workers hold it too         │
//!       ▼                         ▼
//!   released, exited or killed ── end of file: lock, shrink, remove the journal, exit
//! ```
//!
//! If the orchestrator or a worker is killed, the guardian gives the pages back. If the guardian is killed, the
//! orchestrator gives them back by the journal, in [`Guardian::release`]. If all of them are killed, the next run gives
//! them back in [`replay_dead`].

mod process;
mod replay;
mod reservation;
#[cfg(test)]
mod tests;

use std::io::{self, PipeWriter, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use hugeprobe_domain::request::PageCount;
use hugeprobe_domain::reserve::{Granted, Replayed};
use hugeprobe_linux::nr_hugepages::{self, PoolError};
use hugeprobe_linux::root::HostRoot;
use hugeprobe_linux::run_directory::RunDirectory;
use hugeprobe_linux::{init_namespaces, meminfo};
use process::Grown;

pub use process::main;
pub use replay::replay_dead;

/// How to start a guardian.
#[derive(Debug)]
pub struct Options<'a> {
    /// The root of the tree of kernel files.
    pub root: HostRoot,
    /// The directory of the lock and the journals.
    pub run_directory: RunDirectory,
    /// The program to start; its hidden verb `guardian` calls [`main`].
    pub program: PathBuf,
    /// Distinguishes this run from others, as part of a file name.
    pub id: String,
    /// Allows more than half of the available memory to be reserved.
    pub over_half: bool,
    /// How long the pools may take to grow, including the wait for other runs that are growing them.
    pub grow_within: Duration,
    /// How long the guardian may take to give the pages back. After that it is killed, and its journal is replayed.
    pub restore_within: Duration,
    /// A descriptor that stops the growth when it becomes readable, such as a signalfd. Nothing is reserved then.
    pub stop: Option<BorrowedFd<'a>>,
}

/// A guardian that has grown the pools. It gives the pages back when this value is released or dropped, and when this
/// process dies.
///
/// A process can have only one at a time: a second guardian would inherit and keep open the pipe of the first one.
#[derive(Debug)]
pub struct Guardian {
    child: Child,
    /// The write end of the guardian's stdin. To be dropped when no process of the run uses pages any more.
    hold: PipeWriter,
    stdout: ChildStdout,
    root: HostRoot,
    run_directory: RunDirectory,
    run: String,
    restore_within: Duration,
    granted: Vec<Granted>,
}

/// Why nothing was reserved.
#[derive(Debug, thiserror::Error)]
pub enum GuardianError {
    /// The user is not root; only root may set the size of the pools.
    #[error("--reserve requires root: only root may set the kernel's pools")]
    NotRoot,
    /// The program runs in a container.
    #[error(
        "--reserve works on the host only: {0}; if a container is killed, no process and no journal remain that \
         could give the pages back; run hugeprobe on the host, or set nr_hugepages there and run this without \
         --reserve"
    )]
    NotOnHost(String),
    /// The request exceeds half of the available memory.
    #[error(
        "--reserve asks for {asked} MiB, which is more than half of the {available} MiB of available memory \
         (MemAvailable); reserve less, or add --reserve-over-half"
    )]
    OverHalf {
        /// The total of the request, in MiB.
        asked: u64,
        /// The available memory, in MiB.
        available: u64,
    },
    /// The size or node does not exist, or its pool may not be set.
    #[error("--reserve {count}: {source}")]
    Pool {
        /// The request.
        count: PageCount,
        /// The error of the pool.
        source: PoolError,
    },
    /// The process could not be started.
    #[error("--reserve: cannot {verb}: {source}")]
    Start {
        /// The operation that failed.
        verb: &'static str,
        /// The error of the kernel.
        source: io::Error,
    },
    /// The guardian reserved nothing, or not in time.
    #[error("--reserve: {0}")]
    NotReserved(String),
}

/// How long to wait for a guardian to end after SIGKILL. The kernel does not handle signals while it is zeroing a
/// gigantic page.
const DEATH: Duration = Duration::from_secs(10);

// === impl Options ===

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            root: HostRoot::default(),
            run_directory: RunDirectory::default(),
            program: PathBuf::from("/proc/self/exe"),
            id: String::new(),
            over_half: false,
            grow_within: Duration::from_secs(60),
            restore_within: Duration::from_secs(10),
            stop: None,
        }
    }
}

// === impl Guardian ===

impl Guardian {
    /// Starts a guardian and waits until it has grown the pools. They may have grown by less than requested: see
    /// [`Granted`]. `replayed` receives each killed run whose pages the guardian gave back first.
    ///
    /// # Errors
    ///
    /// The request cannot be met (see [`GuardianError::is_usage`]), or the guardian failed. The pools are then as they
    /// were before, or the error says what was not given back.
    pub fn start(
        counts: &[PageCount],
        options: &Options<'_>,
        replayed: &mut dyn FnMut(Replayed),
    ) -> Result<Self, GuardianError> {
        check(counts, options)?;
        let mut guardian = Self::spawn(counts, options)?;
        let why = match guardian.grown(Instant::now() + options.grow_within, options.stop) {
            Ok(grown) => {
                grown.replayed.into_iter().for_each(replayed);
                match grown.granted {
                    Ok(granted) => return Ok(Self { granted, ..guardian }),
                    Err(why) => why,
                }
            }
            Err(why) => why,
        };
        let problems = guardian.release();
        Err(GuardianError::NotReserved(if problems.is_empty() {
            why
        } else {
            format!("{why}; not given back: {}", problems.join("; "))
        }))
    }

    /// Returns what was granted, one item per requested count, in the same order.
    #[must_use]
    pub fn granted(&self) -> &[Granted] {
        &self.granted
    }

    /// Returns the guardian's stdout, for poll(2). When it becomes readable or hangs up, the guardian is dead. The
    /// pages are still in the pools then, and [`Guardian::release`] must be called.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.stdout.as_fd()
    }

    /// Gives the pages back. Returns a sentence for each problem that left pages in a pool; the next run tries again.
    ///
    /// The workers must have been reaped. While one of them lives, the guardian waits for it, until `restore_within`
    /// has passed. The pools are then shrunk, and pages in use leave the pool when the worker ends.
    #[must_use]
    pub fn release(self) -> Vec<String> {
        let Self { mut child, hold, root, run_directory, run, restore_within, .. } = self;
        drop(hold);
        let status = reap(&mut child, restore_within).or_else(|| {
            // An error means that it has just ended by itself.
            let _ = child.kill();
            reap(&mut child, DEATH)
        });
        let Some(status) = status else {
            let pid = child.id();
            return vec![format!(
                "the guardian (pid {pid}) was killed and has not ended within {DEATH:?}; the next run gives its \
                 pages back"
            )];
        };
        if status.success() {
            return Vec::new();
        }
        match replay::replay_run(&root, &run_directory, &run, restore_within) {
            Ok(replayed) => replayed.map(|replayed| replayed.problems).unwrap_or_default(),
            Err(error) => vec![error.to_string()],
        }
    }

    fn spawn(counts: &[PageCount], options: &Options<'_>) -> Result<Self, GuardianError> {
        let failed = |verb| move |source| GuardianError::Start { verb, source };
        let (read_end, hold) = io::pipe().map_err(failed("create a pipe"))?;
        let mut child = Command::new(&options.program)
            .arg0("hugeprobe")
            .args(["guardian", &options.id])
            .args(counts.iter().map(ToString::to_string))
            .stdin(read_end)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed("start the guardian"))?;
        // Processes that are started from here on inherit the write end; the guardian itself must not.
        fcntl(&hold, FcntlArg::F_SETFD(FdFlag::empty()))
            .map_err(|errno| failed("share the guardian's pipe")(errno.into()))?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe.into());
        Ok(Self {
            stdout: stdout.map_err(failed("read from the guardian"))?,
            run: process::run_name(child.id(), &options.id),
            child,
            hold,
            root: options.root.clone(),
            run_directory: options.run_directory.clone(),
            restore_within: options.restore_within,
            granted: Vec::new(),
        })
    }

    /// Waits for the line that the guardian writes. Ignores other lines.
    fn grown(&mut self, deadline: Instant, stop: Option<BorrowedFd<'_>>) -> Result<Grown, String> {
        let mut output = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("the pools did not grow in time".to_owned());
            }
            let mut fds = vec![PollFd::new(self.stdout.as_fd(), PollFlags::POLLIN)];
            fds.extend(stop.map(|stop| PollFd::new(stop, PollFlags::POLLIN)));
            // Rounded up, so that the last fraction of a millisecond is not spent in a busy loop.
            let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            match poll(&mut fds, timeout) {
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(format!("cannot wait for the guardian: {errno}")),
            }
            let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
            let (readable, stopped) = (ready.next().unwrap_or(false), ready.next().unwrap_or(false));
            if stopped {
                return Err("interrupted while the pools grew".to_owned());
            }
            if readable {
                let mut chunk = [0; 4096];
                match self.stdout.read(&mut chunk) {
                    Ok(0) => return Err(self.how_it_ended()),
                    Ok(length) => output.extend(chunk.iter().take(length)),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(format!("cannot read from the guardian: {error}")),
                }
            }
            while let Some(end) = output.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = output.drain(..=end).collect();
                if let Ok(grown) = serde_json::from_slice(&line) {
                    return Ok(grown);
                }
            }
        }
    }

    /// Describes the end of a guardian that has closed its stdout: exit status and stderr.
    fn how_it_ended(&mut self) -> String {
        const KEPT: u64 = 2048;
        let Some(status) = reap(&mut self.child, DEATH) else {
            return "the guardian closed its stdout but did not exit".to_owned();
        };
        let mut log = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            let _ = stderr.take(KEPT).read_to_end(&mut log);
        }
        let log = String::from_utf8_lossy(&log);
        format!("the guardian exited before the pools had grown: {status} {}", log.trim())
            .trim_end()
            .to_owned()
    }
}

impl GuardianError {
    /// Returns whether this is a usage error (exit code 2): this user cannot have the request met on this machine.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NotRoot
                | Self::NotOnHost(_)
                | Self::OverHalf { .. }
                | Self::Pool {
                    source: PoolError::NoSize(_) | PoolError::NoNode { .. } | PoolError::NotWritable { .. },
                    ..
                }
        )
    }
}

/// Refuses a request that cannot work, before any process is started.
fn check(counts: &[PageCount], options: &Options<'_>) -> Result<(), GuardianError> {
    if options.root.is_live() {
        if !nix::unistd::geteuid().is_root() {
            return Err(GuardianError::NotRoot);
        }
        let parent = options.run_directory.path().parent().unwrap_or(options.run_directory.path());
        init_namespaces::check(&options.root, &parent.to_string_lossy()).map_err(GuardianError::NotOnHost)?;
    }
    for count in counts {
        let refused = |source| GuardianError::Pool { count: *count, source };
        for pool in nr_hugepages::pools_for(&options.root, count).map_err(refused)? {
            nr_hugepages::check_writable(&options.root, pool).map_err(refused)?;
        }
    }
    let asked = counts.iter().map(PageCount::bytes).fold(0, u64::saturating_add);
    match meminfo::memory(&options.root) {
        Some(memory) if !options.over_half && memory.is_over_half(asked) => {
            Err(GuardianError::OverHalf { asked: asked >> 20, available: memory.available >> 20 })
        }
        _ => Ok(()),
    }
}

/// Waits for `child` to end, for at most `patience`.
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
