//! What `check` takes, and the request that it makes of it.

use std::path::PathBuf;

use clap::Args as Arguments;

use super::{FailOn, WorkloadName};
use crate::domain::peer::Peer;
use crate::domain::request::{Expectation, PageCount, Request, Selector};
use crate::domain::size::PageSize;
use crate::render::Format;

/// `check`.
#[derive(Debug, Arguments)]
pub struct Check {
    /// Look at this size only [default: every size with pages, or that another option names]
    #[arg(long, value_name = "SIZE")]
    pub size: Vec<PageSize>,

    /// What should be configured, in total or on a NUMA node: 2Mi>=512, 2Mi=512, 1Gi@numa0>=4
    #[arg(long, value_name = "SIZE[@numaN]>=PAGES")]
    pub expect: Vec<Expectation>,

    /// What a workload needs here and now: all of it is taken and given back, in total or on a NUMA node
    #[arg(long, value_name = "SIZE=PAGES[@numaN]")]
    pub need: Vec<PageCount>,

    /// Whose limits are judged, see docs/reference/workloads.md
    #[arg(long, value_enum, default_value_t)]
    pub workload: WorkloadName,

    /// Use files of this hugetlbfs, and of no other
    #[arg(long, value_name = "HUGETLBFS")]
    pub dir: Option<String>,

    /// Add pages to the pool for the run, and give them back however it ends (root, on the host)
    #[arg(long, value_name = "SIZE=PAGES[@numaN]")]
    pub reserve: Vec<PageCount>,

    /// Allow --reserve to take more than half of the available memory
    #[arg(long, requires = "reserve")]
    pub reserve_over_half: bool,

    /// The cgroup that the frontend joins, that of --peer too, to see who pays for which page: a directory with hugetlb files
    #[arg(long, value_name = "DIR")]
    pub frontend_cgroup: Option<String>,

    /// The cgroup that the backend joins
    #[arg(long, value_name = "DIR")]
    pub backend_cgroup: Option<String>,

    /// Ask this vhost-user backend whether it takes such pages: the socket of a vswitch's port that no workload uses now
    #[arg(long, value_name = "SOCKET", help_heading = "A vswitch of yours")]
    pub peer: Option<String>,

    /// Make the socket of --peer and wait until the vswitch connects (OVS: dpdkvhostuserclient)
    #[arg(long, requires = "peer", help_heading = "A vswitch of yours")]
    pub peer_listen: bool,

    /// Send it so many frames of the local experimental EtherType 0x88B5; without it, none
    #[arg(long, value_name = "N", requires = "peer", value_parser = clap::value_parser!(u64).range(1..=1_000_000),
          help_heading = "A vswitch of yours")]
    pub peer_transmit: Option<u64>,
    /// What the frontend needs of its own, in its cgroup, beside what else is needed
    #[arg(long, value_name = "SIZE=PAGES[@numaN]")]
    pub frontend_need: Vec<PageCount>,

    /// What the backend needs of its own, in its cgroup
    #[arg(long, value_name = "SIZE=PAGES[@numaN]")]
    pub backend_need: Vec<PageCount>,

    /// Report these checks or groups alone: HP105, HP5. The verdict is then about them, not about the workload
    #[arg(long, value_name = "CHECK")]
    pub only: Vec<Selector>,

    /// Also measure bandwidth and what huge pages buy; takes seconds and more pages
    #[arg(long)]
    pub measure: bool,

    /// How to print the report: table, short, json (see `hugeprobe schema`) or junit
    #[arg(short, long, value_name = "FORM", default_value_t)]
    pub output: Format,

    /// From which verdict on the exit code is not 0
    #[arg(long, value_enum, value_name = "VERDICT", default_value_t)]
    pub fail_on: FailOn,

    /// Judge the tree of /proc and /sys under this directory instead of this machine; nothing is tried then
    #[arg(long, value_name = "DIR", conflicts_with_all = ["reserve", "dir", "measure", "frontend_cgroup", "backend_cgroup", "peer"])]
    pub root: Option<PathBuf>,
}

// === impl Check ===

impl From<&Check> for Request {
    fn from(options: &Check) -> Self {
        // Taken apart, so that an option that nobody reads does not compile.
        let Check {
            size,
            expect,
            need,
            workload,
            dir,
            reserve,
            reserve_over_half,
            frontend_cgroup,
            backend_cgroup,
            peer,
            peer_listen,
            peer_transmit,
            frontend_need,
            backend_need,
            only,
            measure,
            output: _,
            fail_on: _,
            root: _,
        } = options;
        Self {
            sizes: size.clone(),
            expect: expect.clone(),
            need: need.clone(),
            reserve: reserve.clone(),
            reserve_over_half: *reserve_over_half,
            workload: (*workload).into(),
            directory: dir.clone(),
            only: only.clone(),
            measure: *measure,
            frontend_cgroup: frontend_cgroup.clone(),
            backend_cgroup: backend_cgroup.clone(),
            peer: peer.as_ref().map(|socket| Peer {
                socket: socket.clone(),
                listen: *peer_listen,
                transmit: peer_transmit.unwrap_or(0),
            }),
            frontend_need: frontend_need.clone(),
            backend_need: backend_need.clone(),
        }
    }
}
