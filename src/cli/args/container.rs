//! The options of `container`.

use std::path::PathBuf;

use clap::{Args as Arguments, ValueEnum};

use super::WorkloadName;
use hugeprobe_domain::compact::Run;
use hugeprobe_domain::request::PageCount;
use hugeprobe_domain::size::PageSize;

/// `container`.
#[derive(Debug, Arguments)]
pub struct Container {
    /// Which of the two containers this is
    #[arg(value_enum)]
    pub role: Role,

    /// The page size
    #[arg(long, value_name = "SIZE")]
    pub size: PageSize,

    /// How many pages of it each container may have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub pages: u64,

    /// Only the frontend may have pages: the pod has only one
    #[arg(long)]
    pub frontend_pays: bool,

    /// The hugetlbfs that both containers have
    #[arg(long, value_name = "HUGETLBFS")]
    pub dir: String,

    /// The directory with the socket of the two
    #[arg(long, value_name = "DIR")]
    pub rendezvous: PathBuf,

    /// The name of the run: the pod's uid
    #[arg(long, value_name = "NAME", required_unless_present = "rounds", conflicts_with = "rounds")]
    pub run: Option<Run>,

    /// The file for the message: the termination log
    #[arg(long, value_name = "FILE", required_unless_present = "rounds", conflicts_with = "rounds")]
    pub report: Option<PathBuf>,

    /// Keep running, and do a round whenever one is requested in this directory
    #[arg(long, value_name = "DIR")]
    pub rounds: Option<PathBuf>,

    /// The workload for which the limits are judged
    #[arg(long, value_enum, default_value_t)]
    pub workload: WorkloadName,

    /// How long a run may take
    #[arg(long, value_name = "SECONDS", default_value_t = 55, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,

    /// What a workload needs: all of it is allocated and given back
    #[arg(long, value_name = "SIZE=PAGES[@numaN]")]
    pub need: Vec<PageCount>,

    /// The socket of the node's vswitch, which the frontend checks too, or the device metadata file that names it
    #[arg(long, value_name = "SOCKET")]
    pub peer: Option<String>,

    /// Create that socket, and wait until the vswitch connects
    #[arg(long, requires = "peer")]
    pub peer_listen: bool,

    /// The pod runs under the same seccomp profile as the workload
    #[arg(long)]
    pub judge_syscalls: bool,
}

/// Which of the two containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Allocates the pages and owns the memory
    Frontend,
    /// Receives the memory
    Backend,
}
