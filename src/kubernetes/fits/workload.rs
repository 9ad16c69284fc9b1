//! Reads a pod, or an object that creates pods, from a file.
//!
//! Sources: the pod template is at `.spec.template.spec` of the kinds of apps/v1 and batch/v1. For a KubeVirt
//! `VirtualMachine`, KubeVirt makes the pod: the number of its huge pages is from `WithMemoryRequests` and
//! `WithHugePages` in KubeVirt's `pkg/virt-controller/services/renderresources.go`, and every such pod selects nodes with
//! the label `kubevirt.io/schedulable=true` (`NodeSchedulable` in KubeVirt's API).

use k8s_openapi::api::core::v1::Toleration;
use serde_json::{Map, Value, json};

use super::scheduler::Placement;
use crate::pod_requests::{Pod, PodRequests};
use crate::quantity::{bytes, in_pages};
use hugeprobe_domain::fit::Pages;

/// The pod that is to be placed.
#[derive(Debug, Clone, Default)]
pub struct Workload {
    /// The pages that it requests, as the scheduler counts them. Sizes without any are left out.
    pub pages: Pages,
    /// The nodes on which it may be placed.
    pub placement: Placement,
}

/// The reason why no pod could be read from a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkloadError {
    /// The text is neither YAML nor JSON.
    #[error("cannot be read as YAML: {0}")]
    Yaml(String),
    /// No document describes a pod.
    #[error("describes no pod: the kinds are {}", KINDS.join(", "))]
    NoPod,
    /// Several documents describe pods.
    #[error("describes several pods: {}; give one of them", .0.join(", "))]
    SeveralPods(Vec<String>),
    /// A field has a value that the API server would refuse, or that another object decides.
    #[error("{object}: {why}")]
    Field {
        /// The kind and the name of the object.
        object: String,
        /// What is wrong.
        why: String,
    },
}

/// The kinds that are read.
const KINDS: [&str; 8] = [
    "Pod",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "VirtualMachine",
    "VirtualMachineInstance",
];

/// The taints that every pod of a DaemonSet tolerates.
///
/// Source: `AddOrUpdateDaemonPodTolerations` in kubernetes/pkg/controller/daemon/util; the one of `network-unavailable`
/// is for pods with `hostNetwork`.
const DAEMON_TAINTS: [&str; 6] =
    ["not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"];

// === impl Workload ===

impl Workload {
    /// Reads the one pod that `text`, YAML or JSON of one or more documents, describes.
    ///
    /// # Errors
    ///
    /// See [`WorkloadError`].
    pub fn read(text: &str) -> Result<Self, WorkloadError> {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(text).map_err(|error| WorkloadError::Yaml(error.to_string()))?;
        let mut pods = documents.iter().filter(|document| KINDS.contains(&kind(document)));
        match (pods.next(), pods.next()) {
            (None, _) => Err(WorkloadError::NoPod),
            (Some(document), None) => Self::of(document),
            (Some(first), Some(second)) => {
                Err(WorkloadError::SeveralPods([first, second].into_iter().chain(pods).map(named).collect()))
            }
        }
    }

    /// Reads the pod of one object.
    ///
    /// # Errors
    ///
    /// See [`WorkloadError`].
    pub fn of(document: &Value) -> Result<Self, WorkloadError> {
        let wrong = |why: String| WorkloadError::Field { object: named(document), why };
        let path = match kind(document) {
            "Pod" | "VirtualMachineInstance" => "/spec",
            _ => "/spec/template/spec",
        };
        let spec = document.pointer(path).and_then(Value::as_object);
        let mut spec = spec.cloned().ok_or_else(|| wrong(format!("{path} is missing")))?;
        let is_machine = kind(document).starts_with("VirtualMachine");
        if is_machine {
            if document.pointer("/spec/instancetype").is_some() {
                let why = "an instance type decides its memory; use --hugepages-SIZE in place of the file";
                return Err(wrong(why.to_owned()));
            }
            machine(&mut spec).map_err(wrong)?;
        }
        for containers in ["containers", "initContainers"] {
            let containers = spec.get_mut(containers).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                amounts(container.get_mut("resources")).map_err(wrong)?;
            }
        }
        amounts(spec.get_mut("resources")).map_err(wrong)?;
        let spec = Value::Object(spec);
        let pod: Pod =
            serde_json::from_value(json!({"spec": spec})).map_err(|error| wrong(error.to_string()))?;
        let mut requests = PodRequests::default();
        requests.add(&pod);
        let mut placement: Placement =
            serde_json::from_value(spec).map_err(|error| wrong(error.to_string()))?;
        if kind(document) == "DaemonSet" {
            placement.tolerations.get_or_insert_default().extend(DAEMON_TAINTS.map(|taint| Toleration {
                key: Some(format!("node.kubernetes.io/{taint}")),
                operator: Some("Exists".to_owned()),
                ..Toleration::default()
            }));
        }
        let mut pages = requests.pages;
        pages.retain(|_, pages| *pages > 0);
        Ok(Self { pages, placement })
    }
}

fn kind(document: &Value) -> &str {
    document.get("kind").and_then(Value::as_str).unwrap_or_default()
}

/// Returns `Deployment dpdk`.
fn named(document: &Value) -> String {
    let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    format!("{} {name}", kind(document)).trim_end().to_owned()
}

/// Writes each amount as the text that the API server makes of it, and refuses what it would refuse of huge pages:
/// otherwise an amount that cannot be read would count as none.
fn amounts(resources: Option<&mut Value>) -> Result<(), String> {
    let Some(resources) = resources else { return Ok(()) };
    for list in ["requests", "limits"] {
        let amounts = resources.get_mut(list).and_then(Value::as_object_mut);
        for (name, amount) in amounts.into_iter().flatten() {
            if let Value::Number(number) = amount {
                *amount = Value::String(number.to_string());
            }
            if !name.starts_with("hugepages-") {
                continue;
            }
            let Some((_, pages)) = in_pages(name, amount.as_str().unwrap_or_default()) else {
                return Err(format!("{name} is not a page size"));
            };
            if pages.get().is_none() {
                return Err(format!("{name}: {amount} is not a whole number of pages"));
            }
        }
    }
    Ok(())
}

/// Turns the spec of a virtual machine into that of its pod.
fn machine(spec: &mut Map<String, Value>) -> Result<(), String> {
    let domain = spec.get("domain").cloned().unwrap_or_default();
    let text = |path: &str| domain.pointer(path).and_then(Value::as_str);
    if let Some(size) = text("/memory/hugepages/pageSize") {
        let guest = text("/memory/guest");
        let requested = text("/resources/requests/memory").or_else(|| text("/resources/limits/memory"));
        let memory = match (requested, guest) {
            (Some(requested), Some(guest)) if bytes(requested) > bytes(guest) => guest,
            (Some(requested), _) => requested,
            (None, guest) => guest.unwrap_or(size),
        };
        let resource = format!("hugepages-{size}");
        spec.insert("containers".to_owned(), json!([{"resources": {"limits": {resource: memory}}}]));
    }
    let selector = spec.entry("nodeSelector").or_insert_with(|| json!({}));
    if let Some(selector) = selector.as_object_mut() {
        selector.insert("kubevirt.io/schedulable".to_owned(), json!("true"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
