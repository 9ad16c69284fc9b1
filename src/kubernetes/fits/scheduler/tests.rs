//! Tests that placement is judged as the scheduler does.

use serde_json::{Value, json};

use super::*;

fn node(spec: &Value, allocatable: &Value) -> Candidate {
    let labels = json!({"pool": "nfv", "cores": "32"});
    serde_json::from_value(json!({
        "metadata": {"name": "node-a", "labels": labels}, "spec": spec, "status": {"allocatable": allocatable},
    }))
    .unwrap()
}

fn refusal(pod: &Value, node_spec: &Value) -> String {
    let placement: Placement = serde_json::from_value(pod.clone()).unwrap();
    placement.refusal(&node(node_spec, &json!({}))).map_or_else(|| "placed".to_owned(), |reason| reason.why)
}

#[test]
fn taints_are_tolerated_as_the_scheduler_does() {
    let taint = |effect: &str| json!({"taints": [{"key": "dedicated", "value": "nfv", "effect": effect}]});
    let refused = "the pod does not tolerate the taint dedicated=nfv:NoSchedule";
    for (tolerations, expected) in [
        (json!([]), refused),
        (json!([{"operator": "Exists"}]), "placed"),
        (json!([{"key": "dedicated", "operator": "Exists"}]), "placed"),
        (json!([{"key": "dedicated", "value": "nfv"}]), "placed"),
        (
            json!([{"key": "dedicated", "operator": "Equal", "value": "nfv", "effect": "NoSchedule"}]),
            "placed",
        ),
        (json!([{"key": "dedicated", "value": "web"}]), refused),
        (json!([{"key": "other", "operator": "Exists"}]), refused),
        (json!([{"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}]), refused),
        (json!([{"value": "nfv"}]), refused),
        (json!([{"key": "dedicated", "operator": "Like"}]), refused),
    ] {
        let pod = json!({"tolerations": tolerations});
        assert_eq!(refusal(&pod, &taint("NoSchedule")), expected, "{tolerations}");
        assert_eq!(refusal(&pod, &taint("PreferNoSchedule")), "placed");
    }
    let cordoned = json!({"unschedulable": true});
    assert_eq!(refusal(&json!({}), &cordoned), "the node is cordoned");
    let tolerant = json!({"tolerations": [{"key": UNSCHEDULABLE, "operator": "Exists"}]});
    assert_eq!(refusal(&tolerant, &cordoned), "placed");
}

#[test]
fn labels_are_selected_as_the_scheduler_does() {
    let none = json!({});
    assert_eq!(refusal(&json!({"nodeName": "node-a"}), &none), "placed");
    assert_eq!(refusal(&json!({"nodeName": "node-b"}), &none), "spec.nodeName of the pod is node-b");
    assert_eq!(refusal(&json!({"nodeSelector": {"pool": "nfv"}}), &none), "placed");
    assert_eq!(
        refusal(&json!({"nodeSelector": {"pool": "web"}}), &none),
        "nodeSelector: the node does not have the label pool=web"
    );
    let required = |terms: &Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
    for (terms, is_placed) in [
        (json!([{"matchExpressions": [{"key": "pool", "operator": "In", "values": ["web", "nfv"]}]}]), true),
        (json!([{"matchExpressions": [{"key": "pool", "operator": "NotIn", "values": ["nfv"]}]}]), false),
        (json!([{"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}]), true),
        (json!([{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]), false),
        (json!([{"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}]), true),
        (json!([{"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["16"]}]}]), true),
        (json!([{"matchExpressions": [{"key": "cores", "operator": "Lt", "values": ["32"]}]}]), false),
        (json!([{"matchExpressions": [{"key": "pool", "operator": "Gt", "values": ["1"]}]}]), false),
        (json!([{"matchExpressions": [{"key": "pool", "operator": "Like", "values": ["nfv"]}]}]), false),
        (json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-a"]}]}]), true),
        (json!([{"matchFields": [{"key": "metadata.uid", "operator": "Exists"}]}]), false),
        (
            json!([{"matchExpressions": [{"key": "pool", "operator": "Exists"}, {"key": "zone", "operator": "Exists"}]}]),
            false,
        ),
        (
            json!([{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}, {"matchExpressions": [{"key": "pool", "operator": "Exists"}]}]),
            true,
        ),
        (json!([{}]), false),
        (json!([]), false),
    ] {
        assert_eq!(refusal(&required(&terms), &none) == "placed", is_placed, "{terms}");
    }
}

#[test]
fn pages_are_counted_as_the_scheduler_does() {
    let size: PageSize = "1Gi".parse().unwrap();
    let of = |pages| Pages::from([(size, pages)]);
    for (amount, requested, expected) in [
        (json!({"hugepages-1Gi": "4Gi"}), Some(0), None),
        (json!({"hugepages-1Gi": "8Gi"}), Some(4), None),
        (
            json!({"hugepages-1Gi": "8Gi"}),
            Some(5),
            Some((true, "needs 4 pages of 1Gi; 8 allocatable, of which other pods request 5")),
        ),
        (json!({"hugepages-1Gi": "3Gi"}), None, Some((true, "needs 4 pages of 1Gi; 3 allocatable"))),
        (json!({}), None, Some((true, "needs 4 pages of 1Gi; the node has no hugepages-1Gi"))),
        (json!({"hugepages-1Gi": "8Gi"}), None, Some((false, "the requests of other pods are unknown"))),
        (
            json!({"hugepages-1Gi": "many"}),
            Some(0),
            Some((false, "the allocatable hugepages-1Gi of the node cannot be read")),
        ),
    ] {
        let node = node(&json!({}), &amount);
        let reasons = [allocatable(&of(4), &node), left(&of(4), &node, requested.map(of).as_ref())];
        let reason = Reason::first(reasons.into_iter().flatten());
        let seen = reason.as_ref().map(|reason| (reason.is_definite, reason.why.as_str()));
        assert_eq!(seen, expected, "{amount} {requested:?}");
    }
}
