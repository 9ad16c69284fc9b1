//! `frontend` and `backend`: runs one role in a worker. The peer is another program.
//!
//! This process creates the socket and passes it to the worker as its standard input, as `check` does. What the peer
//! does to the memory may kill the worker, and a path that the worker had created would be left behind. This process
//! maps nothing, so it survives and removes the path.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::unistd::getpid;
use serde::{Deserialize, Serialize};

use super::supervisor::{Start, Supervisor};
use super::walk::{self, WalkError};
use hugeprobe_domain::check::Outcome;
use hugeprobe_domain::merge::Ending;
use hugeprobe_domain::size::PageSize;
use hugeprobe_domain::standalone::SessionEvent;
use hugeprobe_exchange::socket::{Listener, SocketError, connect};
use hugeprobe_exchange::standalone::{BackendTask, FrontendTask, StandaloneTask};
use hugeprobe_linux::root::HostRoot;

/// The hidden verb of the worker.
pub const VERB: &str = "role";

/// A role to run, and its socket.
#[derive(Debug, Clone)]
pub struct StandaloneRole {
    /// The path of the socket on which frontend and backend meet.
    pub socket: PathBuf,
    /// Whether to create the socket and listen, instead of connecting to it.
    pub listen: bool,
    /// The time limit, including the wait for the peer. `None` means no limit.
    pub deadline: Option<Duration>,
    /// The task of the role. Its time limit is replaced by the time that is left when the peer has connected.
    pub task: StandaloneTask,
}

/// A progress event of a role.
#[derive(Debug)]
pub enum RoleEvent<'a> {
    /// The socket exists, and no peer has connected yet.
    Listening(&'a Path),
    /// The role tries to connect to the socket, on which perhaps no process listens yet.
    Connecting(&'a Path),
    /// The peer has connected.
    Connected,
    /// An event that the worker reported.
    Session(SessionEvent),
}

/// How a role ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleEnd {
    /// `pass`, `fail` or `unknown`.
    pub outcome: Outcome,
    /// The reason, one sentence.
    pub text: String,
}

/// All instructions for a worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Assignment {
    /// The pid of the process that started the worker.
    pub(super) parent: i32,
    /// The task of the worker.
    pub(super) task: StandaloneTask,
}

/// How often signals are checked while no peer has connected.
pub(super) const SLICE: Duration = Duration::from_millis(100);
/// How long the worker has, after the deadline, to report that the deadline has passed.
const GRACE: Duration = Duration::from_secs(2);

/// Returns the page size of a frontend: `size`, or the smallest size of which enough pages are available.
///
/// # Errors
///
/// There is no such pool, or it has too few pages.
pub fn choose(size: Option<PageSize>, pages: u64) -> Result<PageSize, WalkError> {
    walk::choose(&HostRoot::default(), size, pages).map(|pool| pool.size)
}

/// Runs the role, passes its events to `report`, and returns how it ended.
pub fn run(role: &StandaloneRole, report: &mut dyn FnMut(RoleEvent<'_>)) -> RoleEnd {
    play(role, report).unwrap_or_else(|end| end)
}

fn play(role: &StandaloneRole, report: &mut dyn FnMut(RoleEvent<'_>)) -> Result<RoleEnd, RoleEnd> {
    let deadline = role.deadline.and_then(|deadline| Instant::now().checked_add(deadline));
    let mut supervisor = Supervisor::new()
        .map_err(|error| unknown(format!("cannot set up signal handling (signalfd): {error}")))?;
    let socket = meet(role, deadline, &mut supervisor, report)?;
    report(RoleEvent::Connected);
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let millis = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
    let task = match role.task.clone() {
        StandaloneTask::Frontend(task) => StandaloneTask::Frontend(FrontendTask { millis, ..task }),
        StandaloneTask::Backend(task) => StandaloneTask::Backend(BackendTask { millis, ..task }),
    };
    let assignment = Assignment { parent: getpid().as_raw(), task };
    let text = serde_json::to_string(&assignment).map_err(|error| unknown(error.to_string()))?;
    let start = Start {
        arguments: vec![VERB.to_owned(), text],
        stdin: Stdio::from(socket),
        control: None,
        time: left.map(|left| left.saturating_add(GRACE)),
        keep: false,
    };
    let mut end = None;
    let ended = supervisor.run(vec![start], &mut |line: &[u8]| match serde_json::from_slice(line) {
        Ok(SessionEvent::Ended { outcome, text }) => end = Some(RoleEnd { outcome, text }),
        Ok(said) => report(RoleEvent::Session(said)),
        // Empty at a tick. Any other line would be an error in the worker, which its exit status shows.
        Err(_) => {}
    });
    let ended = ended.into_iter().next().ok_or_else(|| unknown("no worker started".to_owned()))?;
    // A worker in the foreground receives the same Ctrl-C, and may have died of it before it was killed.
    if let Some(by) = supervisor.broken_off() {
        return Err(unknown(format!("interrupted by {by}")));
    }
    match (end, ended.ending) {
        (Some(end), Ending::Exited(0)) => Ok(end),
        (_, Ending::Signalled { name, raised_by_kernel: true }) => Err(RoleEnd {
            outcome: Outcome::Fail,
            text: format!(
                "killed by {name}: the memory is not what the peer announced, or a limit was reached"
            ),
        }),
        (_, Ending::Signalled { name, .. }) => Err(unknown(format!("the worker was killed by {name}"))),
        (_, Ending::Exited(code)) => {
            Err(unknown(format!("the worker exited with code {code}: {}", ended.log.trim())))
        }
        (_, Ending::Deadline) => Err(unknown("the worker exceeded its time limit".to_owned())),
        (_, Ending::BrokenOff(by)) => Err(unknown(format!("interrupted by {by}"))),
        (_, Ending::NotStarted(why)) => Err(unknown(format!("the worker could not start: {why}"))),
    }
}

/// Returns the connected socket. The path of a listening socket is removed when this returns, as only one peer is
/// served.
fn meet(
    role: &StandaloneRole,
    deadline: Option<Instant>,
    supervisor: &mut Supervisor<'_>,
    report: &mut dyn FnMut(RoleEvent<'_>),
) -> Result<OwnedFd, RoleEnd> {
    let path = &role.socket;
    let listener = match role.listen {
        true => Some(Listener::new(path).map_err(|error| unknown(error.to_string()))?),
        false => None,
    };
    report(if role.listen { RoleEvent::Listening(path) } else { RoleEvent::Connecting(path) });
    let began = Instant::now();
    loop {
        let slice = Instant::now() + SLICE;
        let until = deadline.map_or(slice, |deadline| deadline.min(slice));
        let error = match &listener {
            Some(listener) => listener.accept(until),
            None => connect(path, until),
        };
        let mut error = match error {
            Ok(socket) => return Ok(socket),
            Err(error) => error,
        };
        if let Some(by) = supervisor.look() {
            return Err(unknown(format!("interrupted by {by}")));
        }
        let time_is_up = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if time_is_up || !is_passing(&error) {
            if let SocketError::Connect { waited, .. } | SocketError::Nobody { waited, .. } = &mut error {
                *waited = began.elapsed();
            }
            // A process has the socket but cannot speak vhost-user over it: that is a failure.
            let outcome = if is_of_another_kind(&error) { Outcome::Fail } else { Outcome::Unknown };
            return Err(RoleEnd { outcome, text: error.to_string() });
        }
    }
}

/// Returns whether the listening socket is not a stream socket.
fn is_of_another_kind(error: &SocketError) -> bool {
    let SocketError::Connect { source, .. } = error else { return false };
    source.raw_os_error() == Some(Errno::EPROTOTYPE as i32)
}

/// Returns whether the error may only mean that the peer has not started yet.
pub(super) fn is_passing(error: &SocketError) -> bool {
    match error {
        SocketError::Nobody { .. } => true,
        SocketError::Connect { source, .. } => matches!(
            source.kind(),
            io::ErrorKind::NotFound
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::WouldBlock
                | io::ErrorKind::Interrupted
        ),
        _ => false,
    }
}

fn unknown(text: String) -> RoleEnd {
    RoleEnd { outcome: Outcome::Unknown, text }
}
