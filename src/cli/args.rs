//! What can be typed. Validation of each value is its type's; of values together, [`Request::validate`]'s.

mod check;

use std::path::PathBuf;

use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};

use crate::domain::check::CheckId;
use crate::domain::request::{PageCount, Workload};
use crate::domain::size::PageSize;
#[cfg(feature = "cluster")]
use help::AFTER_NODES;
use help::{AFTER_BACKEND, AFTER_CHECK, AFTER_EXPLAIN, AFTER_FRONTEND};

pub use self::check::Check;

#[cfg(feature = "cluster")]
pub mod cluster;
pub mod container;
mod help;

/// What `--version` prints. `-V` prints the version alone.
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

/// Tells whether this machine's huge pages will carry a vhost-user workload, by doing what the workload does.
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
    /// Check the pools of this machine here and now, and give a verdict
    #[command(after_long_help = AFTER_CHECK)]
    Check(Check),
    /// Show step by step how the counters move as pages are reserved, touched and released
    Walk(Walk),
    /// Own the memory of a vhost-user session, as QEMU and net_virtio_user do, and see what becomes of frames
    #[command(after_long_help = AFTER_FRONTEND)]
    Frontend(Frontend),
    /// Be handed the memory of a vhost-user session, as OVS-DPDK and net_vhost are
    #[command(after_long_help = AFTER_BACKEND)]
    Backend(Backend),
    #[cfg(feature = "cluster")]
    /// Watch this node's pools, have them probed, and write the verdict on the Node: the DaemonSet's process
    Agent(cluster::Agent),
    #[cfg(feature = "cluster")]
    /// Show what stands on the nodes of a cluster; a verdict of another boot, or out of date, is no pass
    #[command(after_long_help = AFTER_NODES)]
    Nodes(cluster::Nodes),
    #[cfg(feature = "cluster")]
    /// Remove what hugeprobe wrote on Nodes, and the probe pods it left, and nothing else
    Cleanup(cluster::Cleanup),
    /// Say what a check is about, why it matters and what to do, or what a log tells of; without either, list all checks
    #[command(after_long_help = AFTER_EXPLAIN)]
    Explain(Explain),
    /// Print the JSON schema of what `check -o json` prints
    Schema,
    /// A worker process of `check` or `walk`
    #[command(hide = true)]
    Worker {
        /// JSON
        assignment: String,
    },
    /// The worker process of `frontend` or `backend`
    #[command(hide = true)]
    Role {
        /// JSON
        assignment: String,
    },
    /// One of the two containers of a probe pod
    #[command(hide = true)]
    Container(container::Container),
    /// The process that gives back the pages of --reserve
    #[command(hide = true)]
    Guardian {
        /// Tells this run from others
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

    /// Use files of this hugetlbfs [default: anonymous memory, and a memfd to share]
    #[arg(long, value_name = "HUGETLBFS")]
    pub dir: Option<String>,

    /// Wait for Enter before each step, so that you can look with grep in another terminal
    #[arg(long)]
    pub pause: bool,

    /// Add pages to the pool for the run, and give them back however it ends (root, on the host)
    #[arg(long, value_name = "SIZE=PAGES[@numaN]")]
    pub reserve: Vec<PageCount>,

    /// Allow --reserve to take more than half of the available memory
    #[arg(long, requires = "reserve")]
    pub reserve_over_half: bool,

    /// The cgroup that the frontend joins, to see who pays for which page: a directory with hugetlb files
    #[arg(long, value_name = "DIR")]
    pub frontend_cgroup: Option<String>,

    /// The cgroup that the backend joins
    #[arg(long, value_name = "DIR")]
    pub backend_cgroup: Option<String>,
}

/// Where a role and its peer meet, and until when.
#[derive(Debug, Arguments)]
pub struct Meeting {
    /// The socket where the two meet
    #[arg(long, value_name = "PATH")]
    pub socket: PathBuf,

    /// Make the socket and wait there for the peer [default: connect to it, waiting until somebody listens]
    #[arg(long)]
    pub listen: bool,

    /// Give up after so many seconds, waiting for the peer included; 0 for never
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=31_536_000))]
    pub deadline: u64,
}

/// `frontend`.
#[derive(Debug, Arguments)]
pub struct Frontend {
    /// Where the peer is.
    #[command(flatten)]
    pub meeting: Meeting,

    /// The page size [default: the smallest with as many pages to be had]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<PageSize>,

    /// How many pages to share, in two regions from two on
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=16))]
    pub pages: u64,

    /// Take the pages from this hugetlbfs, as QEMU's memory-backend-file does [default: memfd]
    #[arg(long, value_name = "HUGETLBFS")]
    pub dir: Option<String>,

    /// How many frames to send; with --peer source and bounce, to wait for
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: u64,

    /// The length of a frame, bytes, without its checksum
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u16).range(60..=1518))]
    pub frame_size: u16,

    /// What the backend does with frames
    #[arg(long, value_enum, value_name = "MODE", default_value_t)]
    pub peer: Mode,

    /// How many frames may be under way at once; with 1, round trips are timed
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

    /// The page size to insist on [default: huge pages of any size]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<PageSize>,

    /// End after so many frames [default: when the frontend hangs up]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,

    /// The length of a frame that is made here, bytes, without its checksum
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u16).range(60..=1518))]
    pub frame_size: u16,

    /// How to wait for the peer
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub wait: Wait,
}

/// `--wait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Wait {
    /// Look for a moment, then sleep until notified
    #[default]
    Both,
    /// Look over and over: the fastest, and a CPU's work
    Poll,
    /// Sleep until notified
    Sleep,
}

/// `--mode` of a backend, and what a frontend is told of it by `--peer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Mode {
    /// Each frame is sent back
    #[default]
    Echo,
    /// Frames are taken, and looked at if they are hugeprobe's
    Sink,
    /// Frames are made and sent
    Source,
    /// Frames are made and sent, and the frontend sends each back
    Bounce,
}

/// `explain`.
#[derive(Debug, Arguments)]
pub struct Explain {
    /// A check's id: HP105
    pub check: Option<CheckId>,

    /// Say what a log tells of: what DPDK, QEMU, Open vSwitch or the kernel printed; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    pub log: Option<PathBuf>,
}

/// `--workload`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum WorkloadName {
    /// A DPDK process: testpmd, OVS-DPDK, VPP
    #[default]
    Dpdk,
    /// QEMU with memory-backend-file or memory-backend-memfd
    Qemu,
}

/// `--fail-on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum FailOn {
    /// Warnings exit 1 as well
    Warn,
    /// Warnings exit 0
    #[default]
    Fail,
}

impl From<WorkloadName> for Workload {
    fn from(name: WorkloadName) -> Self {
        match name {
            WorkloadName::Dpdk => Self::Dpdk,
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
}
