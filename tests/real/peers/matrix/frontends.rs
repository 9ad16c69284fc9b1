//! Network frontends: testpmd's net_virtio_user in each of its ring paths, and QEMU.

use std::path::Path;
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::backends::exchanges;
use super::page::{Line, section, version};
use crate::context::program::{PROGRAM, Run, run};
use crate::context::qemu::Qemu;
use crate::context::testpmd::{Testpmd, Told};
use crate::context::{HANGS, Machine, Missing, SMALL};

/// The options of net_virtio_user, from which DPDK chooses a ring path. By default, mrg_rxbuf and in_order are 1.
const OPTIONS: &[&str] = &[
    "",
    "mrg_rxbuf=0",
    "in_order=0",
    "in_order=0,mrg_rxbuf=0",
    "mrg_rxbuf=0,vectorized=1",
    "packed_vq=1",
    "packed_vq=1,mrg_rxbuf=0",
    "packed_vq=1,in_order=0",
    "packed_vq=1,in_order=0,mrg_rxbuf=0",
    "packed_vq=1,mrg_rxbuf=0,vectorized=1",
    "queue_size=1024",
    "queues=2",
    "cq=1",
    "server=1",
];
const FRAMES: &str = "1000";
/// The memory of a guest that sends its first frame, in bytes.
const BOOT: u64 = 64 << 20;

pub(super) fn testpmd(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.small_pages_alone(32)?;
    let mut lines = Vec::new();
    for options in OPTIONS {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let listens = options.contains("server=1");
        let comma = if options.is_empty() { "" } else { "," };
        let device = format!("net_virtio_user0,path={}{comma}{options}", socket.display());
        let queues: &[&str] = if *options == "queues=2" { &["--rxq=2", "--txq=2"] } else { &[] };
        let arguments = [&["--forward-mode=io"], queues].concat();
        let start =
            || Testpmd::told(directory.path(), &device, Told { arguments: &arguments, ..Told::default() });
        let own_kind = format!("net_vhost0,iface={},client=1", socket.display());
        let (mut testpmd, run) = if listens {
            let testpmd = start()?;
            exchanges(directory.path(), &own_kind)?;
            (testpmd, backend(&socket, &["--mode", "bounce"]).join().unwrap())
        } else {
            let backend = listening(&socket, &["--mode", "bounce"]);
            let testpmd = start();
            let run = backend.join().unwrap();
            (testpmd?, run)
        };
        assert_eq!(run.code, Some(0), "{options}: {run:?}\n{}", testpmd.log());
        assert!(run.stdout.contains(": 1000 intact"), "{options}: {run:?}");
        let afterwards = if listens {
            exchanges(directory.path(), &own_kind)?;
            "exchanges frames with a testpmd, as before"
        } else {
            "keeps running"
        };
        assert!(testpmd.is_running(), "{options}: {}", testpmd.log());
        lines.push(Line {
            peer: ["testpmd net_virtio_user", options].join(" ").trim_end().to_owned(),
            version: testpmd.version(),
            negotiated: negotiated(&run),
            proof: "mapped by hugeprobe, and frames".to_owned(),
            frames: "1000 of 1000 intact".to_owned(),
            afterwards,
        });
    }
    section("Network frontends: testpmd", &lines);
    Ok(())
}

pub(super) fn qemu(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.pages(SMALL, BOOT / SMALL.bytes())?;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    // The guest asks for an address again and again. The second backend shows that QEMU is still there.
    let sink = ["--mode", "sink", "--frames", "1"];
    let backend = listening(&socket, &sink);
    let qemu = Qemu::that_reconnects(directory.path(), &socket, SMALL, BOOT)?;
    let run = backend.join().unwrap();
    assert_eq!(run.code, Some(0), "{run:?}");
    let again = listening(&socket, &sink).join().unwrap();
    assert_eq!(again.code, Some(0), "{again:?}");
    drop(qemu);
    let line = Line {
        peer: "QEMU virtio-net-pci".to_owned(),
        version: version("qemu-system-x86_64").unwrap(),
        negotiated: negotiated(&run),
        proof: "mapped by hugeprobe, and frames".to_owned(),
        frames: "the guest's DHCP request".to_owned(),
        afterwards: "connects again, and the guest's next request arrives",
    };
    section("Network frontends: QEMU", &[line]);
    Ok(())
}

/// Returns what both sides negotiated, from the output of the program.
pub(super) fn negotiated(run: &Run) -> String {
    let mut lines = run.stdout.lines().filter_map(|line| line.strip_prefix("negotiated"));
    lines.next_back().unwrap_or_else(|| panic!("{run:?}")).trim().to_owned()
}

/// Starts `hugeprobe backend`.
fn backend(socket: &Path, arguments: &[&str]) -> JoinHandle<Run> {
    let mut command = Command::new(PROGRAM);
    let frames: &[&str] = if arguments.contains(&"--frames") { &[] } else { &["--frames", FRAMES] };
    command.args(["backend", "--size", "2Mi", "--deadline", "50", "--socket"]).arg(socket);
    command.args(arguments).args(frames).env("LC_ALL", "C.UTF-8");
    thread::spawn(move || run(&mut command))
}

/// Does the same, and returns when it listens.
fn listening(socket: &Path, arguments: &[&str]) -> JoinHandle<Run> {
    let backend = backend(socket, &[arguments, &["--listen"]].concat());
    let until = Instant::now() + HANGS;
    while !socket.exists() && !backend.is_finished() && Instant::now() < until {
        thread::sleep(Duration::from_millis(10));
    }
    backend
}
