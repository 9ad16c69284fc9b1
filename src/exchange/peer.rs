//! The frontend for a peer under test, `check --peer`. It does what a workload's frontend would do with this vswitch.
//!
//! Three rules keep it from doing harm. It allocates and writes the pages before it sends them, so that they are
//! charged to this process and the peer cannot be killed for a missing page. It sends no frame unless frames were
//! requested. It leaves a port that is in use alone, because a vswitch gives its port to the client that connected
//! last.

mod findings;
mod process;
mod task;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::channel::Channel;
use super::frontend::{Frontend, FrontendError, Job, Memory, Negotiated, Outcome as Done, Pair, Peer};
use super::message::protocol;
use super::socket::{SocketError, accept, connect};
use super::standalone::{features, protocol_features};
use hugeprobe_domain::catalogue::{HP612, HP613, HP614, HP615};
use hugeprobe_domain::check::Outcome;
use hugeprobe_domain::part::WorkerOutput;
use hugeprobe_domain::peer::Peer as UnderTest;
use hugeprobe_domain::sharing::Session;
use hugeprobe_domain::size::HugeLen;
use hugeprobe_linux::cgroup::Group;
use hugeprobe_linux::errno::{is_not_offered, named};
use hugeprobe_linux::hugefile::HugeFile;
use hugeprobe_linux::map::Sharing;
use hugeprobe_linux::root::HostRoot;
use hugeprobe_linux::{pattern, unix_sockets};

use findings::{Findings, Stop, unknown};
use process::PeerProcess;
pub use task::PeerTask;
use task::{FRAME_BYTES, LINGER, PATIENCE, TO_CONNECT, TO_LISTEN};

/// Runs `task` and reports each of its findings once.
///
/// # Errors
///
/// The reader of the output is gone. All resources have been released.
pub fn run(task: &PeerTask, listener: OwnedFd, output: &mut dyn WorkerOutput) -> io::Result<()> {
    let mut findings = Findings::new(task.size, output);
    let ended = session(task, listener, &mut findings);
    finish(ended, findings)
}

fn session(task: &PeerTask, listener: OwnedFd, findings: &mut Findings<'_>) -> Result<(), Stop> {
    findings.step(HP613, "take the pages to share")?;
    join(task)?;
    let memory = memory(task)?;

    let path = Path::new(&task.peer.socket);
    let what = if task.peer.listen { "wait for the peer at" } else { "connect to" };
    findings.step(HP612, &format!("{what} {}", task.peer.socket))?;
    let socket = if task.peer.listen {
        accept(&UnixListener::from(listener), path, Instant::now() + TO_CONNECT)
    } else {
        leave_alone(path)?;
        connect(path, Instant::now() + TO_LISTEN)
    }
    .map_err(|error| nobody(&task.peer, &error))?;
    converse(task, &memory, socket, findings)
}

/// Runs `task` over a connection, with memory that was written beforehand.
///
/// # Errors
///
/// The same as those of [`run`].
pub fn run_over(
    task: &PeerTask,
    memory: &Memory,
    socket: OwnedFd,
    output: &mut dyn WorkerOutput,
) -> io::Result<()> {
    let mut findings = Findings::new(task.size, output);
    let ended = converse(task, memory, socket, &mut findings);
    finish(ended, findings)
}

/// Reports why a session stopped, and the checks that it did not reach.
fn finish(ended: Result<(), Stop>, mut findings: Findings<'_>) -> io::Result<()> {
    match ended {
        Ok(()) => {}
        Err(Stop::Found(id, bad)) => findings.bad(id, *bad)?,
        Err(Stop::Gone(error)) => return Err(error),
    }
    findings.close()
}

/// Runs the vhost-user session.
fn converse(
    task: &PeerTask,
    memory: &Memory,
    socket: OwnedFd,
    findings: &mut Findings<'_>,
) -> Result<(), Stop> {
    let who = PeerProcess::at(&socket);
    findings.step(HP612, "begin the session")?;
    let mut channel = Channel::new(socket);
    channel.set_deadline(Instant::now() + task.time_of_session());
    let mut frontend = Frontend::new(channel, PATIENCE).map_err(|error| who.ended(HP612, &error))?;
    let agreed = *frontend.negotiated();
    let evidence = json!({ "peer": who, "negotiated": in_words(&agreed) });
    findings.pass(HP612, in_short(who.name(), &agreed), evidence)?;
    let acknowledges = agreed.protocol_features & protocol::REPLY_ACK != 0;

    findings.step(HP613, "send the memory table")?;
    let (regions, fds) = memory.table(memory.regions());
    frontend.set_memory(&regions, &fds).map_err(|error| who.ended(HP613, &error))?;
    let pages = if task.pages == 1 { "page" } else { "pages" };
    let table = format!("accepted {} {pages} of {}", task.pages, task.size);
    if acknowledges {
        findings.pass(HP613, table.clone(), json!({ "proof": "acknowledged" }))?;
    }

    if !frontend.is_network() {
        return only_memory(&frontend, acknowledges, findings);
    }

    let mut areas = memory.areas(memory.regions());
    let mut pair = Pair::largest(&mut areas, agreed.features)
        .map_err(|error| unknown(HP614, "no room for rings", "rings in the shared memory", error))?;
    findings.step(HP614, "set up and enable the queues")?;
    frontend.start(&pair).map_err(|error| who.ended(HP614, &error))?;
    let written = is_written_to(&pair).map_err(|error| who.ended(HP614, &error))?;
    let mut taken = 0;
    if task.peer.transmit > 0 {
        findings.step(HP615, "offer frames")?;
        let done = frames(task, &mut pair, &mut frontend).map_err(|error| who.ended(HP615, &error))?;
        taken = done.sent;
        who.judge_frames(task, &done, findings)?;
    } else {
        findings.skip(HP615, "no frame was sent: use --peer-transmit to send some")?;
    }

    findings.step(HP614, "stop the queues")?;
    let bases = frontend.stop(&pair).map_err(|error| who.ended(HP614, &error))?;
    who.judge_bases(bases, taken)?;
    let proof = match (acknowledges, taken, written) {
        (true, ..) => Some("acknowledged"),
        (_, 1.., _) => Some("frames taken"),
        (.., true) => Some("rings written to"),
        _ => None,
    };
    let nothing = "the peer acknowledges nothing (no REPLY_ACK): --peer-transmit would prove it";
    match proof {
        Some(proof) => {
            if !acknowledges {
                findings.pass(HP613, table, json!({ "proof": proof }))?;
            }
            let rings = pair.layout().word();
            let evidence =
                json!({ "proof": proof, "bases": bases, "rings_written_to": written, "rings": rings });
            findings.pass(HP614, "accepted both queues".to_owned(), evidence)?;
        }
        None => {
            findings.skip(HP613, nothing)?;
            findings.skip(HP614, nothing)?;
        }
    }
    Ok(())
}

/// Skips the checks of queues, for a device that may not be a network device. Starting its queues could end the
/// process that serves it.
fn only_memory(frontend: &Frontend, acknowledges: bool, findings: &mut Findings<'_>) -> Result<(), Stop> {
    let offered = frontend.offered();
    let why = format!(
        "not a network device, or its features ({offered:#x}) do not show that it is: no queue was started"
    );
    if !acknowledges {
        findings.skip(HP613, &format!("the peer acknowledges nothing (no REPLY_ACK); {why}"))?;
    }
    findings.skip(HP614, &why)?;
    findings.skip(HP615, &why)?;
    Ok(())
}

// === the steps ===

/// Moves this process to the cgroup that is to be charged.
fn join(task: &PeerTask) -> Result<(), Stop> {
    let Some(directory) = &task.cgroup else { return Ok(()) };
    let group = Group::open(Path::new(directory)).map_err(|error| error.to_string());
    group.and_then(|group| group.join().map_err(|error| named(&error))).map_err(|why| {
        unknown(
            HP613,
            "cannot join the cgroup",
            format!("{directory}/cgroup.procs accepts this process"),
            why,
        )
    })
}

/// Maps, allocates and writes the pages.
fn memory(task: &PeerTask) -> Result<Memory, Stop> {
    let no_pages = |seen: String| {
        // HP501 checks whether pages are available at all.
        unknown(HP613, "no pages to share: see HP501, HP502 and HP605", "pages for the table", seen)
    };
    let files = match task.pages {
        0 | 1 => vec![1],
        pages => vec![pages / 2, pages - pages / 2],
    };
    let mut memory = Memory::default();
    for pages in files {
        let len =
            HugeLen::new(task.size, pages).ok_or_else(|| no_pages(format!("{pages} x {}", task.size)))?;
        let place = task.memory.place(Session::FrontendFirst);
        let file = HugeFile::new(place, len).map_err(|error| no_pages(error.to_string()))?;
        memory
            .add(file.as_fd(), len, Sharing::Shared, 1)
            .map_err(|error| no_pages(format!("mmap: {}", named(&error))))?;
    }
    let page_bytes = usize::try_from(task.size.bytes()).unwrap_or(usize::MAX);
    for mapping in memory.mappings() {
        match mapping.populate_all() {
            // The kernel has no MADV_POPULATE_WRITE: the write below allocates the page.
            Err(error) if is_not_offered(&error) => {}
            taken => taken.map_err(|error| no_pages(format!("MADV_POPULATE_WRITE: {}", named(&error))))?,
        }
        // A write outside the memory would be a bug in hugeprobe. The bytes are not compared, so the result does not
        // matter.
        let _ = pattern::write(&mapping.volatile(), page_bytes, task.seed);
    }
    Ok(memory)
}

fn is_written_to(pair: &Pair<'_>) -> Result<bool, FrontendError> {
    let until = Instant::now() + LINGER;
    loop {
        let written = pair.is_written_to()?;
        if written || Instant::now() >= until {
            return Ok(written);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends frames, and waits a while longer for frames that come back.
fn frames(task: &PeerTask, pair: &mut Pair<'_>, frontend: &mut Frontend) -> Result<Done, FrontendError> {
    let job = |peer, frames| Job { seed: task.seed, frames, length: FRAME_BYTES, peer, ..Job::default() };
    let until = Instant::now() + task.time_of_frames();
    let mut done = pair.run(&job(Peer::Sinks, task.peer.transmit), frontend.channel(), until)?;
    let left = task.peer.transmit.saturating_sub(done.tally.ours());
    let late = pair.run(&job(Peer::Sends, left), frontend.channel(), Instant::now() + LINGER)?;
    done.tally.intact += late.tally.intact;
    done.tally.altered += late.tally.altered;
    done.tally.foreign += late.tally.foreign;
    Ok(done)
}

// === helpers ===

/// Fails if another client stays connected at `path`. A session that has just ended needs some time to disappear.
fn leave_alone(path: &Path) -> Result<(), Stop> {
    let until = Instant::now() + TO_LISTEN;
    // If the number of connections is unknown, continue: by the option's description, no workload uses the port.
    while unix_sockets::connected_at(&HostRoot::default(), path).get().is_some_and(|others| others > 0) {
        if Instant::now() >= until {
            let summary = "the port is in use by another client and was left alone";
            let seen = format!("another connection to {}", path.display());
            return Err(unknown(HP612, summary, "a port that no workload uses", seen));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Returns the result for a missing peer. It is a failure, because a workload would find no peer either.
fn nobody(peer: &UnderTest, error: &SocketError) -> Stop {
    let expected = match peer.listen {
        true => format!("a peer that connects to {}", peer.socket),
        false => format!("a peer that listens on {}", peer.socket),
    };
    match error {
        SocketError::Refused { .. } => unknown(HP612, "cannot use the socket", expected, error),
        _ => Stop::found(
            HP612,
            Outcome::Fail,
            "no process is at the other end of the socket",
            expected,
            error.to_string(),
        ),
    }
}

/// Returns what was negotiated, with the specification's names.
fn in_words(agreed: &Negotiated) -> serde_json::Value {
    json!({
        "features": features(agreed.features),
        "protocol_features": protocol_features(agreed.protocol_features),
        "queue_pairs": agreed.queue_pairs,
        "memory_slots": agreed.memory_slots,
    })
}

/// Returns what was negotiated in a few words, such as `testpmd (MQ REPLY_ACK)`.
fn in_short(name: &str, agreed: &Negotiated) -> String {
    match protocol_features(agreed.protocol_features).join(" ") {
        words if words.is_empty() => format!("{name} (no protocol features)"),
        words => format!("{name} ({words})"),
    }
}
