//! The command line. Each type validates its value; [`validate`](hugeprobe_domain::request::Request::validate) validates
//! values together.

mod check;

use std::path::PathBuf;

use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};

#[cfg(feature = "support")]
use help::AFTER_BUNDLE;
#[cfg(feature = "cluster")]
use help::AFTER_NODES;
use help::{AFTER_BACKEND, AFTER_CHECK, AFTER_EXPLAIN, AFTER_FRONTEND};
#[cfg(feature = "kubectl")]
use help::{AFTER_FITS, AFTER_NODE, AFTER_RECHECK, AFTER_WHO, AFTER_WHY};
use hugeprobe_domain::check::CheckId;
use hugeprobe_domain::request::{PageCount, Workload};
use hugeprobe_domain::size::PageSize;

#[cfg(feature = "support")]
pub use self::check::Bundle;
pub use self::check::Check;

#[cfg(feature = "cluster")]
pub mod cluster;
pub mod container;
mod help;
#[cfg(feature = "kubectl")]
pub mod kubectl;

/// The text that `--version` prints. `-V` prints only the version.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("HUGEPROBE_COMMIT"),
    ", ",
    env!("HUGEPROBE_TARGET"),
    ", features: ",
    env!("HUGEPROBE_FEATURES"),
    ")"
);

/// Checks whether a vhost-user workload can use this machine's huge pages, by doing what the workload does.
#[derive(Debug, Parser)]
#[command(name = "hugeprobe", version, long_version = VERSION, propagate_version = true, arg_required_else_help = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Check the huge page pools of this machine now, and give a verdict
    #[command(after_long_help = AFTER_CHECK)]
    Check(Check),
    #[cfg(feature = "support")]
    /// Check this machine, and write one file with all that is needed to look at the result elsewhere
    #[command(after_long_help = AFTER_BUNDLE)]
    Bundle(Bundle),
    /// Show step by step how the counters move as pages are reserved, touched and released
    Walk(Walk),
    /// Run the vhost-user frontend, the role of QEMU and net_virtio_user, and count the frames that come back
    #[command(after_long_help = AFTER_FRONTEND)]
    Frontend(Frontend),
    /// Run the vhost-user backend, the role of OVS-DPDK and net_vhost
    #[command(after_long_help = AFTER_BACKEND)]
    Backend(Backend),
    #[cfg(feature = "cluster")]
    /// Watch this node's pools, probe them, and write the verdict on the Node: the process of the DaemonSet
    Agent(cluster::Agent),
    #[cfg(feature = "cluster")]
    /// Serve what a privileged agent shows, without its privileges
    #[command(hide = true)]
    Pages(cluster::Pages),
    #[cfg(feature = "cluster")]
    /// Show the verdict of each node of a cluster; a verdict that is stale or from another boot does not count as a pass
    #[command(after_long_help = AFTER_NODES)]
    Nodes(cluster::Nodes),
    #[cfg(feature = "kubectl")]
    /// Show all that is published of one node, the remedy of each check that did not pass, and its events
    #[command(after_long_help = AFTER_NODE)]
    Node(kubectl::Node),
    #[cfg(feature = "kubectl")]
    /// Show who holds the huge pages of a node: the pods, and what is in use beyond their requests
    #[command(after_long_help = AFTER_WHO)]
    Who(kubectl::Who),
    #[cfg(feature = "kubectl")]
    /// Ask the agents of nodes for another probe now
    #[command(after_long_help = AFTER_RECHECK)]
    Recheck(kubectl::Recheck),
    #[cfg(feature = "kubectl")]
    /// Show on which nodes a pod that requests huge pages would work now, and why not on the others
    #[command(after_long_help = AFTER_FITS)]
    Fits(kubectl::Fits),
    #[cfg(feature = "kubectl")]
    /// Show why a pod does not run: its messages, the known failures in them, and the verdict of its node
    #[command(after_long_help = AFTER_WHY)]
    Why(kubectl::Why),
    #[cfg(feature = "cluster")]
    /// Remove only what hugeprobe wrote on Nodes, and the probe pods that it left
    Cleanup(cluster::Cleanup),
    #[cfg(feature = "cluster")]
    /// Show that the admission policies restrict an agent to its Node, by dry runs: the pod of `helm test`
    #[command(hide = true)]
    Policies(cluster::Policies),
    /// Explain a check: why it matters, how it is decided, what to do; or explain the messages of a log; or list all checks
    #[command(after_long_help = AFTER_EXPLAIN)]
    Explain(Explain),
    /// Print the JSON schema of the output of `check -o json`
    Schema,
    /// One of the two containers of a probe pod
    #[command(hide = true)]
    Container(container::Container),
    /// The process that gives back the pages of --reserve
    #[command(hide = true)]
    Guardian {
        /// The id of this run
        id: String,
        /// What to reserve
        counts: Vec<PageCount>,
    },
}

/// `walk`.
#[derive(Debug, Arguments)]
pub struct Walk {
    /// The page size [default: the smallest with a free page]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<PageSize>,

    /// How many pages to map
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=16))]
    pub pages: u64,

    /// Use files of this hugetlbfs [default: anonymous memory, and a memfd for sharing]
    #[arg(long, value_name = "HUGETLBFS")]
    pub dir: Option<String>,

    /// Wait for Enter before each step, so that you can look with grep in another terminal
    #[arg(long)]
    pub pause: bool,

    /// Add pages to the pool for the run, and give them back afterwards, even after kill -9 (requires root, on the host)
    #[arg(long, value_name = "SIZE=PAGES[@numaN]")]
    pub reserve: Vec<PageCount>,

    /// Allow --reserve to take more than half of the available memory
    #[arg(long, requires = "reserve")]
    pub reserve_over_half: bool,

    /// The cgroup that the frontend joins, to see which pages are charged to it: a directory with hugetlb files
    #[arg(long, value_name = "DIR")]
    pub frontend_cgroup: Option<String>,

    /// The cgroup that the backend joins
    #[arg(long, value_name = "DIR")]
    pub backend_cgroup: Option<String>,
}

/// The socket of a role and its peer, and the deadline.
#[derive(Debug, Arguments)]
pub struct Meeting {
    /// The vhost-user socket
    #[arg(long, value_name = "PATH")]
    pub socket: PathBuf,

    /// Create the socket and wait for the peer to connect [default: connect, and wait until a process listens]
    #[arg(long)]
    pub listen: bool,

    /// Stop after this many seconds, including the wait for the peer; 0 means no deadline
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=31_536_000))]
    pub deadline: u64,
}

/// `frontend`.
#[derive(Debug, Arguments)]
pub struct Frontend {
    /// Where the peer is.
    #[command(flatten)]
    pub meeting: Meeting,

    /// The page size [default: the smallest of which enough pages are available]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<PageSize>,

    /// How many pages to share; two or more are split into two regions
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=16))]
    pub pages: u64,

    /// Allocate the pages from this hugetlbfs, as QEMU's memory-backend-file does [default: memfd]
    #[arg(long, value_name = "HUGETLBFS")]
    pub dir: Option<String>,

    /// How many frames to send; with --peer source and bounce, how many to wait for
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: u64,

    /// The length of a frame in bytes, without its checksum
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u16).range(60..=1518))]
    pub frame_size: u16,

    /// Send the same bytes in each frame, and count the frames that arrive without reading them, as testpmd does
    #[arg(long)]
    pub plain: bool,

    /// What the backend does with frames
    #[arg(long, value_enum, value_name = "MODE", default_value_t)]
    pub peer: Mode,

    /// Use packed rings, as net_virtio_user does with packed_vq=1 [default: split rings]
    #[arg(long)]
    pub packed: bool,

    /// How many frames may be in flight at once; with 1, round trips are timed
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub window: u16,

    /// How to wait for the peer
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub wait: Wait,
}

/// `backend`.
#[derive(Debug, Arguments)]
pub struct Backend {
    /// Where the peer is.
    #[command(flatten)]
    pub meeting: Meeting,

    /// What to do with frames
    #[arg(long, value_enum, value_name = "MODE", default_value_t)]
    pub mode: Mode,

    /// The page size to require [default: huge pages of any size]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<PageSize>,

    /// Stop after this many frames [default: when the frontend closes the connection]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,

    /// The length of a frame that the backend sends, in bytes, without its checksum
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u16).range(60..=1518))]
    pub frame_size: u16,

    /// Send the same bytes in each frame, and count the frames that arrive without reading them, as testpmd does
    #[arg(long)]
    pub plain: bool,

    /// How to wait for the peer
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub wait: Wait,
}

/// `--wait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Wait {
    /// Poll for a moment, then sleep until notified
    #[default]
    Both,
    /// Poll all the time: the fastest, and uses a whole CPU
    Poll,
    /// Sleep until notified
    Sleep,
}

/// `--mode` of a backend; `--peer` gives it to a frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Mode {
    /// Send each frame back
    #[default]
    Echo,
    /// Accept frames, and verify those that are hugeprobe's
    Sink,
    /// Create and send frames
    Source,
    /// Create and send frames, and the frontend sends each back
    Bounce,
}

/// `explain`.
#[derive(Debug, Arguments)]
pub struct Explain {
    /// The id of a check, such as HP105
    pub check: Option<CheckId>,

    /// Explain the messages of DPDK, QEMU, Open vSwitch or the kernel in this log; `-` reads standard input
    #[cfg(feature = "support")]
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    pub log: Option<PathBuf>,
}

/// `--workload`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum WorkloadName {
    /// A DPDK process with --single-file-segments; what is needed without it is a warning
    #[default]
    Dpdk,
    /// A DPDK process with a file for each page, which is DPDK's default: VPP
    #[value(name = "dpdk:file-per-page")]
    DpdkFilePerPage,
    /// A DPDK process with --legacy-mem and --huge-dir
    #[value(name = "dpdk:legacy-mem")]
    DpdkLegacyMem,
    /// QEMU with memory-backend-file or memory-backend-memfd
    Qemu,
    /// Open vSwitch with DPDK
    Ovs,
}

/// `--fail-on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum FailOn {
    /// Exit with 1 on warnings too
    Warn,
    /// Exit with 0 on warnings
    #[default]
    Fail,
}

impl From<WorkloadName> for Workload {
    fn from(name: WorkloadName) -> Self {
        match name {
            WorkloadName::Dpdk => Self::Dpdk,
            WorkloadName::DpdkFilePerPage => Self::DpdkFilePerPage,
            WorkloadName::DpdkLegacyMem => Self::DpdkLegacyMem,
            WorkloadName::Ovs => Self::Ovs,
            WorkloadName::Qemu => Self::Qemu,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Args::command().debug_assert();
    }

    /// Longer lines are wrapped by clap, and a wrapped example cannot be copied.
    #[test]
    fn examples_fit_a_terminal_of_80_columns() {
        for command in super::Args::command().get_subcommands() {
            let text = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", command.get_name());
            }
        }
    }
}
