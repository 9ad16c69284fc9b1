//! The probe beside real workloads, and in pods that are not in order.

use std::time::Instant;

use serde_json::{Value, json};

use super::context::pools::{SMALL, scarce};
use super::context::{MUTATING_POLICIES, NAMESPACE, NODE, WORKLOADS, chart, kubectl, pods, wait};
use super::{Case, case, case_since};

pub(crate) const CASES: &[Case] = &[
    case("a workload that arrives in mid-probe is Running within 10 s", arrives),
    case("a probe pod without fsGroup fails by name", without_fs_group),
    case("a container without a limit of its own fails and the other names it", without_limit),
    // The API server has the subresource `resize` from 1.33 on.
    case_since(33, "a pod whose hugetlb limit became 0 by a resize in place is named by check", resized),
    case("a node behind a startup taint for our condition is probed and released", startup_taint),
    case_since(
        MUTATING_POLICIES,
        "a pod of all pages starts behind the preflight that the chart adds",
        behind_preflight,
    ),
];

fn arrives() {
    let size = scarce();
    let due = chart::due(size);
    let probe = wait::until("a probe is there", 60, || {
        let probes = pods::probes();
        let large =
            probes.iter().find(|pod| pod["metadata"]["labels"]["hugeprobe.io/size"] == size.name).cloned();
        large.ok_or(probes.len())
    });
    println!("    probe {} is {}", chart::meta(&probe, "name"), probe["status"]["phase"]);
    let begin = Instant::now();
    let workload =
        kubectl::apply_for_now(&pods::workload("arrives", size, size.persistent(), size.persistent()));
    pods::running(WORKLOADS, "arrives", 10);
    assert!(begin.elapsed().as_secs_f64() < 10.0, "Running after {:.1} s", begin.elapsed().as_secs_f64());
    kubectl::show(&["get", "pods", "--all-namespaces", "-o", "wide"]);
    drop(workload);
    drop(due);
}

fn without_fs_group() {
    let changed = chart::with(&json!({"runAs": {"fsGroup": null}}));
    let published = chart::published("the verdict fails for the directory", 90, |published| {
        published.verdict() == Some("fail")
    });
    assert!(published.annotations.keys().any(|key| key.starts_with("check.HP3")), "{published:#?}");
    for (key, value) in &published.annotations {
        println!("    {key}: {value}");
    }
    drop(changed);
}

fn without_limit() {
    // The agent makes no such pod, so a person does, of the agent's own.
    let probe = capture();
    let mut pod = probe;
    pod["metadata"] = json!({"name": "without-limit", "namespace": NAMESPACE});
    pod["status"] = Value::Null;
    let resource = SMALL.resource();
    let containers = pod["spec"]["containers"].as_array_mut().unwrap();
    let backend = containers.iter_mut().find(|container| container["name"] == "backend").unwrap();
    for kind in ["limits", "requests"] {
        backend["resources"][kind].as_object_mut().unwrap().remove(&resource);
    }
    let made = kubectl::apply_for_now(&pod);
    let ended = wait::until("it ended", 60, || {
        let pod = kubectl::get(&["pod", "without-limit", "--namespace", NAMESPACE]).unwrap();
        let phase = pod["status"]["phase"].as_str().unwrap_or_default().to_owned();
        if ["Succeeded", "Failed"].contains(&phase.as_str()) { Ok(pod) } else { Err(phase) }
    });
    let messages = pods::messages(&ended);
    for (container, message) in &messages {
        println!("    {container}:");
        for line in message.lines() {
            println!("      {line}");
        }
    }
    assert!(
        messages.iter().any(|(_, message)| message.contains(r#""verdict":"fail""#)),
        "somebody fails: {messages:#?}"
    );
    drop(made);
}

/// kubernetes/kubernetes#141991: the kubelet writes 0 into the cgroup of a pod that it resizes. The kernel refuses that while
/// the pod has pages (page_counter_set_max), so this one has not taken any yet.
fn resized() {
    let workload = kubectl::apply_for_now(&pods::workload("resized", SMALL, 8, 0));
    pods::running(WORKLOADS, "resized", 30);
    let pod = kubectl::get(&["pod", "resized", "--namespace", WORKLOADS]).unwrap();
    let (group, _) = pods::hugetlb_cgroup(&pod);
    let check = || {
        let arguments = [
            "check",
            "-o",
            "json",
            "--only",
            "HP401",
            "--frontend-cgroup",
            &group,
            "--frontend-need",
            "2Mi=1",
        ];
        let report: Value =
            serde_json::from_str(&pods::inside(env!("CARGO_BIN_EXE_hugeprobe"), &arguments)).unwrap();
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["id"] == "HP401" && check["size"] == "2Mi").cloned().unwrap()
    };
    let before = check();
    assert_eq!(before["outcome"], "pass", "{before:#}");
    pods::resize(&pod);
    let after = check();
    println!("    {}", after["summary"]);
    assert_eq!(after["outcome"], "fail", "{after:#}");
    assert!(after.to_string().contains(&group), "it names the cgroup: {after:#}");
    drop(workload);
}

/// A probe pod of the agent, as it stands in the API.
fn capture() -> Value {
    let due = chart::due(SMALL);
    let pod = wait::until("a probe of 2Mi is there", 60, || {
        let probes = pods::probes();
        let small =
            probes.iter().find(|pod| pod["metadata"]["labels"]["hugeprobe.io/size"] == "2Mi").cloned();
        small.ok_or(probes.len())
    });
    drop(due);
    chart::settled();
    pod
}

fn startup_taint() {
    let taint = "hugeprobe.io/not-probed:NoSchedule";
    kubectl::must(&["taint", "node", NODE, taint, "--overwrite"]);
    struct Released;
    impl Drop for Released {
        fn drop(&mut self) {
            drop(kubectl::run(&["taint", "node", NODE, "hugeprobe.io/not-probed:NoSchedule-"]));
        }
    }
    let released = Released;
    // Another pool: nothing that was known before counts, as on a node that just came up.
    let changed = SMALL.change(2);
    let total = SMALL.persistent().to_string();
    chart::published("a new verdict in spite of the taint", 60, |published| {
        published.condition.as_ref().is_some_and(|(status, _)| status == "True")
            && published.annotation("pool.2Mi").is_some_and(|pool| pool.starts_with(&total))
    });
    let waiting = kubectl::apply_for_now(&pods::workload("behind-the-taint", SMALL, 1, 1));
    wait::throughout("a workload waits behind the taint", 3, || {
        let pod = kubectl::get(&["pod", "behind-the-taint", "--namespace", WORKLOADS]).unwrap();
        if pod["status"]["phase"] == "Pending" { Ok(()) } else { Err(pod["status"].clone()) }
    });
    drop(released);
    pods::running(WORKLOADS, "behind-the-taint", 30);
    drop(waiting);
    drop(changed);
}

/// An init container with as many pages as the pod's containers adds nothing to what the pod requests: else it would not fit.
fn behind_preflight() {
    let values = chart::with(&json!({"preflight": {"enabled": true}}));
    chart::at_rest();
    let all = SMALL.persistent();
    let mut pod = pods::workload("behind-preflight", SMALL, all, all);
    pod["metadata"]["labels"] = json!({"hugeprobe.io/preflight": "true"});
    let made = kubectl::apply_for_now(&pod);
    let pod = pods::phase(WORKLOADS, "behind-preflight", "Running", 60);
    let (spec, status) = (
        &pod["spec"]["initContainers"][0],
        &pod["status"]["initContainerStatuses"][0]["state"]["terminated"],
    );
    println!("    {}: {} ends with {}", spec["name"], spec["args"], status["exitCode"]);
    assert_eq!(spec["resources"]["limits"][SMALL.resource()], SMALL.quantity(all), "{spec:#}");
    assert_eq!(status["exitCode"], 0, "{status:#}");
    drop(made);
    drop(values);
}
