//! Probe pods in user namespaces. `CONTAINERD_VERSION=2` builds and starts a runtime that supports them.

use serde_json::{Value, json};

use super::context::node::Node;
use super::context::pools::SMALL;
use super::context::{WORKLOADS, chart, kubectl, pods, testpmd, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    mapped("user namespaces: a healthy node passes by the same checks as without", healthy),
    mapped("user namespaces: the verdict fails without fsGroup, and recovers", without_fs_group),
    mapped("user namespaces: the privileged profile passes", privileged),
    mapped("user namespaces: a vswitch of the node accepts the pages", vswitch),
    mapped("user namespaces: a workload maps the pages of its volume", workload),
];

/// A case about pods in user namespaces.
const fn mapped(name: &'static str, run: fn()) -> Case {
    Case { lacks, ..case(name, run) }
}

pub(crate) const NEEDS: &str = "needs a cluster of `CONTAINERD_VERSION=2` and Kubernetes 1.34 or newer";

pub(crate) fn lacks() -> Option<&'static str> {
    (!Node::read().offers_user_namespaces()).then_some(NEEDS)
}

/// The checks of a probe of the restricted profile that pass on the node in the user namespace of the host.
const PROVEN: &[&str] = &[
    "HP301", "HP302", "HP303", "HP304", "HP305", "HP401", "HP402", "HP501", "HP502", "HP503", "HP504",
    "HP505", "HP601", "HP602", "HP603", "HP604", "HP605", "HP606", "HP607", "HP608", "HP609", "HP610",
    "HP611",
];

/// The outcome of every check of 2Mi, by its id.
fn outcomes() -> Vec<String> {
    let metrics = chart::metrics();
    let label = |line: &str, name: &str| {
        line.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned)
    };
    let mut outcomes: Vec<String> = (metrics.lines())
        .filter(|line| {
            line.starts_with("hugeprobe_check_outcome{")
                && line.contains("size=\"2Mi\"")
                && line.ends_with(" 1")
        })
        .filter_map(|line| Some(format!("{} {}", label(line, "id")?, label(line, "outcome")?)))
        .collect();
    outcomes.sort();
    outcomes
}

/// Waits for a probe pod of 2Mi that runs, and checks that its processes are in a user namespace.
fn in_user_namespace() {
    let maps = wait::until("a probe runs with a mapping of users", 60, || {
        let probes = pods::probes();
        let Some(probe) = probes.iter().find(|pod| pod["spec"]["hostUsers"] == false) else {
            return Err(format!("{} probe pods, none with hostUsers: false", probes.len()));
        };
        mapping(probe).ok_or_else(|| format!("{} has no process yet", chart::meta(probe, "name")))
    });
    println!("    uid_map: {maps}");
}

/// The line of uid_map of the processes of a pod, if they are in a user namespace.
fn mapping(pod: &Value) -> Option<String> {
    pods::try_pids(pod).into_iter().find_map(|pid| {
        let map = std::fs::read_to_string(format!("/proc/{pid}/uid_map")).ok()?;
        let numbers: Vec<&str> = map.split_whitespace().collect();
        // The initial namespace maps every id to itself: "0 0 4294967295".
        (numbers.len() == 3 && numbers[1] != "0").then(|| numbers.join(" "))
    })
}

fn healthy() {
    chart::at_rest();
    // The verdict of probe pods in the user namespace of the host does not count for these.
    let changed = chart::with(&json!({"probe": {"hostUsers": false}}));
    in_user_namespace();
    chart::concluded("a probe in a user namespace passes", SMALL, 0);
    chart::at_rest();
    chart::show_ours();
    let outcomes = outcomes();
    println!("    {}", outcomes.join(", "));
    let unproven: Vec<&str> = (PROVEN.iter().copied())
        .filter(|id| !outcomes.iter().any(|outcome| *outcome == format!("{id} pass")))
        .collect();
    assert!(unproven.is_empty(), "these did not pass: {unproven:?}");
    drop(changed);
}

fn without_fs_group() {
    let changed = chart::with(&json!({"probe": {"hostUsers": false}, "runAs": {"fsGroup": null}}));
    let published = chart::published("the verdict fails for the directory", 90, |published| {
        published.verdict() == Some("fail")
    });
    assert!(published.annotations.keys().any(|key| key.starts_with("check.HP3")), "{published:#?}");
    chart::show_ours();
    drop(changed);
    chart::settled();
}

fn privileged() {
    let allowed = chart::privileged();
    let changed = chart::with(&json!({"profile": "privileged", "probe": {"hostUsers": false}}));
    in_user_namespace();
    let published = chart::published("a pass that names the profile", 90, |published| {
        published.passes_for("2Mi") && published.annotation("profile") == Some("privileged")
    });
    println!("    {published:#?}");
    println!("    {}", outcomes().join(", "));
    drop((changed, allowed));
}

/// The directory of the socket is mapped as well: for root of the pod, the socket belongs to root.
fn vswitch() {
    let allowed = chart::privileged();
    let running = kubectl::apply_for_now(&testpmd::vswitch("/run/vswitch"));
    pods::running(WORKLOADS, "vswitch", 30);
    let peer = json!({"hostPath": "/run/vswitch/s"});
    let changed = chart::with(&json!({"profile": "privileged", "peer": peer, "probe": {"hostUsers": false}}));
    in_user_namespace();
    chart::concluded("a probe that asked the vswitch passes", SMALL, 0);
    for id in ["HP612", "HP613", "HP614"] {
        assert_eq!(chart::outcome(id, "2Mi").as_deref(), Some("pass"), "{id}");
    }
    chart::show_ours();
    drop((changed, running, allowed));
}

fn workload() {
    let mut pod = pods::workload("mapped", SMALL, 8, 8);
    pod["spec"]["hostUsers"] = json!(false);
    let made = kubectl::apply_for_now(&pod);
    pods::running(WORKLOADS, "mapped", 30);
    let pod = kubectl::get(&["pod", "mapped", "--namespace", WORKLOADS]).unwrap();
    wait::until("it holds its pages", 20, || match SMALL.persistent() - SMALL.free() {
        8 => Ok(()),
        held => Err(held),
    });
    let mount = pods::try_pids(&pod).into_iter().find_map(|pid| {
        let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).ok()?;
        mounts.lines().find(|line| line.contains(" /hugepages ")).map(str::to_owned)
    });
    let mount = mount.unwrap();
    println!("    uid_map: {:?}\n    {mount}", mapping(&pod));
    assert!(mapping(&pod).is_some() && mount.contains("idmapped"), "{mount}");
    drop(made);
}
