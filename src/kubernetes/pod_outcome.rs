//! What a probe pod's status says: whether it waits, runs or has ended, and how.
//!
//! There are three kinds of end. It ran, and its containers left a report or did not: that is evidence. It could not run
//! because another pod has the pages, the CPU or the place: the node is busy, which says nothing about it. It could not
//! run for any other reason: the result is unknown.
//!
//! Reasons are short and the same for the same cause: they are published, and a Node is written only when something changed.

mod containers;
#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};

use crate::domain::text::line;
use crate::probe::container::Terminated;

/// What a pod is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Not scheduled, because something is lacking; it may still be scheduled.
    Pending {
        /// What that means if it lasts.
        if_it_lasts: End,
    },
    /// Scheduled; its containers are not both running yet.
    Starting {
        /// Why a container does not start, if the kubelet says so.
        stuck: Option<String>,
    },
    /// Its containers run, or one does and the other has ended.
    Running,
    /// It ended.
    Ended(End),
}

/// How a pod ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Both containers ran and ended; frontend first.
    Reported(Box<[Terminated; 2]>),
    /// Other pods have what it needs.
    Busy {
        /// What it lacks.
        lacks: Lack,
        /// The same in words.
        why: String,
    },
    /// It waits for its turn; for what.
    Waiting(String),
    /// It could not run to its end, for another reason.
    Unknown(String),
}

/// What a probe pod lacks on a busy node; of two, the first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// Huge pages.
    Pages,
    /// Pages and CPU on one NUMA node.
    Numa,
    /// CPU.
    Cpu,
    /// Memory.
    Memory,
    /// Room for another pod.
    Pods,
    /// Another resource.
    Other,
    /// It had to make way for another pod.
    Preempted,
    /// It was evicted.
    Evicted,
    /// It is gone, and this agent did not delete it: it was preempted before it ran, or another client deleted it.
    Deleted,
}

/// How much is kept of a reason from another program, in characters.
pub const KEPT: usize = 80;

/// What a pod is doing, by its status.
#[must_use]
pub fn stage(pod: &Pod) -> Stage {
    let status = pod.status.as_ref();
    let terminated = containers::terminated(status);
    let whole = terminated.as_ref().is_some_and(|both| both.iter().all(|one| one.message.is_some()));
    if !whole && let Some(end) = pushed_out(pod, status).or_else(|| refused(status)) {
        return Stage::Ended(end);
    }
    if let Some(both) = terminated {
        return Stage::Ended(End::Reported(Box::new(both)));
    }
    if matches!(status.and_then(|status| status.phase.as_deref()), Some("Failed" | "Succeeded")) {
        return Stage::Ended(End::Unknown("the pod ended before its containers ran".to_owned()));
    }
    if let Some(end) = unscheduled(status) {
        return Stage::Pending { if_it_lasts: end };
    }
    if containers::any_started(status) && containers::stuck(status).is_none() {
        return Stage::Running;
    }
    Stage::Starting { stuck: containers::stuck(status) }
}

/// What it means that a pod is gone before it was seen to end, and this agent did not delete it.
#[must_use]
pub fn gone() -> End {
    // A pod that was preempted before it ran leaves no trace but this.
    Lack::Deleted.busy("the probe pod was preempted or deleted")
}

/// A pod that had to make way: preempted, evicted, or on a node that shuts down.
fn pushed_out(pod: &Pod, status: Option<&PodStatus>) -> Option<End> {
    let reason = status.and_then(|status| status.reason.as_deref()).unwrap_or_default();
    match reason {
        "Preempting" | "Preempted" => return Some(Lack::Preempted.busy("preempted")),
        "Evicted" => return Some(Lack::Evicted.busy("evicted")),
        "NodeShutdown" | "Shutdown" | "Terminated" | "NodeLost" => {
            return Some(End::Unknown(format!("the node is shutting down ({reason})")));
        }
        _ => {}
    }
    let disrupted = condition(status, "DisruptionTarget").filter(|condition| condition.status == "True");
    match disrupted.map(|condition| condition.reason.as_deref().unwrap_or_default()) {
        Some("PreemptionByScheduler") => Some(Lack::Preempted.busy("preempted")),
        Some("TerminationByKubelet" | "EvictionByEvictionAPI") => Some(Lack::Evicted.busy("evicted")),
        Some("DeletionByTaintManager") => Some(Lack::Evicted.busy("evicted by a taint")),
        Some(other) => Some(Lack::Evicted.busy(&format!("disrupted: {other}"))),
        None => pod.metadata.deletion_timestamp.as_ref().map(|_| gone()),
    }
}

/// A pod that the kubelet did not take, or ended before its containers did.
fn refused(status: Option<&PodStatus>) -> Option<End> {
    let status = status.filter(|status| status.phase.as_deref() == Some("Failed"))?;
    Some(match status.reason.as_deref()? {
        "" => return None,
        // The kubelet's books are full: OutOfhugepages-1Gi, OutOfcpu, OutOfpods.
        reason if reason.starts_with("OutOf") => Lack::of(reason.trim_start_matches("OutOf")).busy(reason),
        // What is left does not fit on one NUMA node.
        "TopologyAffinityError" => {
            Lack::Numa.busy("TopologyAffinityError: no single NUMA node has the resources now")
        }
        "DeadlineExceeded" => End::Unknown("DeadlineExceeded: the pod exceeded its time limit".to_owned()),
        // UnexpectedAdmissionError, NodeAffinity, AppArmor, SysctlForbidden, ...
        reason => End::Unknown(line(&format!("{reason}: refused by the kubelet"), KEPT)),
    })
}

/// Why a pod is not scheduled, if it is not.
fn unscheduled(status: Option<&PodStatus>) -> Option<End> {
    let scheduled = condition(status, "PodScheduled");
    let Some(scheduled) = scheduled else {
        // Not seen by any scheduler yet.
        return (!containers::any_known(status))
            .then(|| End::Waiting("no scheduler has processed the pod".to_owned()));
    };
    if scheduled.status == "True" {
        return None;
    }
    let message = scheduled.message.as_deref().unwrap_or_default();
    let lacking = lacking(message);
    Some(if !lacking.is_empty() {
        let lacks = lacking.iter().map(|text| Lack::of(text.trim_start_matches(INSUFFICIENT)));
        // One that lacks pages and CPU lacks pages: those are what it is for.
        lacks.min().unwrap_or(Lack::Other).busy(&lacking.join(", "))
    } else if message.contains("Too many pods") {
        Lack::Pods.busy("Too many pods")
    } else {
        let reason = scheduled.reason.as_deref().unwrap_or("not scheduled");
        End::Unknown(line(&format!("{reason}: the scheduler finds no suitable node"), KEPT))
    })
}

const INSUFFICIENT: &str = "Insufficient ";

/// `Insufficient hugepages-1Gi` out of `0/3 nodes are available: 1 Insufficient hugepages-1Gi, 2 node(s) didn't match ...`:
/// the numbers change with the cluster.
fn lacking(message: &str) -> Vec<String> {
    let mut lacking: Vec<String> = message
        .match_indices(INSUFFICIENT)
        .filter_map(|(at, _)| message.get(at + INSUFFICIENT.len()..))
        .map(|rest| {
            rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-./".contains(*c)).collect::<String>()
        })
        .map(|resource| format!("{INSUFFICIENT}{}", resource.trim_end_matches('.')))
        .collect();
    lacking.sort_unstable();
    lacking.dedup();
    lacking
}

// === impl Lack ===

impl Lack {
    /// As the metrics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pages => "pages",
            Self::Numa => "numa",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Pods => "pods",
            Self::Other => "other",
            Self::Preempted => "preempted",
            Self::Evicted => "evicted",
            Self::Deleted => "deleted",
        }
    }

    /// By the name of a resource.
    fn of(resource: &str) -> Self {
        match resource {
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            "pods" => Self::Pods,
            _ if resource.starts_with("hugepages-") => Self::Pages,
            _ => Self::Other,
        }
    }

    fn busy(self, why: &str) -> End {
        End::Busy { lacks: self, why: line(why, KEPT) }
    }
}

fn condition<'a>(status: Option<&'a PodStatus>, name: &str) -> Option<&'a PodCondition> {
    status?.conditions.as_ref()?.iter().find(|condition| condition.type_ == name)
}

/// Whether its containers hold nothing any more: it ended, or never began.
#[must_use]
pub fn is_over(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded")) || containers::terminated(status).is_some()
}
