//! `check --peer` with a real peer that accepts the pages, and with peers that fail, each in a different way.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hugeprobe::domain::size::PageSize;
use hugeprobe::exchange::backend::{Backend, FEATURES, Nobody, Options, PROTOCOL_FEATURES, Work};
use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::message::{Message, Payload, Request, protocol};
use hugeprobe::exchange::table::Pages;

use crate::Case;
use crate::context::program::{Run, check};
use crate::context::testpmd::{Testpmd, Told};
use crate::context::{HANGS, LARGE, Machine, Missing, SMALL};

pub(crate) const CASES: &[Case] = &[
    (
        "peer: testpmd takes pages of 2Mi and is sent no frame, and takes frames that it is sent",
        testpmd_small,
    ),
    ("peer: testpmd takes pages of 1Gi", testpmd_large),
    ("peer: nobody there, and somebody who speaks something else, fail HP612", nobody),
    ("peer: a peer that refuses the table fails HP613 with what it said", refuses),
    ("peer: a peer that goes silent at the queues fails HP614", silent),
    ("peer: a testpmd that takes no frames fails HP615", not_forwarding),
    ("peer: a testpmd that is killed while frames pass fails HP615", killed),
    ("peer: a port that somebody uses is left alone", in_use),
    ("peer: one that acknowledges nothing leaves HP613 unknown", no_acknowledgement),
    ("peer: the pages are charged to the cgroup of the frontend", frontend_cgroup),
];

const PEER: [&str; 8] = ["--only", "HP612", "--only", "HP613", "--only", "HP614", "--only", "HP615"];
const LONG: Duration = HANGS;

fn check_peer(size: PageSize, socket: &Path, arguments: &[&str]) -> Run {
    let (size, socket) = (size.to_string(), socket.to_str().unwrap());
    check(&[&["--size", &size, "--peer", socket], &PEER[..], arguments].concat())
}

fn testpmd_small(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 32)?;
    testpmd(SMALL)
}

fn testpmd_large(machine: &Machine) -> Result<(), Missing> {
    let _pages = (machine.pages(SMALL, 32)?, machine.pages(LARGE, 2)?);
    testpmd(LARGE)
}

fn testpmd(size: PageSize) -> Result<(), Missing> {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    for (arguments, frames, came) in
        [(&[][..], "skip", "RX-total: 0"), (&["--peer-transmit", "64"], "pass", "RX-total: 64")]
    {
        let testpmd = start(directory.path(), &socket, Told::default())?;
        let run = check_peer(size, &socket, arguments);
        assert_eq!(run.code, Some(0), "{run:?}\n{}", testpmd.log());
        let reached = run.expect("HP612", "pass");
        assert_eq!(reached["evidence"]["peer"]["command"], "dpdk-testpmd");
        assert_eq!(reached["evidence"]["negotiated"]["protocol_features"][1], "REPLY_ACK");
        run.expect("HP613", "pass");
        run.expect("HP614", "pass");
        run.expect("HP615", frames);
        let log = testpmd.end();
        assert!(log.contains(came), "{log}");
    }
    Ok(())
}

/// Starts a testpmd and waits until it listens.
fn start(directory: &Path, socket: &Path, told: Told<'_>) -> Result<Testpmd, Missing> {
    let testpmd = Testpmd::told(directory, &format!("net_vhost0,iface={},queues=1", socket.display()), told)?;
    testpmd.wait_for("Checking link statuses");
    thread::sleep(Duration::from_millis(200));
    Ok(testpmd)
}

fn nobody(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    for (arguments, seen) in [(&[][..], "ENOENT"), (&["--peer-listen"], "no peer connected")] {
        let run = check_peer(SMALL, &socket, arguments);
        assert_eq!(run.code, Some(1), "{run:?}");
        let entry = run.expect("HP612", "fail");
        assert!(entry["seen"].as_str().unwrap().contains(seen), "{entry:#}");
        run.expect("HP613", "unknown");
        assert!(!socket.exists());
    }
    let listener = UnixListener::bind(&socket).unwrap();
    let silent = thread::spawn(move || listener.accept().unwrap());
    let run = check_peer(SMALL, &socket, &[]);
    let entry = run.expect("HP612", "fail");
    assert!(entry["summary"].as_str().unwrap().contains("does not answer"), "{entry:#}");
    drop(silent.join().unwrap());
    std::fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let other = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Until the program closes the connection.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let run = check_peer(SMALL, &socket, &[]);
    let entry = run.expect("HP612", "fail");
    assert!(entry["summary"].as_str().unwrap().contains("breaks the protocol"), "{entry:#}");
    other.join().unwrap();
    // Another process uses the path, so nothing is tried and nothing is removed.
    let _listener = UnixListener::bind(directory.path().join("taken")).unwrap();
    let run = check_peer(SMALL, &directory.path().join("taken"), &["--peer-listen"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(
        run.stderr.contains("another process listens") && directory.path().join("taken").exists(),
        "{run:?}"
    );
    Ok(())
}

/// Starts a peer in a thread that serves one connection.
fn peer<R: Send + 'static>(
    socket: &Path,
    serve: impl FnOnce(UnixStream) -> R + Send + 'static,
) -> JoinHandle<R> {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        serve(stream)
    })
}

fn refuses(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    for (protocol_features, said) in
        [(PROTOCOL_FEATURES, "refuses SET_MEM_TABLE"), (protocol::MQ, "hangs up on SET_MEM_TABLE")]
    {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let refusing = peer(&socket, move |stream| {
            let (pages, work, features) = (Pages::Of(LARGE), Work::Echo, FEATURES);
            let options = Options { pages, work, features, protocol_features };
            Backend::new(Channel::new(stream.into()), options, &mut Nobody).serve(Instant::now() + LONG)
        });
        let run = check_peer(SMALL, &socket, &["--peer-transmit", "64"]);
        assert_eq!(run.code, Some(1), "{run:?}");
        run.expect("HP612", "pass");
        let entry = run.expect("HP613", "fail");
        assert!(entry["summary"].as_str().unwrap().contains(said), "{entry:#}");
        run.expect("HP614", "unknown");
        run.expect("HP615", "unknown");
        refusing.join().unwrap().unwrap_err();
    }
    Ok(())
}

/// Answers every request that has a reply, and acknowledges the others if `protocol_features` include REPLY_ACK. Does
/// not answer `silent_at` at all.
fn answer(stream: UnixStream, protocol_features: u64, silent_at: Option<Request>) {
    let mut channel = Channel::new(stream.into());
    while let Ok(envelope) = channel.receive("a message", Instant::now() + LONG) {
        let Message { request, needs_reply, payload, .. } = envelope.message;
        let said = match request {
            _ if Some(request) == silent_at => continue,
            Request::GetFeatures => Payload::U64(FEATURES),
            Request::GetProtocolFeatures => Payload::U64(protocol_features),
            Request::GetVringBase => payload,
            _ if needs_reply => Payload::U64(0),
            _ => continue,
        };
        if channel.send(&Message::reply(request, said), &[], Instant::now() + LONG).is_err() {
            return;
        }
    }
}

fn silent(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let silent = peer(&socket, |stream| answer(stream, protocol::REPLY_ACK, Some(Request::SetVringAddr)));
    let run = check_peer(SMALL, &socket, &[]);
    assert_eq!(run.code, Some(1), "{run:?}");
    run.expect("HP613", "pass");
    let entry = run.expect("HP614", "fail");
    assert!(entry["seen"].as_str().unwrap().contains("SET_VRING_ADDR"), "{entry:#}");
    silent.join().unwrap();
    Ok(())
}

fn no_acknowledgement(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let quiet = peer(&socket, |stream| answer(stream, 0, None));
    let run = check_peer(SMALL, &socket, &[]);
    assert_eq!(run.code, Some(3), "{run:?}");
    run.expect("HP612", "pass");
    let entry = run.expect("HP613", "unknown");
    assert!(entry["summary"].as_str().unwrap().contains("--peer-transmit would prove it"), "{entry:#}");
    quiet.join().unwrap();
    // The same peer, but it processes its rings. The test memory itself shows that.
    std::fs::remove_file(&socket).unwrap();
    let working = peer(&socket, |stream| {
        let (pages, work) = (Pages::Of(SMALL), Work::Sink(None));
        let options = Options { pages, work, features: FEATURES, protocol_features: 0 };
        Backend::new(Channel::new(stream.into()), options, &mut Nobody).serve(Instant::now() + LONG)
    });
    let run = check_peer(SMALL, &socket, &["--peer-transmit", "64"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.expect("HP613", "pass")["evidence"]["proof"], "frames taken");
    working.join().unwrap().unwrap();
    Ok(())
}

fn frontend_cgroup(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let group = machine.cgroup("peer")?;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    for (pages, code, outcome) in [(4, 0, "pass"), (0, 3, "unknown")] {
        group.limit(SMALL, pages);
        let served = peer(&socket, |stream| {
            let (pages, work) = (Pages::Of(SMALL), Work::Sink(None));
            let (features, protocol_features) = (FEATURES, PROTOCOL_FEATURES);
            let options = Options { pages, work, features, protocol_features };
            let _ =
                Backend::new(Channel::new(stream.into()), options, &mut Nobody).serve(Instant::now() + LONG);
        });
        let run = check_peer(SMALL, &socket, &["--frontend-cgroup", group.path().to_str().unwrap()]);
        assert_eq!(run.code, Some(code), "{run:?}");
        let entry = run.expect("HP613", outcome);
        if outcome == "unknown" {
            assert!(entry["seen"].as_str().unwrap().contains("EFAULT"), "{entry:#}");
            // The program did not connect to the peer. This connection ends the peer's thread.
            drop(UnixStream::connect(&socket).unwrap());
        }
        served.join().unwrap();
        std::fs::remove_file(&socket).unwrap();
    }
    Ok(())
}

fn not_forwarding(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 32)?;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let testpmd =
        start(directory.path(), &socket, Told { arguments: &["--forward-mode=txonly"], ..Told::default() })?;
    let run = check_peer(SMALL, &socket, &["--peer-transmit", "64"]);
    assert_eq!(run.code, Some(1), "{run:?}\n{}", testpmd.log());
    run.expect("HP613", "pass");
    let entry = run.expect("HP615", "fail");
    assert!(entry["seen"].as_str().unwrap().contains("0 of 64"), "{entry:#}");
    Ok(())
}

fn killed(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 32)?;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    // The peer takes no frames, so frames are in flight until it is killed.
    let testpmd =
        start(directory.path(), &socket, Told { arguments: &["--forward-mode=txonly"], ..Told::default() })?;
    let pid = testpmd.pid();
    let path = socket.clone();
    let run = thread::spawn(move || check_peer(SMALL, &path, &["--peer-transmit", "1000000"]));
    testpmd.wait_for("VHOST_USER_SET_VRING_ENABLE");
    thread::sleep(Duration::from_millis(200));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let run = run.join().unwrap();
    assert_eq!(run.code, Some(1), "{run:?}");
    let entry = run.expect("HP615", "fail");
    assert!(entry["summary"].as_str().unwrap().contains("hangs up"), "{entry:#}");
    Ok(())
}

fn in_use(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, 4)?;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let workload = UnixStream::connect(&socket).unwrap();
    let (server, _) = listener.accept().unwrap();
    let run = check_peer(SMALL, &socket, &[]);
    assert_eq!(run.code, Some(3), "{run:?}");
    let entry = run.expect("HP612", "unknown");
    assert!(entry["summary"].as_str().unwrap().contains("the port is in use"), "{entry:#}");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "it has not even connected");
    drop((workload, server));
    Ok(())
}
