//! The probe pod: one for each node and page size. It resembles a workload's pod as closely as possible and does not
//! obstruct other pods.
//!
//! The chart's admission policy restricts every agent to exactly this shape. A change to one requires a change to the
//! other.

mod resources;
#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container as PodContainer, EmptyDirVolumeSource, EnvVar, EnvVarSource,
    HostPathVolumeSource, LocalObjectReference, NodeAffinity, NodeSelector, NodeSelectorRequirement,
    NodeSelectorTerm, ObjectFieldSelector, Pod, PodResourceClaim, PodSecurityContext, PodSpec,
    SeccompProfile, SecurityContext, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::config::{
    Config, PeerConfig, PeerSource, Profile, PullPolicy, WorkloadSeccomp, directory_and_name,
};
use super::names;
use hugeprobe_domain::compact::Container;
use hugeprobe_domain::device_metadata;
use hugeprobe_domain::peer::Peer;
use hugeprobe_domain::request::PageCount;
use hugeprobe_domain::size::PageSize;
use hugeprobe_probe::container::{Place, Probe};

/// The path at which the pod's containers mount the huge pages.
pub const HUGEPAGES: &str = "/hugepages";

/// The path of the directory that both containers share and in which they create their sockets.
pub const RENDEZVOUS: &str = "/run/hugeprobe";

/// The path at which the frontend mounts the directory of the node's vswitch.
pub const PEER: &str = "/peer";

/// The file to which a container writes its report. The kubelet keeps the last 4096 bytes.
pub const REPORT: &str = "/dev/termination-log";

/// The time that a container has to write its report after its own time limit, in seconds. Its limit is shorter than
/// the pod's deadline by this.
const SECONDS_TO_REPORT: u64 = 5;

const GRACE_SECONDS: i64 = 5;

/// Identifies the node and the agent to which the probe pods belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The node's name.
    pub node: String,
    /// The name of the agent's own pod, which owns the probe pods.
    pub pod: String,
    /// The uid of the agent's pod.
    pub pod_uid: String,
    /// The namespace of the agent's pod and of the probe pods.
    pub namespace: String,
}

/// What a probe is asked to test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The page size.
    pub size: PageSize,
    /// The number of pages in each container's limit, without the additional pages that the workload's need requires.
    pub pages: u64,
    /// Which limits have the pages.
    pub limit: PageLimit,
    /// The pages of this size that a workload needs.
    pub need: Vec<PageCount>,
    /// Whether huge pages also count against a container's memory limit.
    pub memory_pays: bool,
}

/// Which limits of a probe pod have its pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageLimit {
    /// The limit of each container: the node needs the pages twice.
    Containers,
    /// The limit of the frontend only. The backend may use none.
    Frontend,
    /// The limit of the pod, which both containers share (pod-level resources).
    Pod,
}

// === impl Asked ===

impl Asked {
    /// Returns the probe as the containers' arguments describe it.
    #[must_use]
    pub fn probe(&self, config: &Config) -> Probe {
        Probe {
            size: self.size,
            pages: self.pages,
            frontend_pays: self.limit == PageLimit::Frontend,
            need: self.need.clone(),
            workload: config.workload,
            judge_syscalls: judges_syscalls(config),
            directory: HUGEPAGES.to_owned(),
            peer: config.peer.as_ref().map(peer),
        }
    }
}

/// Returns the node's vswitch as the frontend addresses it: by its socket, or by the file that names the socket. The probe transmits no frames, because a workload may be
/// using the port.
fn peer(peer: &PeerConfig) -> Peer {
    let socket = match &peer.source {
        PeerSource::HostPath(path) => format!("{PEER}/{}", directory_and_name(path).1),
        PeerSource::Claim(claim) => device_metadata::path(&claim.name, &claim.request, &claim.driver),
    };
    Peer { socket, listen: peer.listen, transmit: 0 }
}

// === the pod ===

/// Returns the pod that runs the requested probe.
#[must_use]
pub fn probe_pod(identity: &Identity, config: &Config, asked: &Asked) -> Pod {
    Pod {
        metadata: metadata(identity, config, asked.size),
        spec: Some(spec(identity, config, asked)),
        status: None,
    }
}

fn metadata(identity: &Identity, config: &Config, size: PageSize) -> ObjectMeta {
    let labels = [
        (names::APP.0, names::APP.1.to_owned()),
        (names::COMPONENT.0, names::COMPONENT.1.to_owned()),
        (names::POD_SIZE, size.to_string()),
        (names::POD_NODE, names::node_label(&identity.node)),
    ];
    let (extra, annotations) = (&config.probe.labels, &config.probe.annotations);
    // hugeprobe's own labels come last, so that configured labels cannot replace them.
    let labels = labels.map(|(key, value)| (key.to_owned(), value));
    let labels = extra.clone().into_iter().chain(labels);
    ObjectMeta {
        name: Some(names::probe_pod(&identity.node, size)),
        namespace: Some(identity.namespace.clone()),
        labels: Some(labels.collect()),
        annotations: (!annotations.is_empty()).then(|| annotations.clone()),
        owner_references: Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: identity.pod.clone(),
            uid: identity.pod_uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(false),
        }]),
        ..ObjectMeta::default()
    }
}

fn spec(identity: &Identity, config: &Config, asked: &Asked) -> PodSpec {
    let probe = &config.probe;
    let secrets = probe.image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() });
    PodSpec {
        affinity: Some(on_node(&identity.node)),
        restart_policy: Some("Never".to_owned()),
        active_deadline_seconds: i64::try_from(probe.deadline_seconds).ok(),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        service_account_name: Some(probe.service_account_name.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        tolerations: Some(vec![Toleration { operator: Some("Exists".to_owned()), ..Toleration::default() }]),
        priority_class_name: Some(probe.priority_class_name.clone()),
        runtime_class_name: probe.runtime_class_name.clone(),
        host_users: (!probe.host_users).then_some(false),
        resource_claims: some(probe.resource_claims.iter().map(|claim| PodResourceClaim {
            name: claim.name.clone(),
            resource_claim_template_name: Some(claim.resource_claim_template_name.clone()),
            ..PodResourceClaim::default()
        })),
        image_pull_secrets: some(secrets),
        resources: (asked.limit == PageLimit::Pod).then(|| resources::of_pod(config, asked)),
        security_context: Some(pod_security(config)),
        volumes: Some(volumes(config, asked.size)),
        containers: Container::ALL.map(|side| container(config, asked, side)).into(),
        ..PodSpec::default()
    }
}

/// Returns an affinity that restricts a pod to `node`.
///
/// The scheduler still places the pod and so accounts for its pages. A pod with `nodeName` bypasses the scheduler and
/// fails with OutOfhugepages if the pages are in use.
#[must_use]
pub fn on_node(node: &str) -> Affinity {
    let name = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![name]), match_expressions: None };
    Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                node_selector_terms: vec![term],
            }),
            ..NodeAffinity::default()
        }),
        ..Affinity::default()
    }
}

/// Returns the path of the vswitch's socket on the node, and whether the probe creates the socket.
fn host_peer(config: &Config) -> Option<(&str, bool)> {
    match config.peer.as_ref()? {
        PeerConfig { source: PeerSource::HostPath(path), listen, .. } => Some((path, *listen)),
        PeerConfig { source: PeerSource::Claim(_), .. } => None,
    }
}

/// Returns the items as a field of Kubernetes that is left out if it is empty.
fn some<T>(items: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let items: Vec<T> = items.collect();
    (!items.is_empty()).then_some(items)
}

fn volumes(config: &Config, size: PageSize) -> Vec<Volume> {
    let empty = |name: &str, medium: String, limit: Option<Quantity>| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource { medium: Some(medium), size_limit: limit }),
        ..Volume::default()
    };
    let peer = host_peer(config).map(|(path, _)| Volume {
        name: "peer".to_owned(),
        // The type `Directory` does not create a missing directory. If it is missing there is no vswitch, and the
        // pod's events say so.
        host_path: Some(HostPathVolumeSource {
            path: directory_and_name(path).0.to_owned(),
            type_: Some("Directory".to_owned()),
        }),
        ..Volume::default()
    });
    let own = [
        empty("hugepages", format!("HugePages-{size}"), None),
        empty("run", "Memory".to_owned(), Some(Quantity("1Mi".to_owned()))),
    ];
    own.into_iter().chain(peer).collect()
}

fn container(config: &Config, asked: &Asked, side: Container) -> PodContainer {
    let probe = &config.probe;
    let mount = |name: &str, path: &str| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    };
    let peer = host_peer(config).filter(|_| side == Container::Frontend).map(|(_, listen)| VolumeMount {
        // Connecting to a socket does not require write access to its directory.
        read_only: (!listen).then_some(true),
        ..mount("peer", PEER)
    });
    let mounts = [mount("hugepages", HUGEPAGES), mount("run", RENDEZVOUS)];
    let uid =
        ObjectFieldSelector { api_version: Some("v1".to_owned()), field_path: "metadata.uid".to_owned() };
    PodContainer {
        name: side.to_string(),
        image: Some(probe.image.clone()),
        image_pull_policy: Some(probe.image_pull_policy.name().to_owned()),
        command: Some(vec!["/hugeprobe".to_owned()]),
        args: Some(arguments(config, asked, side)),
        env: Some(vec![EnvVar {
            name: "POD_UID".to_owned(),
            value_from: Some(EnvVarSource { field_ref: Some(uid), ..EnvVarSource::default() }),
            ..EnvVar::default()
        }]),
        resources: Some(resources::of_container(config, asked, side)),
        volume_mounts: Some(mounts.into_iter().chain(peer).collect()),
        termination_message_path: Some(REPORT.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        security_context: Some(container_security(config)),
        ..PodContainer::default()
    }
}

fn arguments(config: &Config, asked: &Asked, side: Container) -> Vec<String> {
    let seconds = config.probe.deadline_seconds.saturating_sub(SECONDS_TO_REPORT).max(1);
    let place = Place {
        rendezvous: RENDEZVOUS.to_owned(),
        run: "$(POD_UID)".to_owned(),
        report: REPORT.to_owned(),
        seconds,
        rounds: None,
    };
    asked.probe(config).arguments(side, &place)
}

/// Returns whether a system call that the seccomp profile of the probe pod allows or blocks is evidence about the
/// workload. It is if both run under the same profile.
#[must_use]
pub fn judges_syscalls(config: &Config) -> bool {
    config.workload_seccomp == WorkloadSeccomp::RuntimeDefault && config.profile == Profile::Restricted
}

fn seccomp(config: &Config) -> SeccompProfile {
    let name = match config.profile {
        Profile::Restricted => "RuntimeDefault",
        Profile::Privileged => "Unconfined",
    };
    SeccompProfile { type_: name.to_owned(), localhost_profile: None }
}

fn pod_security(config: &Config) -> PodSecurityContext {
    let probe = &config.probe;
    let (user, group, no_root) = ids(config);
    PodSecurityContext {
        run_as_user: user,
        run_as_group: group,
        run_as_non_root: Some(no_root),
        fs_group: probe.fs_group,
        seccomp_profile: Some(seccomp(config)),
        se_linux_options: probe.se_linux_options.clone(),
        ..PodSecurityContext::default()
    }
}

fn container_security(config: &Config) -> SecurityContext {
    let (user, group, no_root) = ids(config);
    // With a seccomp profile, mbind is refused without CAP_SYS_NICE. mlock beyond RLIMIT_MEMLOCK is refused without
    // CAP_IPC_LOCK.
    let add = match config.profile {
        Profile::Restricted => None,
        Profile::Privileged => Some(["SYS_NICE", "IPC_LOCK"].map(str::to_owned).into()),
    };
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_user: user,
        run_as_group: group,
        run_as_non_root: Some(no_root),
        capabilities: Some(Capabilities { add, drop: Some(vec!["ALL".to_owned()]) }),
        seccomp_profile: Some(seccomp(config)),
        ..SecurityContext::default()
    }
}

/// Returns the user, the group, and the value of `runAsNonRoot`.
fn ids(config: &Config) -> (Option<i64>, Option<i64>, bool) {
    match config.profile {
        Profile::Restricted => (config.probe.run_as_user, config.probe.run_as_group, true),
        Profile::Privileged => (Some(0), config.probe.run_as_group, false),
    }
}

// === impl PullPolicy ===

impl PullPolicy {
    /// Returns the value of `imagePullPolicy`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}
