//! QEMU with software emulation, with iPXE in a guest without a disk. Its peer is a testpmd `net_vhost` that needs no
//! huge pages itself, because a row is about the pages of QEMU.

use std::time::Duration;

use hugeprobe::domain::size::PageSize;

use super::{Kind, Outcome, START, fails, judge};
use crate::context::SMALL;
use crate::process::{Process, Waited};
use crate::scene::Scene;

/// How long the first frame may take. iPXE requests an address one to two seconds after the start.
const ARRIVAL: Duration = Duration::from_secs(20);

/// What it writes when something is wrong, the most specific texts first.
const TELLS: &[&str] = &[
    "killed by",
    "falling back",
    "Cannot bind",
    "cannot bind",
    "preallocating memory failed",
    "unable to map backing store",
    "can't open backing store",
    "can't create backing store",
    "invalid object type",
    "Failed initializing",
    "qemu-system-x86_64:",
];

/// Returns the memory of the guest in megabytes: 8 pages of 2Mi, or one of 1Gi.
const fn megabytes(size: PageSize) -> u64 {
    if size.bytes() == SMALL.bytes() { 16 } else { 1024 }
}

pub(super) const fn pages(size: PageSize) -> u64 {
    (megabytes(size) << 20) / size.bytes()
}

fn peer(scene: &Scene) -> Process {
    let device = format!("net_vhost0,iface={}", scene.socket());
    let mut command = scene.backend.place.command("dpdk-testpmd");
    command.args(["-l", "0-1", "--no-pci", "--no-huge", "-m", "64", "--vdev", &device]).args([
        "--",
        "--total-num-mbufs=1025",
        "--forward-mode=rxonly",
        "--auto-start",
        "--stats-period=1",
    ]);
    let mut peer = Process::start(&mut command);
    let waited = peer.wait_for(|said| said.contains("Throughput"), START);
    assert_eq!(waited, Waited::Printed, "the peer on ordinary pages: {}", peer.words());
    // QEMU may run as any user.
    std::fs::set_permissions(scene.run.join("s"), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .unwrap();
    peer
}

pub(super) fn run(scene: &Scene) -> Outcome {
    // Memory that the guest has not touched is not allocated yet.
    let least = if scene.kind == Kind::QemuLazy { 1 } else { scene.of_sides()[0] };
    meet(scene, &mut peer(scene), &memory(scene), [1, least], ARRIVAL)
}

/// Returns the memory object, which is the same in every row.
fn memory(scene: &Scene) -> String {
    let prealloc = if scene.kind == Kind::QemuLazy { "off" } else { "on" };
    let bound = format!("prealloc={prealloc},host-nodes=0,policy=bind");
    match scene.directory() {
        Some(directory) => format!("memory-backend-file,mem-path={},share=on,{bound}", directory.display()),
        None => format!("memory-backend-memfd,hugetlb=on,hugetlbsize={},{bound}", scene.size.bytes()),
    }
}

/// Boots a guest whose memory is `object`.
pub(crate) fn start(scene: &Scene, object: &str) -> Process {
    let megabytes = megabytes(scene.size) * scene.times;
    let mut command = scene.place.and(&scene.frontend.place).command("qemu-system-x86_64");
    command
        // The guest's clock skips idle time, because iPXE waits a lot.
        .args(["-accel", "tcg", "-icount", "shift=auto,sleep=off"])
        .args(["-m", &format!("{megabytes}M"), "-machine", "q35,memory-backend=m"])
        .args(["-object", &format!("{object},id=m,size={megabytes}M")])
        .args(["-chardev", &format!("socket,id=c,path={}", scene.socket())])
        .args(["-netdev", "vhost-user,id=n,chardev=c", "-device", "virtio-net-pci,netdev=n"])
        .args(["-boot", "n", "-display", "none", "-nodefaults"]);
    Process::start(&mut command)
}

/// Boots a guest whose memory is `object`, with a peer that shows what arrives. The peer and QEMU must have at least
/// `least` pages.
pub(crate) fn meet(
    scene: &Scene,
    peer: &mut Process,
    object: &str,
    least: [u64; 2],
    patience: Duration,
) -> Outcome {
    let mut qemu = start(scene, object);
    let until = std::time::Instant::now() + patience;
    let waited = loop {
        let arrives = |said: &str| said.split("RX-packets: ").skip(1).any(|rest| !rest.starts_with('0'));
        match peer.wait_for(arrives, Duration::from_millis(100)) {
            Waited::Printed => break Waited::Printed,
            Waited::Ended => break Waited::Ended,
            Waited::TimeUp if qemu.ended().is_some() => break Waited::Ended,
            Waited::TimeUp if qemu.words().contains("falling back") => break Waited::TimeUp,
            Waited::TimeUp if std::time::Instant::now() > until => break Waited::TimeUp,
            Waited::TimeUp => {}
        }
    };
    if waited != Waited::Printed {
        return fails(scene, &mut qemu, Some(peer), TELLS, waited);
    }
    judge(scene, peer, &mut qemu, least, TELLS)
}
