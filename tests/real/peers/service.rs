//! `check --peer` with an Open vSwitch that forwards between two other ports: it sends no frame, and the other ports
//! notice nothing. What it costs them is measured by `benches/run vswitch`.

use std::path::Path;

use crate::Case;
use crate::context::ovs::{Ovs, PAGES, SPARE};
use crate::context::program::check;
use crate::context::testpmd::{ONE_FILE, Testpmd, Told};
use crate::context::{Machine, Missing};

pub(super) const CASES: &[Case] =
    &[("peers: a hundred checks of one port of a busy Open vSwitch leave the others alone", hundred)];

const CHECKS: usize = 100;
/// The checks of a port that connects. They take a second each, because DPDK connects once a second.
const SLOW_CHECKS: usize = 5;

fn hundred(machine: &Machine) -> Result<(), Missing> {
    // The last 12 are those of the testpmd and of the checks.
    let _pages = machine.small_pages_alone(PAGES + SPARE + 12)?;
    let directory = tempfile::tempdir().unwrap();
    let ovs = Ovs::start(directory.path(), &["a", "b", "client"])?;
    ovs.add_server("server");
    ovs.ofctl("del-flows", &[]);
    for flow in ["a,actions=output:b", "b,actions=output:a", "client,actions=drop", "server,actions=drop"] {
        ovs.ofctl("add-flow", &[&format!("in_port={flow}")]);
    }
    let testpmd = busy(directory.path())?;
    testpmd.wait_until("frames circulate", |log| frames(log) > 10_000);
    let before = ["a", "b"].map(|port| state(&ovs, port));
    for (port, arguments, checks) in
        [("server", &[][..], CHECKS), ("client", &["--peer-listen"][..], SLOW_CHECKS)]
    {
        let socket = directory.path().join(port);
        let only = ["--only", "HP612", "--only", "HP613", "--only", "HP614", "--only", "HP615"];
        let all = [&["--size", "2Mi", "--peer", socket.to_str().unwrap()], &only[..], arguments].concat();
        for _ in 0..checks {
            let run = check(&all);
            assert_eq!(run.code, Some(0), "{port}: {run:?}\n{}", ovs.log());
            run.expect("HP614", "pass");
        }
        let flow = ovs.ofctl("dump-flows", &[&format!("in_port={port}")]);
        assert!(flow.contains("n_packets=0,"), "a frame came from the check: {flow}");
    }
    let so_far = frames(&testpmd.log());
    testpmd.wait_until("frames still circulate", |log| frames(log) > so_far + 10_000);
    assert_eq!(["a", "b"].map(|port| state(&ovs, port)), before, "{}", ovs.log());
    Ok(())
}

/// Starts a testpmd on the ports `a` and `b`. A burst of frames circulates between them.
fn busy(directory: &Path) -> Result<Testpmd, Missing> {
    let device =
        |number, port| format!("net_virtio_user{number},path={},server=1", directory.join(port).display());
    let second = device(1, "b");
    let memory = [ONE_FILE, &["--vdev", &second]].concat();
    let told = Told { arguments: &["--forward-mode=io", "--tx-first"], memory: &memory, ..Told::default() };
    Testpmd::told(directory, &device(0, "a"), told)
}

/// Returns the number of frames that testpmd has received on one of its ports.
fn frames(log: &str) -> u64 {
    let counts = log.split("RX-packets: ").skip(1).filter_map(|rest| rest.split(' ').next()?.parse().ok());
    counts.max().unwrap_or(0)
}

/// Returns what a disturbance of a port would change: its link, and its counts of dropped frames and of errors.
fn state(ovs: &Ovs, port: &str) -> String {
    let counters = ovs.ofctl("dump-ports", &[port]);
    let bad = counters
        .split([',', '\n'])
        .map(str::trim)
        .filter(|counter| ["drop=", "errs="].iter().any(|name| counter.starts_with(name)));
    let bad: Vec<&str> = bad.collect();
    format!("{port}: {bad:?} {}", ovs.interface(port, &["link_state", "link_resets"]).replace('\n', " "))
}
