//! The guardian process itself: grow, say so, wait until nobody holds pages, shrink.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::keeper::{GrowError, Keeper};
use super::message::{Assignment, Message, Replayed, Restored};
use super::replay::replay;
use crate::domain::reading::Reading;
use crate::domain::request::PageCount;
use crate::domain::reserve::{Granted, PoolGain, PoolId, distribute};
use crate::linux::nr_hugepages::{self, PoolError};
use crate::linux::root::HostRoot;
use crate::linux::run_directory::{Locked, RunDirectory, RunDirectoryError};

/// Bytes of pages that are asked of the kernel in one write: between two the guardian looks whether anybody still
/// wants them. 4 GiB take a quarter of a second where memory is not fragmented.
const STEP_BYTES: u64 = 4 << 30;

/// Why nothing was reserved.
#[derive(Debug, thiserror::Error)]
enum ReserveError {
    #[error(transparent)]
    RunDirectory(#[from] RunDirectoryError),
    #[error(transparent)]
    Grow(#[from] GrowError),
    #[error("which boot this is cannot be told: {0}")]
    Boot(String),
}

/// A guardian that has grown the pools.
struct Started<'a> {
    keeper: Keeper<'a>,
    granted: Vec<Granted>,
    replayed: Vec<Replayed>,
}

/// One that could not, and has given back what it had.
struct NotStarted {
    why: ReserveError,
    restored: Restored,
}

/// What the hidden verb `guardian` runs: `assignment` in JSON, stdin the pipe whose other end the run holds, stdout the
/// orchestrator's. Success: nothing is owed to any pool.
#[must_use]
pub fn main(assignment: &str) -> ExitCode {
    detach();
    let mut output = io::stdout();
    let restored = match serde_json::from_str::<Assignment>(assignment) {
        Ok(assignment) => serve(&assignment, io::stdin(), &mut output),
        Err(error) => {
            let why = format!("'guardian' is hugeprobe's own and takes its assignment in JSON: {error}");
            say(&mut output, &Message::Failed { why, restored: Restored::default() });
            return ExitCode::from(2);
        }
    };
    if restored { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Lets this process outlive its session, terminal, directory and whoever started it.
fn detach() {
    // Each of these can only fail where there is nothing to detach from.
    let _ = nix::sys::signal::SigSet::all().thread_block();
    let _ = nix::unistd::setsid();
    let _ = nix::unistd::chdir("/");
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

/// One guardian's life. True if nothing is owed at its end.
pub(super) fn serve(assignment: &Assignment, mut input: impl Read + AsFd, output: &mut impl Write) -> bool {
    let root = HostRoot::new(&assignment.root);
    let directory = RunDirectory::new(&assignment.run_directory);
    let started = start(&root, &directory, assignment, || hung_up(&input));
    let mut keeper = match started {
        Ok(Started { keeper, granted, replayed }) => {
            say(output, &Message::Granted { granted, replayed });
            keeper
        }
        Err(NotStarted { why, restored }) => {
            let complete = restored.is_complete();
            say(output, &Message::Failed { why: why.to_string(), restored });
            return complete;
        }
    };
    wait_for_end(&mut input);
    let restored = match directory.lock(None) {
        Ok(locked) => {
            // Those who died meanwhile first, as always; nobody has asked what comes of it.
            let _ = replay(&root, &locked);
            settle(keeper, &locked)
        }
        // Pages that nobody gives back are worse than a race with another run.
        Err(error) => {
            let mut restored = keeper.give_back();
            restored.problems.push(error.to_string());
            restored
        }
    };
    let complete = restored.is_complete();
    say(output, &Message::Restored(restored));
    complete
}

/// Under one hold of the lock: replays the dead, begins the journal, grows every pool.
fn start<'a>(
    root: &'a HostRoot,
    directory: &RunDirectory,
    assignment: &Assignment,
    abandoned: impl Fn() -> bool,
) -> Result<Started<'a>, NotStarted> {
    let boot_id = match nr_hugepages::boot_id(root) {
        Reading::Known(boot_id) => boot_id,
        other => return Err(ReserveError::Boot(other.why_unknown().unwrap_or_default().to_owned()).into()),
    };
    let locked = directory.lock(None).map_err(ReserveError::from)?;
    let replayed = replay(root, &locked).map_err(ReserveError::from)?;
    let run = run_name(std::process::id(), &assignment.nonce);
    let mut keeper = Keeper::begin(root, &locked, &run, boot_id).map_err(ReserveError::from)?;
    let grant = |count: &PageCount| grant(root, &mut keeper, count, &abandoned);
    match assignment.counts.iter().map(grant).collect() {
        Ok(granted) => Ok(Started { keeper, granted, replayed }),
        Err(why) => Err(NotStarted { why: GrowError::into(why), restored: settle(keeper, &locked) }),
    }
}

/// Grows the pools for one `--reserve`.
fn grant(
    root: &HostRoot,
    keeper: &mut Keeper<'_>,
    count: &PageCount,
    abandoned: impl Fn() -> bool,
) -> Result<Granted, GrowError> {
    let pools = nr_hugepages::pools_for(root, count)?;
    let mut shortfall = Vec::new();
    let affordable = nr_hugepages::memory(root).map_or(u64::MAX, |memory| memory.affords(count.size));
    if affordable < count.pages {
        shortfall.push(format!(
            "the machine's available memory, less a sixteenth for others, has room for {affordable} pages of {}",
            count.size
        ));
    }
    let mut gains: Vec<PoolGain> =
        pools.iter().map(|&pool| PoolGain { pool, got: 0, from_surplus: 0 }).collect();
    distribute(count.pages.min(affordable), &pools, |pool, share| {
        let (gain, why) = grow(keeper, pool, share, &abandoned)?;
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

/// Grows one pool, step by step, until it gives less than it was asked for; and why it did.
fn grow(
    keeper: &mut Keeper<'_>,
    pool: PoolId,
    asked: u64,
    abandoned: impl Fn() -> bool,
) -> Result<(PoolGain, Option<String>), GrowError> {
    let mut gain = PoolGain { pool, got: 0, from_surplus: 0 };
    while gain.got < asked && !abandoned() {
        let step = (STEP_BYTES / pool.size.bytes()).clamp(1, asked - gain.got);
        let (part, refusal) = keeper.grow(pool, step)?;
        gain.got += part.got;
        gain.from_surplus += part.from_surplus;
        if part.got < step {
            let why = refusal.map_or_else(stopped_short, |error: PoolError| error.to_string());
            return Ok((gain, Some(format!("{pool}: asked for {asked}, got {}: {why}", gain.got))));
        }
    }
    Ok((gain, None))
}

fn stopped_short() -> String {
    "the kernel stopped there without an error, as it does where no contiguous memory is left".to_owned()
}

/// Gives back, and removes the journal if nothing is owed any more.
fn settle(mut keeper: Keeper<'_>, locked: &Locked) -> Restored {
    let mut restored = keeper.give_back();
    if restored.is_complete()
        && let Err(error) = keeper.remove(locked)
    {
        restored.problems.push(error.to_string());
    }
    restored
}

impl From<ReserveError> for NotStarted {
    fn from(why: ReserveError) -> Self {
        Self { why, restored: Restored::default() }
    }
}

/// A run's name: its guardian's pid in front, for people; the nonce tells runs of one pid apart.
pub(super) fn run_name(pid: u32, nonce: &str) -> String {
    let nonce: String = nonce.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
    format!("{pid}-{nonce}")
}

/// Whether nobody holds the other end of the pipe any more.
fn hung_up(input: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(input.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Returns when nobody holds the other end of the pipe. Nobody writes to it.
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

/// Says `message` if anybody listens: the orchestrator may be dead by now.
fn say(output: &mut impl Write, message: &Message) {
    if let Ok(line) = serde_json::to_string(message) {
        let _ = writeln!(output, "{line}").and_then(|()| output.flush());
    }
}
