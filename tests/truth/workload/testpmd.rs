//! testpmd `net_virtio_user` with testpmd `net_vhost`: the smallest pair that passes frames.

use std::time::Duration;

use hugeprobe::domain::size::PageSize;

use super::{Kind, Outcome, START, fails, judge, prefix, slowness};
use crate::context::SMALL;
use crate::nodes;
use crate::process::{Process, Waited};
use crate::scene::{Scene, Side};

/// How many frames must arrive.
pub(crate) const FRAMES: u64 = 1000;

/// How long the first frames may take once both sides forward. The sides print their counters once a second.
pub(crate) const ARRIVAL: Duration = Duration::from_secs(6);

/// What it writes when something is wrong, the most specific texts first.
pub(crate) const TELLS: &[&str] = &[
    "killed by",
    "mmap failed (",
    "Too many open files",
    "SIGBUS:",
    "fallocate() failed",
    "mmap() failed:",
    "Cannot get a virtual",
    "Unable to check if memfd",
    "Failed to get current mempolicy",
    "failed to create fdset",
    "processing VHOST_USER_SET",
    "Cannot open ",
    "get_seg_fd(): open",
    "couldn't",
    "hugepage_info_init",
    "Not enough memory available",
    "No free 2048 kB hugepages",
    "FATAL",
    "no mounted hugetlbfs",
    "failed",
    "Cannot",
    "Cause:",
];

/// Returns the memory of each side in megabytes: 8 pages of 2Mi, or one of 1Gi.
const fn megabytes(size: PageSize) -> u64 {
    if size.bytes() == SMALL.bytes() { 16 } else { 1024 }
}

/// Returns the number of pages of each side.
pub(crate) const fn pages(size: PageSize) -> u64 {
    (megabytes(size) << 20) / size.bytes()
}

/// Starts a testpmd with the port `device`, with the options `memory` and its own `arguments`.
pub(crate) fn start(
    scene: &Scene,
    side: &Side,
    name: &str,
    device: &str,
    memory: &[String],
    arguments: &[&str],
) -> Process {
    let mut command = scene.place.and(&side.place).command("dpdk-testpmd");
    command
        .args(lcores(scene))
        .arg("--no-pci")
        .args(memory)
        .args(["--file-prefix", &prefix(scene, name), "--vdev", device])
        .args(["--", "--total-num-mbufs=1025", "--stats-period=1"])
        .args(arguments)
        .args(scene.on.first().map(|node| format!("--socket-num={node}")))
        // Without this, testpmd has mbufs on every node that has one of its CPUs.
        .args((!scene.on.is_empty()).then_some("--no-numa"))
        .env("XDG_RUNTIME_DIR", &scene.run);
    Process::start(&mut command)
}

/// Returns the option that names the CPUs: one of the node of the pages, because DPDK allocates on the node of each lcore.
fn lcores(scene: &Scene) -> Vec<String> {
    let cpus = scene.on.first().map(|node| nodes::numbers(&nodes::cpus(*node))).unwrap_or_default();
    match cpus.first() {
        Some(cpu) => vec![format!("--lcores=0@{cpu},1@{cpu}")],
        None => ["-l", "0-1"].map(str::to_owned).into(),
    }
}

/// Returns the memory options of either side.
pub(crate) fn memory(scene: &Scene) -> Vec<String> {
    let from = match scene.directory() {
        Some(directory) => vec!["--huge-dir".to_owned(), directory.display().to_string()],
        None => vec!["--in-memory".to_owned()],
    };
    let megabytes = megabytes(scene.size) * scene.times;
    let much = match &scene.on[..] {
        on if on.is_empty() || scene.names_no_node => vec!["-m".to_owned(), megabytes.to_string()],
        on => vec!["--socket-mem".to_owned(), socket_mem(on, megabytes)],
    };
    let files = match scene.kind {
        // Without physical addresses, which need not be contiguous then.
        Kind::TestpmdLegacy => ["--legacy-mem", "--iova-mode=va"].map(str::to_owned).into(),
        kind if kind.has_file_per_page() => Vec::new(),
        _ => vec!["--single-file-segments".to_owned()],
    };
    [from, much, files].concat()
}

/// Returns `0,16`: the megabytes of each NUMA node, an equal part for those in `on`.
fn socket_mem(on: &[u32], megabytes: u64) -> String {
    let part = megabytes / u64::try_from(on.len()).unwrap();
    let last = on.iter().max().copied().unwrap_or_default();
    let of_node = |node| if on.contains(&node) { part } else { 0 };
    (0..=last).map(|node| of_node(node).to_string()).collect::<Vec<_>>().join(",")
}

pub(crate) fn forwards(said: &str) -> bool {
    said.contains("Throughput")
}

/// Returns the number of frames that have arrived, from the counters in its output.
pub(crate) fn received(said: &str) -> u64 {
    counted(said, "RX-packets: ")
}

/// Returns the number of frames that it has put into its ring.
pub(crate) fn sent(said: &str) -> u64 {
    counted(said, "TX-packets: ")
}

fn counted(said: &str, counter: &str) -> u64 {
    let counts = said.split(counter).skip(1).filter_map(|rest| rest.split(' ').next()?.parse().ok());
    counts.max().unwrap_or(0)
}

/// Starts the backend, which listens and takes frames.
pub(crate) fn backend(scene: &Scene) -> (Process, Waited) {
    let device = format!("net_vhost0,iface={}", scene.socket());
    let arguments = ["--forward-mode=rxonly", "--auto-start"];
    let mut backend = start(scene, &scene.backend, "b", &device, &memory(scene), &arguments);
    let waited = backend.wait_for(forwards, START * slowness());
    (backend, waited)
}

/// Starts the frontend, which connects and sends frames.
pub(crate) fn frontend(scene: &Scene) -> Process {
    let device = format!("net_virtio_user0,path={}", scene.socket());
    let arguments = ["--forward-mode=txonly", "--auto-start"];
    start(scene, &scene.frontend, "f", &device, &memory(scene), &arguments)
}

pub(super) fn run(scene: &Scene) -> Outcome {
    let (mut backend, waited) = backend(scene);
    if waited != Waited::Printed {
        return fails(scene, &mut backend, None, TELLS, waited);
    }
    let mut frontend = frontend(scene);
    let waited = frontend.wait_for(forwards, START * slowness());
    if waited != Waited::Printed {
        return fails(scene, &mut frontend, Some(&mut backend), TELLS, waited);
    }
    let waited = backend.wait_for(|said| received(said) >= FRAMES, ARRIVAL * slowness());
    if waited != Waited::Printed {
        return fails(scene, &mut backend, Some(&mut frontend), TELLS, waited);
    }
    // The backend has mapped its own pages, and at least one of the frontend's.
    let [own, _] = scene.of_sides();
    judge(scene, &mut backend, &mut frontend, [own + 1, own], TELLS)
}
