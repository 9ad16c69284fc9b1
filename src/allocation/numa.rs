//! How to get pages from one NUMA node: mbind, or, where that is forbidden (containers' default seccomp profile), by
//! running on a CPU of the node, whose first touch takes from there as long as it has pages.

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::explain::{error_name, mems_allowed};
use crate::linux::errno::{is, named};
use crate::linux::list::parse_list;
use crate::linux::map::Mapping;
use crate::linux::root::HostRoot;

/// How pages of one node are asked for. Dropping it lets this thread run everywhere again.
#[derive(Debug)]
pub(super) enum Way {
    /// The mapping is bound: the kernel gives pages of the node or none.
    Bound,
    /// This thread runs on the node: the kernel prefers its pages.
    RunningThere {
        /// Where it could run before.
        before: CpuSet,
    },
}

/// Why pages of a node could not be asked for.
#[derive(Debug)]
pub(super) enum NoWay {
    /// The kernel says that there is no such node, or none for this process.
    Refused(String),
    /// Nobody could ask the kernel.
    Unasked(String),
}

impl Way {
    /// Asks for pages of `node` for `mapping`.
    ///
    /// # Errors
    ///
    /// See [`NoWay`].
    pub(super) fn to(node: u32, mapping: &Mapping) -> Result<Self, NoWay> {
        match mapping.bind(node) {
            Ok(()) => Ok(Self::Bound),
            Err(error) if is(&error, Errno::EPERM) || is(&error, Errno::ENOSYS) => Self::run_on(node)
                .map_err(|why| {
                    NoWay::Unasked(format!("mbind is forbidden ({}), and {why}", error_name(&error)))
                }),
            Err(error) => Err(NoWay::Refused(format!(
                "no memory of node{node} for this process: mbind: {}; {}",
                named(&error),
                mems_allowed()
            ))),
        }
    }

    /// The call behind it.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Bound => "mbind",
            Self::RunningThere { .. } => "sched_setaffinity and first touch",
        }
    }

    fn run_on(node: u32) -> Result<Self, String> {
        let failed = |call: &str| {
            let call = call.to_owned();
            move |errno: Errno| format!("{call}: {errno:?}")
        };
        let this = Pid::from_raw(0);
        let before = sched_getaffinity(this).map_err(failed("sched_getaffinity"))?;
        let list =
            HostRoot::default().parsed(format!("/sys/devices/system/node/node{node}/cpulist"), parse_list);
        let cpus = list.known().ok_or_else(|| format!("the CPUs of node{node} are not known"))?;
        let mut there = CpuSet::new();
        let mut any = false;
        for cpu in cpus.iter().filter_map(|cpu| usize::try_from(*cpu).ok()) {
            if before.is_set(cpu) == Ok(true) {
                any |= there.set(cpu).is_ok();
            }
        }
        if !any {
            return Err(format!("this process may run on no CPU of node{node}"));
        }
        sched_setaffinity(this, &there).map_err(failed("sched_setaffinity"))?;
        Ok(Self::RunningThere { before })
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if let Self::RunningThere { before } = self {
            // Where the rest of the worker runs changes no result.
            let _ = sched_setaffinity(Pid::from_raw(0), before);
        }
    }
}
