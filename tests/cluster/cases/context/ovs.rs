//! Open vSwitch with DPDK on the node, outside its pods.

use std::fs;
use std::process::Command;

use super::{daemon, kubectl, left, script, wait};

/// Where Open vSwitch has its sockets: in the /run of the node, which is not that of the machine.
pub(crate) const DIRECTORY: &str = "/run/openvswitch";

/// Pages of 2Mi without which it does not start: `dpdk-socket-mem`. Buffers of its ports may take twelve more.
pub(crate) const PAGES: i64 = 32;

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// The settings of the vswitch. Both CPUs have work, as in tests/truth.
const SETTINGS: &str = "ovs-vsctl --no-wait set Open_vSwitch . other_config:dpdk-init=true \
    other_config:dpdk-lcore-mask=0x1 other_config:pmd-cpu-mask=0x2 other_config:dpdk-extra=--no-pci";

/// Which side creates the socket of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listens {
    /// The vswitch: `dpdkvhostuser`.
    Vswitch,
    /// The workload: `dpdkvhostuserclient`.
    Workload,
}

/// A vswitch with its database. Both end when this is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Ovs(());

/// Runs a shell script on the node, outside its pods.
pub(crate) fn on_node(text: &str) -> Result<String, String> {
    kubectl::finish(script("inside").args(["--mount", "sh", "-euc", text]), "")
}

fn must(text: &str) -> String {
    on_node(text).unwrap_or_else(|error| panic!("{text}: {error}\n{}", log()))
}

/// Returns what the vswitch printed since the cluster was started.
fn log() -> String {
    fs::read_to_string(left("state/log/vswitch.log")).unwrap_or_default()
}

// === impl Ovs ===

impl Ovs {
    /// Starts a vswitch that has a bridge, `br0`, and no port.
    pub(crate) fn start() -> Self {
        let home = left("state/openvswitch");
        drop(fs::remove_dir_all(&home));
        fs::create_dir_all(&home).unwrap();
        let status =
            Command::new("ovsdb-tool").arg("create").arg(home.join("conf.db")).arg(SCHEMA).status().unwrap();
        assert!(status.success(), "ovsdb-tool create: {status}");
        let this = Self(());
        must(&format!("rm -rf {DIRECTORY} && mkdir {DIRECTORY}"));
        daemon("start", "ovsdb");
        wait::until("the database of Open vSwitch answers", 20, || {
            on_node("ovs-vsctl --timeout=2 --no-wait init")
        });
        must(SETTINGS);
        this.set_memory([64, 88]);
        this.run();
        must("ovs-vsctl --timeout=20 add-br br0 -- set bridge br0 datapath_type=netdev");
        this
    }

    /// Adds a port whose socket is DIRECTORY/NAME.
    pub(crate) fn add(&self, name: &str, listens: Listens) {
        let kind = match listens {
            Listens::Vswitch => "type=dpdkvhostuser".to_owned(),
            Listens::Workload => {
                format!("type=dpdkvhostuserclient options:vhost-server-path={DIRECTORY}/{name}")
            }
        };
        must(&format!("ovs-vsctl --timeout=20 add-port br0 {name} -- set Interface {name} {kind}"));
    }

    /// Sets the megabytes that it takes when it starts the next time, and at most. Without a limit it takes the pages of the pods.
    pub(crate) fn set_memory(&self, [first, most]: [u32; 2]) {
        let settings = format!("other_config:dpdk-socket-mem={first} other_config:dpdk-socket-limit={most}");
        must(&format!("ovs-vsctl --no-wait set Open_vSwitch . {settings}"));
    }

    /// Starts the vswitch again.
    pub(crate) fn run(&self) {
        daemon("start", "vswitch");
        wait::until("Open vSwitch has its pages", 30, || {
            let answer = on_node("ovs-vsctl --timeout=2 get Open_vSwitch . dpdk_initialized");
            if answer.as_deref().map(str::trim) == Ok("true") && is_running() { Ok(()) } else { Err(log()) }
        });
    }

    /// Starts the vswitch where it cannot have its pages. Returns what it printed until it ended.
    pub(crate) fn run_in_vain(&self) -> String {
        let before = log().len();
        daemon("start", "vswitch");
        wait::until("Open vSwitch ends without its pages", 30, || {
            let printed = log().split_off(before);
            if !is_running() && printed.contains("hugepages") { Ok(printed) } else { Err(printed) }
        })
    }

    /// Ends the vswitch.
    pub(crate) fn stop(&self) {
        daemon("stop", "vswitch");
    }
}

/// Returns whether the vswitch has a process: the file with its pid may be that of one that was killed.
fn is_running() -> bool {
    on_node(&format!("kill -0 \"$(cat {DIRECTORY}/vswitch.pid)\"")).is_ok()
}

impl Drop for Ovs {
    fn drop(&mut self) {
        for name in ["vswitch", "ovsdb"] {
            drop(script("daemon").args(["stop", name]).status());
        }
    }
}
