//! NUMA: the node that the workload's own options name, where the pages are, memory policy and cpuset.

use hugeprobe::domain::catalogue::{HP102, HP509};

use super::super::control::Control;
use super::super::facts::Need;
use super::super::fault::{SINGLE_FILE, Spec, TESTPMD, applied, planned};
use super::super::plan::PagesOn;
use crate::nodes;
use crate::scene::Scene;

pub(super) const SPECS: &[Spec] = &[
    // The node of --socket-mem, among those that have memory. Without this fault it is the first one.
    planned("node of the workload", "node", |plan, which| {
        let all = nodes::with_memory();
        plan.on = vec![if which == "last" { all[all.len() - 1] } else { all[1] }];
    })
    .needs(&[Need::Nodes])
    .kinds(TESTPMD)
    .harmless(&["second", "last"])
    // A node without CPU.
    .causes(&[HP102, HP509]),
    planned("node of the workload", "node-without-memory", |plan, _| {
        plan.on = nodes::without_memory().into_iter().collect();
        plan.pages_on = PagesOn::Other;
    })
    .needs(&[Need::Nodes, Need::EmptyNode])
    .kinds(TESTPMD)
    .harmful(&["there"])
    .causes(&[HP509]),
    planned("pages on nodes", "pages-on", |plan, where_they_are| {
        plan.pages_on = match where_they_are {
            "own-and-other" => PagesOn::OwnAndOther,
            "other" => PagesOn::Other,
            "all-but-one" => PagesOn::AllButOne,
            "half" => PagesOn::Half,
            other => panic!("no nodes {other}"),
        };
    })
    .needs(&[Need::Nodes])
    .kinds(TESTPMD)
    .harmless(&["own-and-other"])
    .harmful(&["other", "all-but-one", "half"])
    .causes(&[HP509]),
    // `-m 16` names no node, and `--socket-mem 8,8` names two.
    planned("memory options", "memory-options", |plan, option| {
        if option == "two-nodes" {
            plan.on = nodes::with_memory()[..2].to_vec();
        }
    })
    .needs(&[Need::Nodes])
    .kinds(SINGLE_FILE)
    .harmless(&["no-node", "two-nodes"])
    .apply(|scene, option| {
        scene.names_no_node = option == "no-node";
        Ok(())
    }),
    // As numactl(8) sets it. The process inherits it.
    applied("memory policy", "policy", |scene, policy| {
        let (mode, of) = policy.split_once(':').unwrap();
        let nodes = listed(&of_workload(scene, of));
        scene.place.add(format!("policy={mode}:{nodes}"));
        Ok(())
    })
    .needs(&[Need::Nodes])
    .kinds(TESTPMD)
    .harmless(&["bind:own", "preferred:own", "interleave:all", "local:all", "preferred:other"])
    .causes(&[HP509]),
    applied("cpu affinity", "cpus-of-node", |scene, of| {
        let cpus: Vec<_> =
            of_workload(scene, of).into_iter().flat_map(|node| nodes::numbers(&nodes::cpus(node))).collect();
        // A node without CPUs leaves the affinity as it is.
        if !cpus.is_empty() {
            scene.place.add(format!("cpus={}", listed(&cpus)));
        }
        Ok(())
    })
    .needs(&[Need::Nodes])
    .harmless(&["own", "other"]),
    planned("cpuset", "cpuset-mems", |plan, of| {
        let mems = listed(&of_nodes(&plan.on, of));
        plan.controls.push(cpuset(&mems));
    })
    .needs(&[Need::Nodes, Need::Cpuset])
    .kinds(TESTPMD)
    .harmless(&["own", "all"])
    .harmful(&["other"])
    .causes(&[HP509]),
    // On a machine with one node, a cpuset can only be the whole.
    planned("cpuset", "cpuset", |plan, _| plan.controls.push(cpuset(&listed(&nodes::with_memory()))))
        .needs(&[Need::Cpuset])
        .harmless(&["whole"]),
];

/// Returns the nodes of the workload, one other node with memory, or all that have memory.
fn of_nodes(on: &[u32], of: &str) -> Vec<u32> {
    let all = nodes::with_memory();
    match of {
        "own" if on.is_empty() => all,
        "own" => on.to_vec(),
        "other" => all.into_iter().find(|node| !on.contains(node)).into_iter().collect(),
        "all" => all,
        other => panic!("no nodes {other}"),
    }
}

fn of_workload(scene: &Scene, of: &str) -> Vec<u32> {
    of_nodes(&scene.on, of)
}

/// Returns a cpuset with these memory nodes and every CPU.
fn cpuset(mems: &str) -> Control {
    let cpus = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap();
    Control {
        controller: "cpuset",
        files: vec![(["cpuset.cpus"; 2], cpus.trim().to_owned()), (["cpuset.mems"; 2], mems.to_owned())],
    }
}

fn listed(numbers: &[u32]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
