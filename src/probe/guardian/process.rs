//! The guardian process: grows the pools, reports the result, waits until no process of the run is left, and shrinks
//! the pools.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};

use super::replay::{others, replay};
use super::reservation::{GrowError, Reservation};
use hugeprobe_domain::journal::Record;
use hugeprobe_domain::pool_id::PoolId;
use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::request::PageCount;
use hugeprobe_domain::reserve::{Granted, PoolGain, Replayed, distribute};
use hugeprobe_linux::root::HostRoot;
use hugeprobe_linux::run_directory::{Locked, RunDirectory};
use hugeprobe_linux::{host, meminfo, nr_hugepages};

/// How many bytes of pages are requested from the kernel in one write. Between two writes, the guardian checks whether
/// the run has ended. 4 GiB take a quarter of a second where memory is not fragmented.
const STEP_BYTES: u64 = 4 << 30;

/// The line that the guardian writes to standard output when it has grown the pools.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Grown {
    /// The killed runs whose pages it gave back first.
    pub(super) replayed: Vec<Replayed>,
    /// What was granted, one item per requested count, in the same order. If nothing was, the error says why, and the
    /// pools are as they were before.
    pub(super) granted: Result<Vec<Granted>, String>,
}

/// A run to guard: the task of a guardian.
#[derive(Debug)]
pub(super) struct Guarded<'a> {
    pub(super) root: &'a HostRoot,
    pub(super) run_directory: &'a RunDirectory,
    /// The name of the run.
    pub(super) run: String,
    /// The requests for pages.
    pub(super) counts: &'a [PageCount],
}

/// Runs the hidden verb `guardian`. `id` distinguishes this run from others. Standard input is a pipe, and every
/// process of the run holds its other end. Returns success if all pages were given back.
#[must_use]
pub fn main(id: &str, counts: &[PageCount]) -> ExitCode {
    detach();
    let (root, run_directory) = (HostRoot::default(), RunDirectory::default());
    let run = run_name(std::process::id(), id);
    let guarded = Guarded { root: &root, run_directory: &run_directory, run, counts };
    match guarded.serve(io::stdin(), &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // The orchestrator may be dead, and then the pipe has no reader.
            let _ = writeln!(io::stderr(), "{why}");
            ExitCode::FAILURE
        }
    }
}

/// Makes this process independent of its session, terminal, working directory and parent.
fn detach() {
    // Errors are ignored: each call fails only where there is nothing to detach from.
    let _ = nix::sys::signal::SigSet::all().thread_block();
    let _ = nix::unistd::setsid();
    let _ = nix::unistd::chdir("/");
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

/// Returns the name of a run: the pid of its guardian, for people to read, and `id`, because pids are reused.
pub(super) fn run_name(pid: u32, id: &str) -> String {
    format!("{pid}-{id}")
}

// === impl Guarded ===

impl Guarded<'_> {
    /// Runs the guardian from beginning to end.
    ///
    /// # Errors
    ///
    /// Returns why some pages could not be given back. Their journal is kept.
    pub(super) fn serve(&self, mut input: impl Read + AsFd, output: &mut impl Write) -> Result<(), String> {
        let mut replayed = Vec::new();
        let grown = self.start(&mut replayed, || hung_up(&input));
        let (reservation, granted) = match grown {
            Ok((reservation, granted)) => (Some(reservation), Ok(granted)),
            Err(why) => (None, Err(why)),
        };
        let line = serde_json::to_string(&Grown { replayed, granted }).map_err(|error| error.to_string())?;
        // Ignored: without a reader, the run has already ended.
        let _ = writeln!(output, "{line}").and_then(|()| output.flush());
        let Some(mut reservation) = reservation else { return Ok(()) };
        wait_for_end(&mut input);
        let problems = match self.run_directory.lock(None) {
            Ok(locked) => {
                let others = others(&locked, &self.run, reservation.boot_id());
                reservation.end(&others, &locked).problems
            }
            // Better a race with another run than pages that are never given back.
            Err(error) => {
                let mut problems = reservation.give_back(&[]).problems;
                problems.push(error.to_string());
                problems
            }
        };
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    /// Replays the journals of dead runs and grows all pools, without releasing the lock in between.
    fn start(
        &self,
        replayed: &mut Vec<Replayed>,
        is_over: impl Fn() -> bool,
    ) -> Result<(Reservation<'_>, Vec<Granted>), String> {
        let boot_id = match host::boot_id(self.root) {
            Reading::Known(boot_id) => boot_id,
            other => {
                return Err(format!("cannot read the boot id: {}", other.why_unknown().unwrap_or_default()));
            }
        };
        let locked = self.run_directory.lock(None).map_err(|error| error.to_string())?;
        *replayed = replay(self.root, &locked).map_err(|error| error.to_string())?;
        let others = others(&locked, &self.run, &boot_id);
        let begun = Reservation::begin(self.root, &locked, &self.run, boot_id);
        let mut reservation = begun.map_err(|error| error.to_string())?;
        let mut grant = |count| grant(self.root, &mut reservation, &others, count, &is_over);
        match self.counts.iter().map(&mut grant).collect::<Result<_, GrowError>>() {
            Ok(granted) => Ok((reservation, granted)),
            Err(why) => Err(undo(reservation, &others, &locked, &why)),
        }
    }
}

/// Gives the pages back after growing has failed. Returns the error and what could not be given back.
fn undo(reservation: Reservation<'_>, others: &[Record], locked: &Locked, why: &GrowError) -> String {
    let problems = reservation.end(others, locked).problems;
    if problems.is_empty() {
        why.to_string()
    } else {
        format!("{why}; not given back: {}", problems.join("; "))
    }
}

/// Grows the pools for one `--reserve` request.
fn grant(
    root: &HostRoot,
    reservation: &mut Reservation<'_>,
    others: &[Record],
    count: &PageCount,
    is_over: impl Fn() -> bool,
) -> Result<Granted, GrowError> {
    let pools = nr_hugepages::pools_for(root, count)?;
    let mut shortfall = Vec::new();
    let affordable = meminfo::memory(root).map_or(u64::MAX, |memory| memory.affords(count.size));
    if affordable < count.pages {
        shortfall.push(format!(
            "available memory, minus a sixteenth that is left for other processes, has room for {affordable} pages \
             of {}",
            count.size
        ));
    }
    let mut gains: Vec<PoolGain> =
        pools.iter().map(|&pool| PoolGain { pool, got: 0, from_surplus: 0 }).collect();
    distribute(count.pages.min(affordable), &pools, |pool, share| {
        let (gain, why) = grow(reservation, others, pool, share, &is_over)?;
        shortfall.extend(why);
        for sum in gains.iter_mut().filter(|sum| sum.pool == pool) {
            sum.got += gain.got;
            sum.from_surplus += gain.from_surplus;
        }
        Ok::<_, GrowError>(gain.got)
    })?;
    gains.retain(|gain| gain.got > 0);
    let got = gains.iter().map(|gain| gain.got).sum();
    Ok(Granted { asked: *count, got, pools: gains, shortfall })
}

/// Grows one pool step by step, until it has grown by `asked` pages, a step falls short or the run is over. The second
/// value says why a step fell short.
fn grow(
    reservation: &mut Reservation<'_>,
    others: &[Record],
    pool: PoolId,
    asked: u64,
    is_over: impl Fn() -> bool,
) -> Result<(PoolGain, Option<String>), GrowError> {
    let mut gain = PoolGain { pool, got: 0, from_surplus: 0 };
    while gain.got < asked && !is_over() {
        let step = (STEP_BYTES / pool.size.bytes()).clamp(1, asked - gain.got);
        let (part, refusal) = reservation.grow(others, pool, step)?;
        gain.got += part.got;
        gain.from_surplus += part.from_surplus;
        if part.got < step {
            let why = refusal.map_or_else(
                || {
                    "the kernel stopped there without an error, which happens when no contiguous memory is left"
                        .to_owned()
                },
                |error| error.to_string(),
            );
            return Ok((gain, Some(format!("{pool}: asked for {asked}, got {}: {why}", gain.got))));
        }
    }
    Ok((gain, None))
}

/// Returns whether all other holders of the pipe have closed it.
fn hung_up(input: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(input.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Waits until no process holds the other end of the pipe. No process writes to it.
fn wait_for_end(input: &mut impl Read) {
    let mut buffer = [0; 64];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
