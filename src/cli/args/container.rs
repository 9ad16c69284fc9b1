//! What `container` takes.

use std::path::PathBuf;

use clap::{Args as Arguments, ValueEnum};

use super::WorkloadName;
use crate::domain::compact::Run;
use crate::domain::request::PageCount;
use crate::domain::size::PageSize;

/// `container`.
#[derive(Debug, Arguments)]
pub struct Container {
    /// Which of the two
    #[arg(value_enum)]
    pub role: Role,

    /// The page size
    #[arg(long, value_name = "SIZE")]
    pub size: PageSize,

    /// How many pages of it each container may have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub pages: u64,

    /// Only the frontend may have pages: there is but one
    #[arg(long)]
    pub frontend_pays: bool,

    /// The hugetlbfs that both containers have
    #[arg(long, value_name = "HUGETLBFS")]
    pub dir: String,

    /// The directory where the two meet
    #[arg(long, value_name = "DIR")]
    pub rendezvous: PathBuf,

    /// The name of the run: the pod's uid
    #[arg(long, value_name = "NAME", required_unless_present = "rounds", conflicts_with = "rounds")]
    pub run: Option<Run>,

    /// The file for the message: the termination log
    #[arg(long, value_name = "FILE", required_unless_present = "rounds", conflicts_with = "rounds")]
    pub report: Option<PathBuf>,

    /// Stay, and do a round whenever one is asked for in this directory
    #[arg(long, value_name = "DIR")]
    pub rounds: Option<PathBuf>,

    /// Whose limits are judged
    #[arg(long, value_enum, default_value_t)]
    pub workload: WorkloadName,

    /// How long a run may take
    #[arg(long, value_name = "SECONDS", default_value_t = 55, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,

    /// What a workload needs: all of it is taken and given back
    #[arg(long, value_name = "SIZE=PAGES[@numaN]")]
    pub need: Vec<PageCount>,

    /// The socket of the node's vswitch, which the frontend asks too
    #[arg(long, value_name = "SOCKET")]
    pub peer: Option<String>,

    /// Make that socket, and wait until the vswitch connects
    #[arg(long, requires = "peer")]
    pub peer_listen: bool,

    /// The pod runs under the seccomp profile that the workload runs under
    #[arg(long)]
    pub judge_syscalls: bool,
}

/// Which of the two containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Takes the pages and owns the memory
    Frontend,
    /// Is handed the memory
    Backend,
}
