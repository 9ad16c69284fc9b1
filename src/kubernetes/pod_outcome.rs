//! Reads the status of a probe pod: whether the pod is pending, running or has ended, and how it ended.
//!
//! A pod can end in three ways:
//!
//! - It ran. The reports of its containers, or their absence, are evidence.
//! - It could not run because other pods have the pages, the CPU or the pod slots. The node is busy, and this is not
//!   evidence about the node.
//! - It could not run for another reason. The result is unknown.
//!
//! Reasons are short, and equal causes give equal texts, because reasons are published and a Node is only written
//! when something has changed.

mod containers;
#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};

use hugeprobe_domain::text::line;
use hugeprobe_probe::container::Terminated;

/// The stage of a pod's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Not scheduled because a resource is missing. The pod may still be scheduled.
    Pending {
        /// The end that is recorded if the pod stays pending for too long.
        if_it_lasts: End,
    },
    /// Scheduled, but its containers are not both running yet.
    Starting {
        /// Why a container does not start, if the kubelet gives a reason.
        stuck: Option<String>,
    },
    /// Its containers are running, or one is running and the other has ended.
    Running,
    /// The pod has ended.
    Ended(End),
}

/// How a pod ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Both containers ran and ended. The frontend is first.
    Reported(Box<[Terminated; 2]>),
    /// Other pods use a resource that the probe pod needs.
    Busy {
        /// The missing resource.
        lacks: Lack,
        /// The missing resource as a short text.
        why: String,
    },
    /// The pod waits for its turn. The text says for what.
    Waiting(String),
    /// The pod could not run to its end for another reason.
    Unknown(String),
}

/// What a probe pod lacks on a busy node. If it lacks several resources, the first in this order is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// Huge pages.
    Pages,
    /// Pages, CPU and memory on one NUMA node.
    Numa,
    /// CPU.
    Cpu,
    /// Memory.
    Memory,
    /// A slot for another pod on the node.
    Pods,
    /// Another resource.
    Other,
    /// It was preempted by another pod.
    Preempted,
    /// It was evicted.
    Evicted,
    /// The pod no longer exists and this agent did not delete it. It was preempted before it ran, or another client
    /// deleted it.
    Deleted,
}

/// The most characters that are kept of a reason from another program.
pub const KEPT: usize = 80;

/// Returns the stage of a pod according to its status.
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

/// Returns the end of a pod that disappeared before it was seen to end, if this agent did not delete it.
#[must_use]
pub fn gone() -> End {
    // A pod that is preempted before it runs is deleted, so its disappearance is the only sign.
    Lack::Deleted.busy("the probe pod was preempted or deleted")
}

/// Returns the end of a pod that was preempted or evicted, or whose node is shutting down.
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

/// Returns the end of a pod that the kubelet rejected, or ended before its containers had ended.
fn refused(status: Option<&PodStatus>) -> Option<End> {
    let status = status.filter(|status| status.phase.as_deref() == Some("Failed"))?;
    Some(match status.reason.as_deref()? {
        "" => return None,
        // The kubelet has allocated all of a resource: OutOfhugepages-1Gi, OutOfcpu, OutOfpods.
        reason if reason.starts_with("OutOf") => Lack::of(reason.trim_start_matches("OutOf")).busy(reason),
        // The free resources do not fit on one NUMA node.
        "TopologyAffinityError" => {
            Lack::Numa.busy("TopologyAffinityError: no single NUMA node has the resources now")
        }
        // kubernetes/pkg/kubelet/cm/memorymanager/policy_static.go: each of its errors begins with this word.
        "UnexpectedAdmissionError"
            if status.message.as_deref().is_some_and(|text| text.contains("[memorymanager]")) =>
        {
            Lack::Numa.busy("UnexpectedAdmissionError: the memory manager finds no NUMA node for the pod")
        }
        "DeadlineExceeded" => End::Unknown("DeadlineExceeded: the pod exceeded its time limit".to_owned()),
        // For example UnexpectedAdmissionError, NodeAffinity, AppArmor or SysctlForbidden.
        reason => End::Unknown(line(&format!("{reason}: refused by the kubelet"), KEPT)),
    })
}

/// Returns why a pod is not scheduled, or `None` if it is scheduled.
fn unscheduled(status: Option<&PodStatus>) -> Option<End> {
    let scheduled = condition(status, "PodScheduled");
    let Some(scheduled) = scheduled else {
        // No scheduler has processed the pod yet.
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
        // A pod that lacks both pages and CPU counts as lacking pages, because the probe is about pages.
        lacks.min().unwrap_or(Lack::Other).busy(&lacking.join(", "))
    } else if message.contains("Too many pods") {
        Lack::Pods.busy("Too many pods")
    } else {
        let reason = scheduled.reason.as_deref().unwrap_or("not scheduled");
        End::Unknown(line(&format!("{reason}: the scheduler finds no suitable node"), KEPT))
    })
}

const INSUFFICIENT: &str = "Insufficient ";

/// Returns the missing resources that a scheduler's message names, sorted and without duplicates.
///
/// For example, it returns `Insufficient hugepages-1Gi` for the message
/// `0/3 nodes are available: 1 Insufficient hugepages-1Gi, 2 node(s) didn't match ...`.
/// The rest of the message is dropped because its numbers change with the cluster.
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
    /// Returns the value of the metrics' label.
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

    /// Returns the variant for the name of a resource.
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

/// Returns whether the pod's containers no longer hold any resource: the pod has ended, or its containers were never
/// started.
#[must_use]
pub fn is_over(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded")) || containers::terminated(status).is_some()
}
