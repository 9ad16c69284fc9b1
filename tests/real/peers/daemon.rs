//! Daemons that serve devices other than network cards, each with a check that it serves a client of its own kind.
//!
//! Nothing here needs huge pages. `tests/hostile` uses this file too.

#[path = "guest.rs"]
mod guest;

use std::fs::File;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use guest::{Buffer, Guest};

/// A time far longer than any of the daemons takes.
const LONG: Duration = Duration::from_secs(60);
const SECTOR: usize = 512;

/// A peer, and how to check that it still serves its clients.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Its programs. The first that is installed is used.
    pub(crate) programs: &'static [&'static str],
    /// Starts the peer with its files in a directory. Returns `None` if it is not installed.
    pub(crate) start: fn(&Path) -> Option<Daemon>,
    /// Checks the service of the peer, before and after the session.
    pub(crate) serves: fn(&mut Daemon, When),
    /// What that shows after the session.
    pub(crate) afterwards: &'static str,
}

/// When the service of a daemon is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

/// The daemons of distributions. All of them serve a device other than a network card, and none of their queues may be
/// started.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "qemu-storage-daemon, vhost-user-blk, 1 queue",
        programs: &[STORAGE],
        start: |directory| storage_daemon(directory, 1),
        serves: reads_its_disk,
        afterwards: "a client reads the same sectors as before",
    },
    Row {
        name: "qemu-storage-daemon, vhost-user-blk, 2 queues",
        programs: &[STORAGE],
        start: |directory| storage_daemon(directory, 2),
        serves: reads_its_disk,
        afterwards: "a client reads the same sectors as before",
    },
    Row {
        name: "virtiofsd of the distribution",
        programs: FILE_SYSTEM,
        start: file_system_daemon,
        serves: ends_with_its_client,
        afterwards: "ends with success, as after any client",
    },
];

/// The daemons on crates.io, which `tests/peers` installs.
pub(crate) const CRATES: &[Row] = &[
    Row {
        name: "virtiofsd of crates.io",
        programs: &[CRATE_FILE_SYSTEM],
        start: |directory| rust_file_system_daemon(CRATE_FILE_SYSTEM, directory),
        serves: ends_with_its_client,
        afterwards: "ends with success, as after any client",
    },
    Row {
        name: "vhost-device-rng",
        programs: &[RNG],
        start: |directory| Daemon::start(RNG, directory, &[], "--socket-path=", "0"),
        serves: gives_random_bytes,
        afterwards: "a client gets random bytes, as before",
    },
    Row {
        name: "vhost-device-vsock",
        programs: &[VSOCK],
        start: |directory| {
            let sockets = format!("--uds-path={}", directory.join("vsock").display());
            Daemon::start(VSOCK, directory, &[&sockets], "--socket=", "")
        },
        serves: accepts_a_connection,
        afterwards: "a client connects to a socket of the host, as before",
    },
    Row {
        name: "vhost-device-console",
        programs: &[CONSOLE],
        start: console,
        serves: prints_what_is_written,
        afterwards: "what a client writes is printed, as before",
    },
];

const STORAGE: &str = "qemu-storage-daemon";
/// The virtiofsd of rust-vmm, which Debian 13 has, and that of QEMU before 8.0, which Debian 12 has.
const FILE_SYSTEM: &[&str] = &["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"];
const CRATE_FILE_SYSTEM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/bin/virtiofsd");
const RNG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/bin/vhost-device-rng");
const VSOCK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/bin/vhost-device-vsock");
const CONSOLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/bin/vhost-device-console");

/// A daemon, ended when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) socket: PathBuf,
    log: PathBuf,
}

// === impl Daemon ===

impl Daemon {
    /// Starts `program` and waits until it listens. `suffix` is what the program appends to the path of the socket.
    fn start(
        program: &str,
        directory: &Path,
        arguments: &[&str],
        socket_option: &str,
        suffix: &str,
    ) -> Option<Self> {
        let (given, log) = (directory.join("socket"), directory.join("daemon.log"));
        let socket = PathBuf::from(format!("{}{suffix}", given.display()));
        let output = File::create(&log).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .arg(format!("{socket_option}{}", given.display()))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .ok()?;
        let mut this = Self { child, socket, log };
        let until = Instant::now() + LONG;
        while !this.socket.exists() {
            assert!(Instant::now() < until && this.exited().is_none(), "{}", this.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(this)
    }

    /// Returns its standard output and error.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Connects a client of its own kind.
    fn guest(&mut self) -> Guest {
        assert!(self.exited().is_none(), "it has ended: {}", self.log());
        Guest::connect(&self.socket, Instant::now() + LONG)
    }

    fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === the daemons ===

fn file_system_daemon(directory: &Path) -> Option<Daemon> {
    let source = format!("source={}", directory.display());
    let of_qemu = ["-o", "sandbox=chroot", "-o", source.as_str()];
    rust_file_system_daemon(FILE_SYSTEM[0], directory)
        .or_else(|| Daemon::start(FILE_SYSTEM[1], directory, &of_qemu, "--socket-path=", ""))
}

fn rust_file_system_daemon(program: &str, directory: &Path) -> Option<Daemon> {
    let shared = format!("--shared-dir={}", directory.display());
    Daemon::start(program, directory, &["--sandbox=none", &shared], "--socket-path=", "")
}

fn storage_daemon(directory: &Path, queues: u32) -> Option<Daemon> {
    let disk = directory.join("disk");
    let sectors: Vec<u8> = (0..=255).flat_map(|sector: u8| [sector ^ 0x5a; SECTOR]).collect();
    std::fs::write(&disk, sectors).unwrap();
    let node = format!("driver=file,node-name=disk,filename={}", disk.display());
    let export = format!(
        "type=vhost-user-blk,id=export,node-name=disk,writable=off,num-queues={queues},addr.type=unix,addr.path="
    );
    Daemon::start(STORAGE, directory, &["--blockdev", &node, "--export"], &export, "")
}

/// Starts a console whose other side is a TCP port of the loopback address. The file `port` has its number.
fn console(directory: &Path) -> Option<Daemon> {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    std::fs::write(directory.join("port"), &free).unwrap();
    let arguments = ["--backend=network", "--tcp-port", &free];
    Daemon::start(CONSOLE, directory, &arguments, "--socket-path=", "0")
}

// === their clients ===

/// Asserts that a client can read the same sectors before and after: virtio 1.2, 5.2.6 "Device Operation".
fn reads_its_disk(daemon: &mut Daemon, _: When) {
    for sector in [0, 7_u8] {
        let header = [&[0; 8][..], &u64::from(sector).to_le_bytes()].concat();
        let mut guest = daemon.guest();
        let size = u32::try_from(SECTOR).unwrap();
        guest.start(0, &[Buffer::Read(&header), Buffer::Write(size), Buffer::Write(1)]);
        guest.wait(0);
        assert_eq!(guest.read(0, 2), [0], "VIRTIO_BLK_S_OK");
        assert_eq!(guest.read(0, 1), [sector ^ 0x5a; SECTOR], "{}", daemon.log());
        guest.stop();
    }
}

/// Asserts that a client gets random bytes: virtio 1.2, 5.4.6 "Device Operation".
fn gives_random_bytes(daemon: &mut Daemon, _: When) {
    let mut guest = daemon.guest();
    guest.start(0, &[Buffer::Write(64)]);
    guest.wait(0);
    assert_ne!(guest.read(0, 0), [0; 64], "{}", daemon.log());
    guest.stop();
}

/// Asserts that a client connects to a socket of the host: virtio 1.2, 5.10.6 "Device Operation".
fn accepts_a_connection(daemon: &mut Daemon, _: When) {
    let (stream, request, response) = (1_u16, 1_u16, 2_u16);
    let ports = [[1025_u32, 1234].map(u32::to_le_bytes).concat(), vec![0; 4]].concat();
    let kind = [stream, request].map(u16::to_le_bytes).concat();
    let room = [0_u32, 65536, 0].map(u32::to_le_bytes).concat();
    let packet = [[3_u64, 2].map(u64::to_le_bytes).concat(), ports, kind, room].concat();
    let path = daemon.socket.with_file_name("vsock_1234");
    let listener = UnixListener::bind(&path).unwrap();
    let mut guest = daemon.guest();
    guest.start(0, &[Buffer::Write(4096)]);
    guest.start(1, &[Buffer::Read(&packet)]);
    guest.wait(0);
    let answer: [u8; 44] = guest.read(0, 0);
    assert_eq!(answer[30..32], response.to_le_bytes(), "{answer:?}\n{}", daemon.log());
    guest.stop();
    drop(listener);
    std::fs::remove_file(path).unwrap();
}

/// Asserts that what a client writes arrives at the other side: virtio 1.2, 5.3.6 "Device Operation".
fn prints_what_is_written(daemon: &mut Daemon, _: When) {
    let mut guest = daemon.guest();
    guest.start(1, &[Buffer::Read(b"hello")]);
    guest.wait(1);
    let port = std::fs::read_to_string(daemon.socket.with_file_name("port")).unwrap();
    let mut other = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    other.set_read_timeout(Some(LONG)).unwrap();
    let mut text = [0; 5];
    other.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"hello", "{}", daemon.log());
    drop(other);
    guest.stop();
}

/// Asserts that the daemon runs before the session and exits with success after it, because it serves only one client.
fn ends_with_its_client(daemon: &mut Daemon, when: When) {
    if when == When::Before {
        assert!(daemon.exited().is_none(), "it has ended: {}", daemon.log());
        return;
    }
    let until = Instant::now() + LONG;
    while daemon.exited().is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(
        daemon.exited().is_some_and(|status| status.success()),
        "{:?}\n{}",
        daemon.exited(),
        daemon.log()
    );
}
