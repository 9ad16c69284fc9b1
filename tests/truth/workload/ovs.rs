//! Open vSwitch with DPDK, and one testpmd with two of its ports: what enters one port leaves through the other.

use std::time::{Duration, Instant};

use hugeprobe::domain::size::PageSize;

use super::testpmd::{self, received};
use super::{Outcome, START, fails, judge};
use crate::context::ovs::{self, VSWITCHD, in_directory};
use crate::process::{Process, Waited};
use crate::scene::{OvsTold, Scene};

/// What it writes when something is wrong, the most specific texts first.
const TELLS: &[&str] = &[
    "EMER",
    "killed by",
    "DPDK is disabled",
    "not initialized",
    "No free 2048 kB hugepages",
    "FATAL",
    "ERR",
    "WARN",
];

/// The pages of 2Mi in `dpdk-socket-mem`. The vswitch takes more if there are more, and works without.
const PAGES: u64 = 32;

/// Returns the pages of the frontend and of the vswitch.
pub(super) const fn pages(size: PageSize) -> [u64; 2] {
    [testpmd::pages(size), PAGES]
}

pub(super) fn run(scene: &Scene) -> Outcome {
    let OvsTold { init, socket_mem } = scene.ovs;
    let directory = scene.run.as_path();
    let extra = format!("other_config:dpdk-extra=--no-pci --file-prefix={}", super::prefix(scene, "o"));
    let _database = ovs::database(
        directory,
        &[
            &format!("other_config:dpdk-init={init}"),
            &format!("other_config:dpdk-socket-mem={socket_mem}"),
            "other_config:dpdk-lcore-mask=0x1",
            "other_config:pmd-cpu-mask=0x2",
            &extra,
        ],
    );
    let mut command = scene.place.and(&scene.backend.place).command(VSWITCHD);
    in_directory(&mut command, directory)
        .arg(format!("unix:{}", directory.join("db.sock").display()))
        // The packages start it with this option.
        .arg("--mlockall")
        .arg(format!("--unixctl={}", directory.join("vswitchd.ctl").display()))
        .arg(format!("--pidfile={}", directory.join("vswitchd.pid").display()));
    let mut vswitch = Process::start(&mut command);
    let waited = vswitch.wait_for(|said| said.contains("Open vSwitch)"), START);
    if waited != Waited::Printed {
        return fails(scene, &mut vswitch, None, TELLS, waited);
    }
    // The exit code of ovs-vsctl does not show whether the vswitch applies the settings. The frames do.
    let set = |arguments: &[&str]| {
        let output = ovs::vsctl(directory).arg("--no-wait").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    set(&["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"]);
    for port in ["a", "b"] {
        let path = format!("options:vhost-server-path={}", directory.join(port).display());
        let kind = "type=dpdkvhostuserclient";
        set(&["add-port", "br0", port, "--", "set", "Interface", port, kind, &path]);
    }
    let mut frontend = frontend(scene);
    let until = Instant::now() + START;
    let waited = loop {
        match frontend.wait_for(|said| received(said) >= testpmd::FRAMES, Duration::from_millis(200)) {
            Waited::TimeUp if vswitch.ended().is_some() => break Waited::Ended,
            Waited::TimeUp if refuses(&mut vswitch) || Instant::now() > until => break Waited::TimeUp,
            Waited::TimeUp => {}
            waited => break waited,
        }
    };
    if waited != Waited::Printed {
        return fails(scene, &mut vswitch, Some(&mut frontend), TELLS, waited);
    }
    let own = pages(scene.size);
    judge(scene, &mut vswitch, &mut frontend, [PAGES + 1, own[0]], TELLS)
}

/// Returns whether the vswitch reports that it has no such ports. It does not recover from that.
fn refuses(vswitch: &mut Process) -> bool {
    vswitch.words().contains("could not open network device a")
}

/// Starts a testpmd to which the vswitch connects. It sends frames of its own into both ports all the time: a single burst
/// (`--tx-first`) may be lost, because testpmd disables its queues and sends the memory table again while it starts.
fn frontend(scene: &Scene) -> Process {
    let device = |number, port| {
        let path = scene.run.join(port);
        format!("net_virtio_user{number},path={},server=1", path.display())
    };
    let second = ["--vdev".to_owned(), device(1, "b")];
    let memory = [testpmd::memory(scene), second.into()].concat();
    let arguments = ["--forward-mode=flowgen", "--auto-start", "--no-flush-rx"];
    testpmd::start(scene, &scene.frontend, "f", &device(0, "a"), &memory, &arguments)
}
