//! The two other ways to install: resident, and privileged.

use serde_json::json;

use super::context::node::Published;
use super::context::pools::{Holder, Leak, SMALL};
use super::context::{NAMESPACE, WORKLOADS, chart, kubectl, pods, testpmd, wait};
use super::{Case, case, case_since};

pub(crate) const CASES: &[Case] = &[
    case("resident mode passes by rounds of its own two containers, and may make no pod", resident),
    case("the privileged profile sees who holds pages outside pods, and what was left behind", privileged),
    // Before 1.33 pods are not resized by their own subresource.
    case_since(
        33,
        "the privileged profile names a pod whose hugetlb limit became 0 by a resize in place",
        resized,
    ),
    case("a vswitch of the node is asked, and without its answer there is no pass", vswitch),
];

fn resident() {
    // Of one size alone: the chart refuses an expectation of another.
    let changed = chart::with(&json!({"mode": "resident", "expectations": chart::expectations("2Mi")}));
    let agent = chart::agent();
    let names: Vec<_> =
        agent["spec"]["containers"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["agent", "frontend", "backend"]);
    chart::published("a pass for its size", 90, |published| {
        published.passes_for("2Mi") && !published.annotations.contains_key("probe")
    });
    chart::concluded("the first round passes", SMALL, 0);
    // Something changed: another round, of the same containers.
    let due = chart::due(SMALL);
    chart::concluded("another round passes", SMALL, 1);
    assert!(pods::probes().is_empty());
    let account = format!("--as=system:serviceaccount:{NAMESPACE}:hugeprobe-agent");
    let may = kubectl::run(&["auth", "can-i", "create", "pods", "--namespace", NAMESPACE, &account]);
    assert!(may.is_err(), "it may create pods: {may:?}");
    kubectl::show(&["get", "pods", "--namespace", NAMESPACE, "-o", "wide"]);
    chart::show_ours();
    drop(due);
    drop(changed);
}

fn vswitch() {
    let allowed = chart::privileged();
    let directory = "/run/vswitch"; // of the node, which has a /run of its own
    let start = || {
        let pod = kubectl::apply_for_now(&testpmd::vswitch(directory));
        pods::running(WORKLOADS, "vswitch", 30);
        pod
    };
    let running = start();
    let peer = json!({"hostPath": format!("{directory}/s")});
    let changed = chart::with(&json!({"profile": "privileged", "peer": peer}));
    chart::published("a pass with the vswitch's answer", 120, |published| {
        published.passes_for("2Mi") && published.annotation("profile") == Some("privileged")
    });
    chart::concluded("of a probe that asked it", SMALL, 0);
    for id in ["HP612", "HP613", "HP614"] {
        assert_eq!(chart::outcome(id, "2Mi").as_deref(), Some("pass"), "{id}");
    }
    drop(running);
    let due = chart::due(SMALL);
    let published = chart::published("no pass without it, and why", 120, |published| {
        published.labels.get("hugepages-2Mi").is_some_and(|verdict| verdict == "fail")
    });
    assert!(published.annotation("check.HP612.2Mi").is_some(), "{published:#?}");
    chart::show_ours();
    drop(due);
    let running = start();
    let due = chart::due(SMALL);
    chart::published("a pass once it is back", 120, |published| published.passes_for("2Mi"));
    drop((running, due, changed, allowed));
}

/// Of the two processes of the agent's pod, the one that serves HTTP has no privilege.
fn reads_nothing_as_root() {
    let agent = chart::agent();
    let status = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().unwrap_or_default().to_owned()
    };
    let mut processes: Vec<_> = (pods::pids(&agent).into_iter().map(status))
        .filter(|status| field(status, "Name:") == "hugeprobe")
        .map(|status| (field(&status, "Uid:"), field(&status, "CapEff:")))
        .collect();
    processes.sort();
    println!("    {processes:?}");
    // CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE, and none.
    let expected = [("0", "0000000000080004"), ("65532", "0000000000000000")];
    assert_eq!(processes, expected.map(|(uid, rights)| (uid.to_owned(), rights.to_owned())));
    let server =
        agent["spec"]["containers"].as_array().unwrap().iter().find(|one| one.get("ports").is_some());
    assert_eq!(server.map(|server| &server["name"]), Some(&json!("pages")));
}

fn privileged() {
    let allowed = chart::privileged();
    let changed = chart::with(&json!({"profile": "privileged"}));
    chart::published("a pass that says under which profile", 90, |published| {
        published.passes_for("2Mi") && published.annotation("profile") == Some("privileged")
    });
    chart::concluded("of a probe pod of that profile", SMALL, 0);
    for line in chart::metrics().lines().filter(|line| line.contains("HP50") || line.contains("HP105")) {
        println!("    {line}");
    }
    reads_nothing_as_root();
    // Bound by mbind, which the restricted profile's seccomp refuses.
    assert!(chart::outcome("HP506", "2Mi").is_some_and(|outcome| outcome != "unknown"), "binding was tried");

    let leak = Leak::leave(2);
    let holder = Holder::take(8);
    chart::published("HP105 tells of files that nobody has open", 180, |published| {
        published.annotation("check.HP105.2Mi").is_some()
    });
    chart::published("HP202 tells of pages in use outside pods", 180, |published| {
        published.names("HP202", "2Mi")
    });
    chart::show_ours();
    drop((holder, leak));
    drop(changed);
    drop(allowed);
    wait::until("the namespace is restricted again", 10, || {
        let labels = kubectl::must(&["get", "namespace", NAMESPACE, "--show-labels"]);
        if labels.contains(&chart::pod_security("restricted")) { Ok(()) } else { Err(labels) }
    });
}

/// The agent reads the cgroups of the node once a minute, and lists the pods for a name that it does not know as often.
fn resized() {
    const CYCLE: u64 = 75;
    let allowed = chart::privileged();
    let changed = chart::with(&json!({"profile": "privileged", "podAccounting": true}));
    let workload = kubectl::apply_for_now(&pods::workload("shrunk", SMALL, 8, 0));
    pods::running(WORKLOADS, "shrunk", 30);
    let pod = kubectl::get(&["pod", "shrunk", "--namespace", WORKLOADS]).unwrap();
    let shown = |published: &Published| published.annotation("check.HP413.2Mi").map(str::to_owned);
    chart::published("a pass of the profile, and no word of limits", 90, |published| {
        published.passes_for("2Mi")
            && published.annotation("profile") == Some("privileged")
            && published.annotation("unseen").is_none_or(|unseen| !unseen.contains("HP413"))
            && shown(published).is_none()
    });
    assert_eq!(chart::outcome("HP413", "2Mi").as_deref(), Some("pass"));
    let take = ["exec", "shrunk", "--namespace", WORKLOADS, "--", "/workload", "hold", "-pages", "1"];
    let take = || kubectl::run(&[&take[..], &["-seconds", "1"]].concat());
    take().unwrap();
    pods::resize(&pod);
    let refused = take().unwrap_err();
    println!("    the workload: {refused}");
    let published = chart::published("HP413 warns of the pod, by its uid or its name", CYCLE, |published| {
        shown(published).is_some()
    });
    println!("    {:?}", shown(&published));
    let name = format!("pod {WORKLOADS}/shrunk (container ");
    let published = chart::published("HP413 names the pod", CYCLE, |published| {
        shown(published).is_some_and(|text| text.contains(&name) && text.ends_with("is 0"))
    });
    println!("    {:?}", shown(&published));
    assert!(published.passes_for("2Mi"), "new pods get pages: {published:#?}");
    chart::show_ours();
    drop(workload);
    chart::published("and no longer once the pod is gone", CYCLE, |published| {
        shown(published).is_none() && published.verdict() == Some("pass")
    });
    drop((changed, allowed));
}
