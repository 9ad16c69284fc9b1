//! What can be typed. Validation of each value is its type's; of values together, [`Request::validate`]'s.

use std::path::PathBuf;

use clap::{Args as Arguments, Parser, Subcommand, ValueEnum};

use crate::domain::check::CheckId;
use crate::domain::request::{Expectation, PageCount, Request, Selector, Workload};
use crate::domain::size::PageSize;
use crate::render::Format;

/// Tells whether this machine's huge pages will carry a vhost-user workload, by doing what the workload does.
#[derive(Debug, Parser)]
#[command(name = "hugeprobe", version, propagate_version = true, arg_required_else_help = true)]
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
    /// Say what a check is about, why it matters and what to do; without a check, list them all
    Explain(Explain),
    /// A worker process of `check` or `walk`
    #[command(hide = true)]
    Worker {
        /// JSON
        assignment: String,
    },
    /// The process that gives back the pages of --reserve
    #[command(hide = true)]
    Guardian {
        /// JSON
        assignment: String,
    },
}

const AFTER_CHECK: &str = "\
Exit codes:
  0  pass, warnings included (but see --fail-on)
  1  fail, or nothing found to check
  2  what was typed cannot be done
  3  it could not be told

Examples:
  hugeprobe check                                  whatever is there
  hugeprobe check --need 2Mi=512@numa0             could a workload of 512 pages on NUMA node 0 start now?
  hugeprobe check --expect '1Gi@numa1>=4' -o json  is the pool what it should be? for a script
  hugeprobe check --dir /dev/hugepages             with files of that mount, as DPDK's --huge-dir would
  sudo hugeprobe check --reserve 2Mi=16            add 16 pages for the run, and give them back";

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

    /// Whose limits are judged, see docs/workloads.md
    #[arg(long, value_enum, default_value_t)]
    pub workload: WorkloadName,

    /// Use files of this hugetlbfs, and of no other
    #[arg(long, value_name = "HUGETLBFS")]
    pub dir: Option<String>,

    /// Add pages to the pool for the run, and give them back whatever ends it (root)
    #[arg(long, value_name = "SIZE=PAGES[@numaN]")]
    pub reserve: Vec<PageCount>,

    /// The cgroup that the frontend joins, to see who pays for which page: a directory with hugetlb files
    #[arg(long, value_name = "DIR")]
    pub frontend_cgroup: Option<String>,

    /// The cgroup that the backend joins
    #[arg(long, value_name = "DIR")]
    pub backend_cgroup: Option<String>,

    /// Report these checks or groups alone: HP105, HP5. The verdict is then about them, not about the workload
    #[arg(long, value_name = "CHECK")]
    pub only: Vec<Selector>,

    /// Also measure bandwidth and what huge pages buy; takes seconds and more pages
    #[arg(long)]
    pub measure: bool,

    /// How to print the report: table, short, json (docs/report.schema.json) or junit
    #[arg(short, long, value_name = "FORM", default_value_t)]
    pub output: Format,

    /// From which verdict on the exit code is not 0
    #[arg(long, value_enum, value_name = "VERDICT", default_value_t)]
    pub fail_on: FailOn,

    /// Judge the tree of /proc and /sys under this directory instead of this machine; nothing is tried then
    #[arg(long, value_name = "DIR", conflicts_with_all = ["reserve", "dir", "measure", "frontend_cgroup", "backend_cgroup"])]
    pub root: Option<PathBuf>,
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

    /// Use files of this hugetlbfs [default: anonymous memory]
    #[arg(long, value_name = "HUGETLBFS")]
    pub dir: Option<String>,

    /// Wait for Return after each step, so that you can look with grep in another terminal
    #[arg(long)]
    pub pause: bool,

    /// Add pages to the pool for the run, and give them back whatever ends it (root)
    #[arg(long, value_name = "SIZE=PAGES[@numaN]")]
    pub reserve: Vec<PageCount>,
}

/// `explain`.
#[derive(Debug, Arguments)]
pub struct Explain {
    /// A check's id: HP105
    pub check: Option<CheckId>,
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
            frontend_cgroup,
            backend_cgroup,
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
            workload: match workload {
                WorkloadName::Dpdk => Workload::Dpdk,
                WorkloadName::Qemu => Workload::Qemu,
            },
            directory: dir.clone(),
            only: only.clone(),
            measure: *measure,
            frontend_cgroup: frontend_cgroup.clone(),
            backend_cgroup: backend_cgroup.clone(),
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
