//! `hugeprobe frontend` and `backend` as a shell sees them, where no page is needed: signals, the socket's path, peers
//! that are none.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy.toml exempts functions marked #[test], not their helpers

use std::io::Write as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn backend(socket: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_hugeprobe"))
        .arg("backend")
        .arg("--socket")
        .arg(socket)
        .args(["--deadline", "30"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Longer than the deadline that all are given: what takes this long hangs.
const HANGS: Duration = Duration::from_secs(60);

fn wait_for(what: &str, there: impl Fn() -> bool) {
    let until = Instant::now() + HANGS;
    while !there() {
        assert!(Instant::now() < until, "{what} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn listening(socket: &Path) -> Child {
    let child = backend(socket, &["--listen"]);
    wait_for("a socket", || socket.exists());
    child
}

/// Waits until the process has taken over this signal: it blocks what it reads by signalfd.
fn heeds(child: &Child, signal: Signal) {
    wait_for("a process that heeds signals", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim();
        u64::from_str_radix(blocked, 16).unwrap() >> (signal as i32 - 1) & 1 == 1
    });
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

/// The exit code, and all that was said.
fn end(child: Child) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code(), [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat())
}

fn connect(socket: &Path) -> UnixStream {
    let until = Instant::now() + HANGS;
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    }
}

#[test]
fn a_signal_while_nobody_comes_ends_it_and_the_path_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    for (signal, name) in
        [(Signal::SIGINT, "SIGINT"), (Signal::SIGTERM, "SIGTERM"), (Signal::SIGHUP, "SIGHUP")]
    {
        let child = listening(&socket);
        send(&child, signal);
        let (code, said) = end(child);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("listening") && said.contains(name), "{said}");
        assert!(!socket.exists());
        let child = backend(&socket, &[]);
        heeds(&child, signal);
        send(&child, signal);
        let (code, said) = end(child);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("connecting") && said.contains(name), "{said}");
    }
}

#[test]
fn a_signal_in_a_session_ends_it_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let child = listening(&socket);
    let _peer = connect(&socket);
    // One peer is served.
    wait_for("a path that is gone", || !socket.exists());
    send(&child, Signal::SIGINT);
    let (code, said) = end(child);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("connected") && said.contains("interrupted by SIGINT"), "{said}");
}

#[test]
fn kill_9_leaves_at_most_a_path_that_the_next_run_replaces() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let child = listening(&socket);
    send(&child, Signal::SIGKILL);
    end(child);
    assert!(socket.exists());
    let child = listening(&socket);
    drop(connect(&socket));
    let (code, said) = end(child);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("shared no memory"), "{said}");
    assert_eq!(directory.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_path_in_use_is_left_alone_and_named() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let _other = UnixListener::bind(&socket).unwrap();
    let (code, said) = end(backend(&socket, &["--listen"]));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("another process listens") && socket.exists(), "{said}");
    let file = directory.path().join("file");
    std::fs::write(&file, "a letter").unwrap();
    let (code, said) = end(backend(&file, &["--listen"]));
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("is not a socket"), "{said}");
}

#[test]
fn a_peer_that_speaks_something_else_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let child = listening(&socket);
    let mut peer = connect(&socket);
    peer.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let (code, said) = end(child);
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn a_socket_of_another_kind_is_a_failure_and_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let _datagrams = UnixDatagram::bind(&socket).unwrap();
    let (code, said) = end(backend(&socket, &[]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("EPROTOTYPE"), "{said}");
}

#[test]
fn nobody_until_the_deadline_is_unknown() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["--listen", "--deadline", "1"][..], &["--deadline", "1"]] {
        let child = Command::new(env!("CARGO_BIN_EXE_hugeprobe"))
            .arg("backend")
            .arg("--socket")
            .arg(directory.path().join("socket"))
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8(child.stdout).unwrap();
        assert_eq!(child.status.code(), Some(3), "{said}");
        assert!(said.contains("socket within "), "{said}");
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }
}
