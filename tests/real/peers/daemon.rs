//! Daemons that serve devices other than network cards, and a client that reads from a block device.
//!
//! Nothing here needs huge pages. `tests/hostile` uses this file too.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hugeprobe::exchange::channel::Channel;
use hugeprobe::exchange::message::{
    MemoryRegion, Message, Payload, Request, VringAddresses, VringState, feature, vring_fd,
};
use hugeprobe::exchange::socket::connect;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// A time far longer than any of the daemons takes.
const LONG: Duration = Duration::from_secs(60);
const SECTOR: usize = 512;

/// A peer, and how to check that it still serves its clients.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Starts the peer with its files in a directory. Returns `None` if it is not installed.
    pub(crate) start: fn(&Path) -> Option<Daemon>,
    /// Checks the service of the peer, before and after the session.
    pub(crate) serves: fn(&mut Daemon, When),
}

/// When the service of a daemon is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

/// Every daemon that serves a device other than a network card. None of their queues may be started.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "qemu-storage-daemon, vhost-user-blk with 1 queue",
        start: |directory| storage_daemon(directory, 1),
        serves: reads_its_disk,
    },
    Row {
        name: "qemu-storage-daemon, vhost-user-blk with 2 queues",
        start: |directory| storage_daemon(directory, 2),
        serves: reads_its_disk,
    },
    Row { name: "virtiofsd", start: file_system_daemon, serves: ends_with_its_client },
];

/// A daemon, ended when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) socket: PathBuf,
    log: PathBuf,
}

// === impl Daemon ===

impl Daemon {
    /// Starts `program` and waits until it listens.
    fn start(program: &str, directory: &Path, arguments: &[&str], socket_option: &str) -> Option<Self> {
        let (socket, log) = (directory.join("socket"), directory.join("daemon.log"));
        let output = File::create(&log).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .arg(format!("{socket_option}{}", socket.display()))
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

/// Starts the virtiofsd of rust-vmm, which Debian 13 has, or that of QEMU before 8.0, which Debian 12 has.
fn file_system_daemon(directory: &Path) -> Option<Daemon> {
    let shared = format!("--shared-dir={}", directory.display());
    let source = format!("source={}", directory.display());
    let of_rust_vmm = ["--sandbox=none", shared.as_str()];
    let of_qemu = ["-o", "sandbox=chroot", "-o", source.as_str()];
    Daemon::start("/usr/libexec/virtiofsd", directory, &of_rust_vmm, "--socket-path=")
        .or_else(|| Daemon::start("/usr/lib/qemu/virtiofsd", directory, &of_qemu, "--socket-path="))
}

fn storage_daemon(directory: &Path, queues: u32) -> Option<Daemon> {
    let disk = directory.join("disk");
    let sectors: Vec<u8> = (0..=255).flat_map(|sector: u8| [sector ^ 0x5a; SECTOR]).collect();
    std::fs::write(&disk, sectors).unwrap();
    let node = format!("driver=file,node-name=disk,filename={}", disk.display());
    let export = format!(
        "type=vhost-user-blk,id=export,node-name=disk,writable=off,num-queues={queues},addr.type=unix,addr.path="
    );
    Daemon::start("qemu-storage-daemon", directory, &["--blockdev", &node, "--export"], &export)
}

/// Asserts that a second client can read the same sectors before and after.
fn reads_its_disk(daemon: &mut Daemon, _: When) {
    assert!(daemon.exited().is_none(), "it has ended: {}", daemon.log());
    for sector in [0, 7_u8] {
        assert_eq!(read_sector(&daemon.socket, sector.into()), [sector ^ 0x5a; SECTOR], "{}", daemon.log());
    }
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

// === a client of a block device ===

/// Reads a sector of a vhost-user-blk device as a guest does: virtio 1.2, 5.2.6 "Device Operation".
fn read_sector(socket: &Path, sector: u64) -> [u8; SECTOR] {
    const BYTES: u64 = 1 << 20;
    const USER: u64 = 0x7000_0000_0000;
    const AVAILABLE: u64 = 0x1000;
    const USED: u64 = 0x2000;
    const HEADER: u64 = 0x3000;
    const DATA: u64 = 0x4000;
    const STATUS: u64 = 0x5000;
    let deadline = Instant::now() + LONG;
    let mut channel = Channel::new(connect(socket, deadline).unwrap());
    let memory = memfd_create(c"block", MFdFlags::MFD_CLOEXEC).unwrap();
    let file = File::from(memory.try_clone().unwrap());
    file.set_len(BYTES).unwrap();
    let put = |at: u64, bytes: &[u8]| file.write_all_at(bytes, at).unwrap();
    let descriptor = |index: u16, address: u64, bytes: u32, flags: u16| {
        let next = index + 1;
        let fields =
            [&address.to_le_bytes()[..], &bytes.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()];
        put(u64::from(index) * 16, &fields.concat());
    };
    put(HEADER, &[&[0; 8][..], &sector.to_le_bytes()].concat());
    put(STATUS, &[0xff]);
    descriptor(0, HEADER, 16, 1);
    descriptor(1, DATA, u32::try_from(SECTOR).unwrap(), 1 | 2);
    descriptor(2, STATUS, 1, 2);
    put(AVAILABLE + 2, &1_u16.to_le_bytes());

    let ask = |channel: &mut Channel, request, payload| {
        channel.ask(&Message::request(request, payload), &[], deadline).unwrap()
    };
    let tell = |channel: &Channel, request, payload, fds: &[&OwnedFd]| {
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        channel.send(&Message::request(request, payload), &fds, deadline).unwrap();
    };
    let features = feature::VERSION_1 | feature::PROTOCOL_FEATURES;
    tell(&channel, Request::SetOwner, Payload::None, &[]);
    ask(&mut channel, Request::GetFeatures, Payload::None);
    ask(&mut channel, Request::GetProtocolFeatures, Payload::None);
    tell(&channel, Request::SetProtocolFeatures, Payload::U64(0), &[]);
    tell(&channel, Request::SetFeatures, Payload::U64(features), &[]);
    let region = MemoryRegion { guest: 0, bytes: BYTES, user: USER, offset: 0 };
    tell(&channel, Request::SetMemTable, Payload::Regions(vec![region]), &[&memory]);
    let vring = |num| Payload::Vring(VringState { index: 0, num });
    tell(&channel, Request::SetVringNum, vring(8), &[]);
    tell(&channel, Request::SetVringBase, vring(0), &[]);
    let (descriptors, available, used) = (USER, USER + AVAILABLE, USER + USED);
    let at = VringAddresses { index: 0, flags: 0, descriptors, available, used, log: 0 };
    tell(&channel, Request::SetVringAddr, Payload::Addresses(at), &[]);
    let [kick, call] = [(); 2].map(|()| EventFd::from_flags(EfdFlags::EFD_CLOEXEC).unwrap());
    let (kicked, called) = (kick.as_fd().try_clone_to_owned().unwrap(), call.into());
    tell(&channel, Request::SetVringCall, vring_fd(0, true), &[&called]);
    tell(&channel, Request::SetVringKick, vring_fd(0, true), &[&kicked]);
    tell(&channel, Request::SetVringEnable, vring(1), &[]);
    // The reply shows that the ring has been set up.
    ask(&mut channel, Request::GetFeatures, Payload::None);
    kick.write(1).unwrap();
    let mut index = [0; 2];
    while index == [0; 2] {
        assert!(Instant::now() < deadline, "sector {sector} is not read");
        std::thread::sleep(Duration::from_millis(1));
        file.read_exact_at(&mut index, USED + 2).unwrap();
    }
    let (mut data, mut status) = ([0; SECTOR], [0xff]);
    file.read_exact_at(&mut data, DATA).unwrap();
    file.read_exact_at(&mut status, STATUS).unwrap();
    assert_eq!(status, [0], "VIRTIO_BLK_S_OK");
    ask(&mut channel, Request::GetVringBase, vring(0));
    data
}
