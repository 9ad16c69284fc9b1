//! Tests that each kind is read as the pod that it creates, and that what cannot be counted is refused.

use super::*;

fn pages(text: &str) -> Vec<(String, u64)> {
    let workload = Workload::read(text).unwrap();
    workload.pages.into_iter().map(|(size, pages)| (size.to_string(), pages)).collect()
}

fn large(pages: u64) -> Vec<(String, u64)> {
    vec![("1Gi".to_owned(), pages)]
}

const CONTAINERS: &str =
    "{containers: [{name: c, resources: {limits: {cpu: 1, memory: 1Gi, hugepages-1Gi: 4Gi}}}]}";

#[test]
fn every_kind_is_read_as_its_pod() {
    assert_eq!(pages(&format!("{{kind: Pod, metadata: {{name: p}}, spec: {CONTAINERS}}}")), large(4));
    for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"] {
        let text =
            format!("{{kind: {kind}, metadata: {{name: p}}, spec: {{template: {{spec: {CONTAINERS}}}}}}}");
        assert_eq!(pages(&text), large(4), "{kind}");
    }
    let documents = format!("---\nkind: Namespace\n---\n{{kind: Pod, spec: {CONTAINERS}}}\n---\n");
    assert_eq!(pages(&documents), large(4));
    assert_eq!(
        pages(&format!(
            r#"{{"kind": "Pod", "spec": {}}}"#,
            json!({"containers": [
                {"resources": {"limits": {"hugepages-1Gi": 2_147_483_648_u64}}},
            ]})
        )),
        large(2)
    );
}

#[test]
fn a_virtual_machine_needs_the_pages_that_kubevirt_requests() {
    for (domain, expected) in [
        ("{memory: {guest: 4Gi, hugepages: {pageSize: 1Gi}}}", 4),
        ("{memory: {hugepages: {pageSize: 1Gi}}, resources: {requests: {memory: 3Gi}}}", 3),
        ("{memory: {hugepages: {pageSize: 1Gi}}, resources: {limits: {memory: 3Gi}}}", 3),
        ("{memory: {guest: 2Gi, hugepages: {pageSize: 1Gi}}, resources: {requests: {memory: 3Gi}}}", 2),
        ("{memory: {guest: 4Gi, hugepages: {pageSize: 1Gi}}, resources: {requests: {memory: 3Gi}}}", 3),
        ("{memory: {hugepages: {pageSize: 1Gi}}}", 1),
    ] {
        let text = format!("{{kind: VirtualMachine, spec: {{template: {{spec: {{domain: {domain}}}}}}}}}");
        assert_eq!(pages(&text), large(expected), "{domain}");
        let text = format!("{{kind: VirtualMachineInstance, spec: {{domain: {domain}}}}}");
        let selector = Workload::read(&text).unwrap().placement.node_selector.unwrap();
        assert_eq!(selector["kubevirt.io/schedulable"], "true");
    }
    assert_eq!(pages("{kind: VirtualMachineInstance, spec: {domain: {memory: {guest: 4Gi}}}}"), []);
}

#[test]
fn a_pod_of_a_daemonset_tolerates_more() {
    let text = format!("{{kind: DaemonSet, spec: {{template: {{spec: {CONTAINERS}}}}}}}");
    let tolerations = Workload::read(&text).unwrap().placement.tolerations.unwrap();
    assert!(tolerations.iter().any(|one| one.key.as_deref() == Some("node.kubernetes.io/unschedulable")));
}

#[test]
fn what_cannot_be_counted_is_refused() {
    for (text, part) in [
        ("a: [", "cannot be read as YAML"),
        ("", "describes no pod: the kinds are Pod, Deployment"),
        ("kind: Service", "describes no pod"),
        ("{kind: Pod}", "Pod: /spec is missing"),
        ("kind: Pod\nmetadata: {name: a}\n---\nkind: Job\nmetadata: {name: b}", "several pods: Pod a, Job b"),
        (
            "{kind: Pod, spec: {containers: [{resources: {limits: {hugepages-1Gi: 1500Mi}}}]}}",
            "hugepages-1Gi: \"1500Mi\" is not a whole number of pages",
        ),
        (
            "{kind: Pod, spec: {initContainers: [{resources: {requests: {hugepages-3Mi: 3Mi}}}]}}",
            "hugepages-3Mi is not a page size",
        ),
        ("{kind: Pod, spec: {nodeSelector: {dpdk: true}}}", "expected a string"),
        (
            "{kind: VirtualMachine, metadata: {name: v}, spec: {instancetype: {name: x}, template: {spec: {}}}}",
            "VirtualMachine v: an instance type decides its memory",
        ),
        (
            "{kind: VirtualMachineInstance, spec: {domain: {memory: {guest: 1500Mi, hugepages: {pageSize: 1Gi}}}}}",
            "is not a whole number of pages",
        ),
    ] {
        let error = Workload::read(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}
