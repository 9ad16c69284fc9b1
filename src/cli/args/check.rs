//! The options of `check`, and their conversion to a [`Request`].

use std::path::PathBuf;

use clap::Args as Arguments;

use super::{FailOn, WorkloadName};
use hugeprobe_domain::peer::Peer;
use hugeprobe_domain::request::{Expectation, PageCount, Request, Selector};
use hugeprobe_domain::size::PageSize;
use hugeprobe_linux::device_metadata::socket_of;
use hugeprobe_render::Format;

/// What is checked: the options of `check` that make the request.
#[derive(Debug, Arguments)]
pub struct What {
    /// Check only this size [default: every size that has pages or that another option names]
    #[arg(long, value_name = "SIZE")]
    pub size: Vec<PageSize>,

    /// The expected size of the pool, in total or on a NUMA node: 2Mi>=512, 2Mi=512, 1Gi@numa0>=4
    #[arg(long, value_name = "SIZE[@numaN]>=PAGES")]
    pub expect: Vec<Expectation>,

    /// What a workload needs now, in total or on a NUMA node: all of it is allocated and given back
    #[arg(long, value_name = "SIZE=PAGES[@numaN]")]
    pub need: Vec<PageCount>,

    /// The workload for which the limits are judged, see docs/reference/workloads.md
    #[arg(long, value_enum, default_value_t)]
    pub workload: WorkloadName,

    /// Use only files of this hugetlbfs
    #[arg(long, value_name = "HUGETLBFS")]
    pub dir: Option<String>,

    /// Add pages to the pool for the run, and give them back afterwards, even after kill -9 (requires root, on the host)
    #[arg(long, value_name = "SIZE=PAGES[@numaN]")]
    pub reserve: Vec<PageCount>,

    /// Allow --reserve to take more than half of the available memory
    #[arg(long, requires = "reserve")]
    pub reserve_over_half: bool,

    /// The cgroup that the frontend joins, also with --peer, to see which pages are charged to it: a directory with hugetlb files
    #[arg(long, value_name = "DIR")]
    pub frontend_cgroup: Option<String>,

    /// The cgroup that the backend joins
    #[arg(long, value_name = "DIR")]
    pub backend_cgroup: Option<String>,

    /// Check whether this vhost-user backend accepts such pages: the socket of a vswitch port that no workload uses now, or the
    /// metadata.json of a DRA claim that names it
    #[arg(long, value_name = "SOCKET", value_parser = socket_of, help_heading = "Your vswitch")]
    pub peer: Option<String>,

    /// Create the socket of --peer and wait until the vswitch connects (OVS: dpdkvhostuserclient)
    #[arg(long, requires = "peer", help_heading = "Your vswitch")]
    pub peer_listen: bool,

    /// Send this many frames of the local experimental EtherType 0x88B5 to the peer [default: none]
    #[arg(long, value_name = "N", requires = "peer", value_parser = clap::value_parser!(u64).range(1..=1_000_000),
          help_heading = "Your vswitch")]
    pub peer_transmit: Option<u64>,
    /// Additional pages that the frontend needs, in its cgroup
    #[arg(long, value_name = "SIZE=PAGES[@numaN]")]
    pub frontend_need: Vec<PageCount>,

    /// Additional pages that the backend needs, in its cgroup
    #[arg(long, value_name = "SIZE=PAGES[@numaN]")]
    pub backend_need: Vec<PageCount>,

    /// Report only these checks or groups: HP105, HP5. The verdict is then about them, not about the workload
    #[arg(long, value_name = "CHECK")]
    pub only: Vec<Selector>,

    /// Also measure bandwidth and how much faster huge pages are; takes some seconds and more pages
    #[arg(long)]
    pub measure: bool,
}

/// `check`.
#[derive(Debug, Arguments)]
pub struct Check {
    /// What is checked.
    #[command(flatten)]
    pub what: What,

    #[cfg_attr(
        feature = "support",
        doc = "The format of the report: table, short, json (see `hugeprobe schema`), junit or html"
    )]
    #[cfg_attr(
        not(feature = "support"),
        doc = "The format of the report: table, short, json (see `hugeprobe schema`) or junit"
    )]
    #[arg(short, long, value_name = "FORM", default_value_t)]
    pub output: Format,

    /// Show each finding with its facts and remedy, and each skipped check with its reason
    #[arg(short, long)]
    pub verbose: bool,

    /// Show only the verdict and its first cause
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,

    /// The least verdict with a nonzero exit code
    #[arg(long, value_enum, value_name = "VERDICT", default_value_t)]
    pub fail_on: FailOn,

    #[cfg_attr(
        feature = "support",
        doc = "Judge the tree of /proc and /sys in this bundle or directory instead of this machine; no allocation is tried"
    )]
    #[cfg_attr(
        not(feature = "support"),
        doc = "Judge the tree of /proc and /sys under this directory instead of this machine; no allocation is tried"
    )]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["reserve", "dir", "measure", "frontend_cgroup", "backend_cgroup", "peer"])]
    pub root: Option<PathBuf>,
}

// === impl What ===

impl From<&What> for Request {
    fn from(options: &What) -> Self {
        // Destructured, so that the compiler rejects an option that is not used here.
        let What {
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

/// `bundle`.
#[cfg(feature = "support")]
#[derive(Debug, Arguments)]
pub struct Bundle {
    /// What is checked.
    #[command(flatten)]
    pub what: What,

    /// The file to write; it must not exist
    #[arg(short, long, value_name = "FILE", default_value = "hugeprobe-bundle.tar")]
    pub output: PathBuf,
}
