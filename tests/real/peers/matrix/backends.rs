//! Network backends: testpmd's net_vhost in each of its modes, and Open vSwitch.

use std::path::Path;

use super::page::{Line, section, version};
use crate::context::ovs::{Ovs, PAGES, SPARE, VSWITCHD};
use crate::context::program::{PROGRAM, Run, check, run};
use crate::context::testpmd::{Testpmd, Told};
use crate::context::{Machine, Missing};
use crate::peers::ovs::forwards;

const ONLY: [&str; 8] = ["--only", "HP612", "--only", "HP613", "--only", "HP614", "--only", "HP615"];
const SERVES_TESTPMD: &str = "exchanges frames with a testpmd, as before";

/// The options of net_vhost. With `client=1` it connects.
const OPTIONS: &[&str] = &[
    "",
    "queues=2",
    "client=1",
    "iommu-support=1",
    "postcopy-support=1",
    "tso=1",
    "linear-buffer=1",
    "ext-buffer=1",
    "legacy-ol-flags=0",
];

pub(super) fn testpmd(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.small_pages_alone(32)?;
    let mut lines = Vec::new();
    for options in OPTIONS {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let listens = !options.contains("client=1");
        let backend = backend(directory.path(), &socket, options)?;
        exchanges(directory.path(), &client(&socket, listens))?;
        let run = ask(&socket, if listens { &[] } else { &["--peer-listen"] });
        assert_eq!(run.code, Some(0), "{options}: {run:?}\n{}", backend.log());
        exchanges(directory.path(), &client(&socket, listens))?;
        let peer = ["testpmd net_vhost", options].join(" ");
        lines.push(Line::of_check(peer.trim_end(), backend.version(), &run, SERVES_TESTPMD));
    }
    lines.push(packed()?);
    section("Network backends: testpmd", &lines);
    Ok(())
}

/// Returns the row of packed rings, which `check --peer` does not use.
fn packed() -> Result<Line, Missing> {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let backend = backend(directory.path(), &socket, "")?;
    let device = format!("{},packed_vq=1", client(&socket, true));
    exchanges(directory.path(), &device)?;
    let mut command = std::process::Command::new(PROGRAM);
    command.args(["frontend", "--packed", "--size", "2Mi", "--frames", "1000", "--socket"]).arg(&socket);
    let run = run(command.env("LC_ALL", "C.UTF-8"));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains(": 1000 intact;"), "{run:?}");
    exchanges(directory.path(), &device)?;
    Ok(Line {
        peer: "testpmd net_vhost, with `hugeprobe frontend --packed`".to_owned(),
        version: backend.version(),
        negotiated: super::frontends::negotiated(&run),
        proof: "frames".to_owned(),
        frames: "1000 of 1000 intact".to_owned(),
        afterwards: SERVES_TESTPMD,
    })
}

/// Runs `check --peer` with frames.
fn ask(socket: &Path, arguments: &[&str]) -> Run {
    let socket = socket.to_str().unwrap();
    check(&[&["--size", "2Mi", "--peer", socket, "--peer-transmit", "64"], &ONLY[..], arguments].concat())
}

/// Starts a net_vhost that sends back what it receives.
fn backend(directory: &Path, socket: &Path, options: &str) -> Result<Testpmd, Missing> {
    let comma = if options.is_empty() { "" } else { "," };
    let device = format!("net_vhost0,iface={}{comma}{options}", socket.display());
    let queues: &[&str] = if options == "queues=2" { &["--rxq=2", "--txq=2"] } else { &[] };
    let arguments = [&["--forward-mode=io"], queues].concat();
    let testpmd = Testpmd::told(directory, &device, Told { arguments: &arguments, ..Told::default() })?;
    testpmd.wait_for("Checking link statuses");
    Ok(testpmd)
}

/// Returns the device of a testpmd that meets a net_vhost.
fn client(socket: &Path, connects: bool) -> String {
    format!("net_virtio_user0,path={}{}", socket.display(), if connects { "" } else { ",server=1" })
}

/// Starts a testpmd on `device` that sends frames all the time, and waits until frames have come back. A single burst
/// (`--tx-first`) may be lost: while testpmd starts, it disables its queues and sends the memory table again.
pub(super) fn exchanges(directory: &Path, device: &str) -> Result<(), Missing> {
    let directory = tempfile::tempdir_in(directory).unwrap();
    let told = Told { arguments: &["--forward-mode=flowgen"], ..Told::default() };
    let testpmd = Testpmd::told(directory.path(), device, told)?;
    testpmd.wait_until("frames have come back", |log| {
        log.split("RX-packets: ").skip(1).any(|rest| !rest.starts_with("0 "))
    });
    Ok(())
}

pub(super) fn ovs(machine: &Machine) -> Result<(), Missing> {
    let _pages = machine.small_pages_alone(PAGES + 8 + SPARE)?;
    let directory = tempfile::tempdir().unwrap();
    let vswitch = Ovs::start(directory.path(), &["a", "b", "client"])?;
    vswitch.add_server("server");
    let mut lines = Vec::new();
    for (port, arguments) in [("client", &["--peer-listen"][..]), ("server", &[])] {
        forwards(directory.path());
        let run = ask(&directory.path().join(port), arguments);
        assert_eq!(run.code, Some(0), "{port}: {run:?}\n{}", vswitch.log());
        forwards(directory.path());
        let kind = if port == "client" { "dpdkvhostuserclient" } else { "dpdkvhostuser" };
        let peer = format!("Open vSwitch {kind}");
        let afterwards = "forwards between two other ports, as before";
        lines.push(Line::of_check(peer, version(VSWITCHD).unwrap(), &run, afterwards));
    }
    section("Network backends: Open vSwitch", &lines);
    Ok(())
}
