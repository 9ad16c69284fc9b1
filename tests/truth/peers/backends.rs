//! Faulty backends, to which the frontends of hugeprobe and of testpmd connect.

use std::borrow::Cow;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hugeprobe::domain::catalogue::{HP612, HP613, HP615};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};

use super::{Faulty, Row, Strike, hugeprobe, kill, nothing, ours, pages, real, truncate};
use crate::case::Cause;
use crate::process::{Process, Waited};
use crate::scene::Scene;
use crate::workload::testpmd::{self, forwards, memory};
use crate::workload::{Kind, START};

const CHECK: &str = "testpmd's frontend and `check --peer`";
const FRONTEND: &str = "testpmd's frontend and `frontend`";

/// How long to wait for frames that no peer is going to take.
const VAIN: Duration = Duration::from_secs(4);
/// A number of frames larger than can be sent before something happens.
const ENDLESS: u64 = u64::MAX;

/// A row with `check --peer`, which sends frames.
macro_rules! checked {
    ($fault:literal, $backend:expr, $patience:expr, $causes:expr) => {
        Row {
            fault: $fault,
            workload: CHECK,
            kind: Kind::TestpmdMemfd,
            cause: Cause::Checks(Cow::Borrowed($causes)),
            state: pages,
            ask: |scene| ours::check(scene, $backend),
            work: |scene| real::frontend(scene, $backend, None, $patience),
        }
    };
}

/// A row with `frontend`, whose peer is healthy until something is done to it.
macro_rules! alone {
    ($fault:literal, $kind:expr, [$frames:expr, $seconds:expr], $backend:expr, $strike:expr, $words:literal) => {
        Row {
            fault: $fault,
            workload: FRONTEND,
            kind: $kind,
            cause: Cause::Words($words),
            state: pages,
            ask: |scene| ours::frontend(scene, [$frames, $seconds], $backend, $strike.unwrap_or(nothing)),
            work: |scene| real::frontend(scene, $backend, $strike, VAIN),
        }
    };
}

pub(super) const ROWS: &[Row] = &[
    checked!("peer: none", healthy, START, &[]),
    checked!("peer: nobody listens", nobody, VAIN, &[HP612]),
    checked!("peer: a file where the socket should be", file, VAIN, &[HP612]),
    checked!("peer: a socket of the wrong kind (SOCK_SEQPACKET)", packets, VAIN, &[HP612]),
    checked!("peer: the backend says nothing", silent, VAIN, &[HP612]),
    checked!("peer: the backend speaks something else", other_tongue, VAIN, &[HP612]),
    checked!("peer: the backend wants pages of 1Gi", choosy, VAIN, &[HP613]),
    checked!("peer: the backend has no descriptors left", poor, VAIN, &[HP612, HP613]),
    checked!("peer: the backend takes no frames", giver, VAIN, &[HP615]),
    alone!("peer: none", Kind::TestpmdDir, [100_000, 30], healthy, None::<Strike>, ""),
    alone!(
        "peer: a socket of the wrong kind (SOCK_SEQPACKET)",
        Kind::TestpmdMemfd,
        [1000, 5],
        packets,
        None::<Strike>,
        "EPROTOTYPE"
    ),
    alone!(
        "peer: the backend is killed in mid-transfer",
        Kind::TestpmdMemfd,
        [ENDLESS, 30],
        healthy,
        Some(kill as Strike),
        "closed"
    ),
    alone!(
        "peer: the file is cut in mid-transfer",
        Kind::TestpmdDir,
        [ENDLESS, 30],
        healthy,
        Some(truncate as Strike),
        "memory"
    ),
];

// === testpmd ===

fn healthy(scene: &Scene) -> Faulty {
    let (backend, _) = testpmd::backend(scene);
    Faulty::Process(backend)
}

/// A testpmd that only sends: it takes no frames.
fn giver(scene: &Scene) -> Faulty {
    started(testpmd::start(
        scene,
        &scene.backend,
        "b",
        &format!("net_vhost0,iface={}", scene.socket()),
        &memory(scene),
        &["--forward-mode=txonly", "--auto-start"],
    ))
}

/// A testpmd with just enough descriptors to start.
fn poor(scene: &Scene) -> Faulty {
    let mut side = crate::scene::Side::default();
    side.place.add("nofile=21");
    let device = format!("net_vhost0,iface={}", scene.socket());
    let arguments = ["--forward-mode=rxonly", "--auto-start"];
    started(testpmd::start(scene, &side, "b", &device, &memory(scene), &arguments))
}

fn started(mut backend: Process) -> Faulty {
    let waited = backend.wait_for(forwards, START);
    assert_eq!(waited, Waited::Printed, "{}", backend.words());
    Faulty::Process(backend)
}

/// A backend that refuses every memory table except one with pages of 1Gi.
fn choosy(scene: &Scene) -> Faulty {
    let mut command = hugeprobe(scene, "backend");
    command.args(["--socket", &scene.socket(), "--listen", "--size", "1Gi", "--deadline", "60"]);
    let mut backend = Process::start(&mut command);
    let waited = backend.wait_for(|said| said.contains("listening"), START);
    assert_eq!(waited, Waited::Printed, "{}", backend.words());
    Faulty::Process(backend)
}

// === what is not a backend ===

/// A value and a path, which is removed when this is dropped.
struct At<T>(#[allow(dead_code, reason = "kept, and dropped")] T, PathBuf);

fn at<T: 'static>(scene: &Scene, make: impl FnOnce(&Path) -> T) -> Faulty {
    let path = PathBuf::from(scene.socket());
    Faulty::Thing(Box::new(At(make(&path), path)))
}

fn nobody(_: &Scene) -> Faulty {
    Faulty::Thing(Box::new(()))
}

fn file(scene: &Scene) -> Faulty {
    at(scene, |path| std::fs::write(path, "no socket").unwrap())
}

fn packets(scene: &Scene) -> Faulty {
    at(scene, |path| -> OwnedFd {
        let made = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::empty(), None).unwrap();
        bind(std::os::fd::AsRawFd::as_raw_fd(&made), &UnixAddr::new(path).unwrap()).unwrap();
        listen(&made, Backlog::new(4).unwrap()).unwrap();
        made
    })
}

/// A listening socket: the kernel accepts connections, but no program answers.
fn silent(scene: &Scene) -> Faulty {
    at(scene, |path| UnixListener::bind(path).unwrap())
}

fn other_tongue(scene: &Scene) -> Faulty {
    at(scene, |path| {
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
            // Until the frontend hangs up.
            let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
        })
    })
}

impl<T> Drop for At<T> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.1);
    }
}
