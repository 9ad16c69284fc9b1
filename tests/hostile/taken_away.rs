//! Memory that is removed while a role uses it: the file is truncated while frames are in flight.
//!
//! The role runs in a separate process, as it does in the product. A touch that comes too late ends that process with
//! SIGBUS, and its parent reports it. The role must not continue, hang, or report success.

use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hugeprobe::exchange::backend::{Backend, FEATURES, Nobody, Options, PROTOCOL_FEATURES, Work};
use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::message::Request;
use hugeprobe::exchange::table::Pages;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::signal::Signal;

use super::*;

const ROLE: &str = "HUGEPROBE_HOSTILE_ROLE";

/// Not a test itself: this is what the processes below run. A frontend opens its memory through /proc, from a
/// descriptor of the parent.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let outcome = match role.split_once(' ') {
        Some(("frontend", path)) => {
            let file = OwnedFd::from(std::fs::File::options().read(true).write(true).open(path).unwrap());
            super::frontend::session(socket, &file, LATEST)
        }
        _ => {
            let (features, protocol_features) = (FEATURES, PROTOCOL_FEATURES);
            let options = Options { pages: Pages::Any, work: Work::Echo, features, protocol_features };
            let mut watch = Nobody;
            match Backend::new(Channel::new(socket), options, &mut watch).serve(Instant::now() + LATEST) {
                Ok(end) => format!("{end:?}"),
                Err(error) => error.to_string(),
            }
        }
    };
    println!("outcome: {outcome}");
}

/// Runs a role. Returns its outcome, or the signal that ended it.
fn run(role: &str, socket: OwnedFd, with: impl FnOnce()) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["taken_away::child", "--exact", "--nocapture"])
        .env(ROLE, role)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    with();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    match child.wait().unwrap().signal() {
        Some(signal) => Signal::try_from(signal).unwrap().to_string(),
        None => said.lines().find_map(|line| line.strip_prefix("outcome: ")).unwrap_or("nothing").to_owned(),
    }
}

#[test]
fn a_backend_whose_memory_goes_says_so_or_dies_of_sigbus() {
    let _one = one_at_a_time();
    // The backend checks the memory before each batch, so death without a report is the exception, but chance decides.
    // One report in a hundred rounds is enough to show that it can report.
    let (mut said, mut rounds) = (0, 0);
    while rounds < 10 || (said == 0 && rounds < 100) {
        rounds += 1;
        row("cut while rings run", "", |_| {
            let (theirs, ours) = UnixStream::pair().unwrap();
            let outcome = run("backend", ours.into(), || super::script::run_rings_and_cut(theirs));
            assert!(
                outcome == "SIGBUS" || outcome.starts_with("the memory became inaccessible"),
                "{outcome}"
            );
            said += usize::from(outcome != "SIGBUS");
            outcome
        });
    }
    assert!(said > 0);
}

#[test]
fn a_frontend_whose_memory_goes_dies_of_sigbus_unless_it_could_seal_it() {
    let _one = one_at_a_time();
    for (sealable, expected) in [(false, "SIGBUS"), (true, "the peer closed the connection")] {
        row("cut by the backend", expected, |_| {
            let fd = memfd(BYTES);
            if !sealable {
                fcntl(&fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SEAL)).unwrap();
            }
            let path = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&fd));
            let (theirs, ours) = UnixStream::pair().unwrap();
            run(&format!("frontend {path}"), ours.into(), || {
                let mut backend = super::frontend::Backend::new(theirs);
                backend.started();
                assert_eq!(ftruncate(&fd, 0).is_err(), sealable);
                std::thread::sleep(Duration::from_millis(200));
                if !sealable {
                    backend.obey_until(Request::ResetOwner);
                }
            })
        });
    }
}
