//! Requests pages from one NUMA node.
//!
//! This uses mbind. Where mbind is forbidden (the default seccomp profile of containers), the thread runs on a CPU of
//! the node instead: its first touch allocates a page from that node as long as the node has free pages.

use nix::errno::Errno;

use super::explain::error_name;
use super::nodes::AllowedNodes;
use hugeprobe_linux::errno::{is, named};
use hugeprobe_linux::map::{CpuMask, Mapping, memory_policy};
use hugeprobe_linux::pools;
use hugeprobe_linux::root::HostRoot;

/// `MPOL_DEFAULT` and `MPOL_LOCAL` of set_mempolicy(2): the first touch allocates from the node of the CPU.
const LOCAL_POLICIES: [i32; 2] = [0, 4];

/// How pages of one node are requested. Dropping this lets the thread run on its former CPUs again.
#[derive(Debug)]
pub(super) enum NodeBinding {
    /// mbind: the kernel allocates pages of the node or fails.
    Mbind,
    /// This thread runs on a CPU of the node, and the kernel prefers pages of that node.
    FirstTouch {
        /// The CPUs that this thread could run on before.
        before: Box<CpuMask>,
    },
}

/// Why pages of a node could not be requested.
#[derive(Debug)]
pub(super) enum NodeBindingError {
    /// The node is not in this process's `Mems_allowed_list`.
    NotAllowed(String),
    /// The kernel refuses the node.
    Refused(String),
    /// This process can use neither method.
    NoMeans(String),
}

// === impl NodeBinding ===

impl NodeBinding {
    /// Requests pages of `node` for `mapping`.
    ///
    /// # Errors
    ///
    /// See [`NodeBindingError`].
    pub(super) fn new(
        node: u32,
        mapping: &Mapping,
        allowed: &AllowedNodes,
    ) -> Result<Self, NodeBindingError> {
        if !allowed.has(node) {
            let why = format!("this process may not use memory of node{node}: {allowed}");
            return Err(NodeBindingError::NotAllowed(why));
        }
        match mapping.bind(node) {
            Ok(()) => Ok(Self::Mbind),
            Err(error) if is(&error, Errno::EPERM) || is(&error, Errno::ENOSYS) => {
                run_on(node).map_err(|why| {
                    NodeBindingError::NoMeans(format!(
                        "mbind is forbidden ({}), and {why}",
                        error_name(&error)
                    ))
                })
            }
            Err(error) => Err(NodeBindingError::Refused(format!(
                "this process may not use memory of node{node}: mbind: {}; {allowed}",
                named(&error)
            ))),
        }
    }

    /// Returns the name of the method.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Mbind => "mbind",
            Self::FirstTouch { .. } => "sched_setaffinity and first touch",
        }
    }
}

fn run_on(node: u32) -> Result<NodeBinding, String> {
    // This process may have inherited a memory policy, from numactl or from systemd's NUMAPolicy=. The policy then
    // decides where pages are allocated, and not the CPU.
    if let Ok(policy) = memory_policy()
        && !LOCAL_POLICIES.contains(&policy)
    {
        return Err(format!("this process has a memory policy (mode {policy} of set_mempolicy)"));
    }
    let failed = |call: &'static str| move |error| format!("{call}: {}", error_name(&error));
    let before = CpuMask::of_thread().map_err(failed("sched_getaffinity"))?;
    let cpus = pools::cpus(&HostRoot::default(), node);
    let cpus = cpus.known().ok_or_else(|| format!("the CPUs of node{node} are not known"))?;
    let there = before.only(cpus).ok_or_else(|| format!("this process may run on no CPU of node{node}"))?;
    there.set_for_thread().map_err(failed("sched_setaffinity"))?;
    Ok(NodeBinding::FirstTouch { before: Box::new(before) })
}

impl Drop for NodeBinding {
    fn drop(&mut self) {
        if let Self::FirstTouch { before } = self {
            // Ignore errors: no result depends on which CPUs the rest of the worker runs on.
            let _ = before.set_for_thread();
        }
    }
}
