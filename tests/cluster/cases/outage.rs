//! What goes away and comes back: the agent, the API server, the Node.

use serde_json::{Value, json};

use super::context::node::Node;
use super::context::pools::{Holder, SMALL};
use super::context::{NAMESPACE, NODE, chart, daemon, kubectl, pods, script, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case("an agent killed -9 during a probe leaves no pod and ends in a verdict", killed),
    case("an API server that was away gets the latest state, once", api_server),
    case("a Node that was deleted and registered again gets a verdict of its own", node_deleted),
    case("a forged boot id is overwritten", forged),
    case("a verdict of another boot is stale to readers, and void once an agent is there", another_boot),
    case("foreign and malformed annotations under the prefix do not last", malformed),
];

fn killed() {
    let due = chart::due(SMALL);
    wait::until("a probe is there", 60, || pods::probes().first().cloned().ok_or("none"));
    let agent = chart::agent();
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap();
    let before = restarts(&agent);
    for pid in pods::pids(&agent) {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if name.trim() == "hugeprobe" {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
                .unwrap();
        }
    }
    wait::until("the kubelet started it again", 60, || {
        let now = restarts(&chart::agent());
        if now > before { Ok(()) } else { Err(now) }
    });
    chart::concluded("a pass all the same", SMALL, 0);
    wait::until("no probe pod is left", 60, || match pods::probes().len() {
        0 => Ok(()),
        more => Err(more),
    });
    drop(due);
}

fn api_server() {
    let agent = chart::agent();
    daemon("stop", "apiserver");
    let back = Back("apiserver");
    let grown = SMALL.change(4);
    std::thread::sleep(std::time::Duration::from_secs(20));
    drop(back);
    wait::until("the API server answers", 60, || kubectl::run(&["get", "--raw", "/readyz"]));
    let total = SMALL.persistent().to_string();
    chart::published("the pool as it became meanwhile", 90, |published| {
        published.annotation("pool.2Mi").is_some_and(|pool| pool.contains(&total))
    });
    let after = chart::agent();
    assert_eq!(chart::meta(&agent, "uid"), chart::meta(&after, "uid"), "the same pod");
    assert_eq!(
        agent["status"]["containerStatuses"][0]["restartCount"],
        after["status"]["containerStatuses"][0]["restartCount"],
        "and it did not restart"
    );
    kubectl::show(&["logs", "--namespace", NAMESPACE, chart::meta(&after, "name"), "--tail=12"]);
    drop(grown);
}

fn node_deleted() {
    let before = Node::read();
    kubectl::must(&["delete", "node", NODE]);
    // A kubelet registers when it starts.
    daemon("restart", "kubelet");
    wait::until("the Node is registered again", 60, || {
        let node = kubectl::get(&["node", NODE]).ok_or("none")?;
        if node["metadata"]["uid"] == before.uid() { Err("the old one") } else { Ok(()) }
    });
    let published =
        chart::published("a verdict on the new Node", 120, super::context::node::Published::passes);
    let after = Node::read();
    assert_ne!(before.uid(), after.uid());
    assert_eq!(published.annotation("boot-id"), Some(after.boot_id()));
    kubectl::show(&["get", "node", NODE, "-L", "hugeprobe.io/verdict,hugeprobe.io/hugepages-1Gi"]);
}

/// Has the Node's verdict be of another boot.
fn forge_boot_id() {
    let forged = "hugeprobe.io/boot-id=00000000-0000-0000-0000-000000000000";
    kubectl::must(&["annotate", "node", NODE, "--overwrite", forged]);
}

fn forged() {
    forge_boot_id();
    let node = Node::read();
    chart::published("the boot id is this boot's again", 60, |published| {
        published.annotation("boot-id") == Some(node.boot_id())
    });
    chart::published("and the verdict is pass", 60, super::context::node::Published::passes);
}

/// No agent is there, and the Node's verdict is of another boot, as between a reboot and the agent's start.
fn another_boot() {
    let none = chart::with(&json!({"nodeSelector": {"hugeprobe-case": "no-agent"}}));
    wait::until("no agent is there", 60, || {
        let agents =
            kubectl::list(&["pods", "--namespace", NAMESPACE, "-l", "app.kubernetes.io/component=agent"]);
        if agents.is_empty() { Ok(()) } else { Err(agents.len()) }
    });
    forge_boot_id();
    assert!(
        Node::read().published().passes(),
        "the label is that of the boot before: nodeAffinity cannot tell"
    );
    let said = script("inside")
        .args([env!("CARGO_BIN_EXE_hugeprobe"), "nodes"])
        .env("KUBECONFIG", super::context::left("state/admin.conf"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    said.lines().for_each(|line| println!("    {line}"));
    assert!(said.contains("stale") && said.contains("another boot"), "{said}");

    // No probe finds a page: what is published then is what the agent makes of the verdict that it finds.
    let holder = Holder::take(SMALL.free());
    drop(none);
    let node = Node::read();
    chart::published("void, and of this boot", 60, |published| {
        published.annotation("boot-id") == Some(node.boot_id())
            && published.verdict() == Some("unknown")
            && !published.passes()
            && !published.passes_for("2Mi")
    });
    chart::show_ours();
    drop(holder);
    chart::published("a pass once it could be probed", 120, super::context::node::Published::passes);
}

fn malformed() {
    kubectl::must(&[
        "annotate",
        "node",
        NODE,
        "--overwrite",
        "hugeprobe.io/verdict=<pass>",
        "hugeprobe.io/valid-until=next year",
        "hugeprobe.io/summary=",
    ]);
    kubectl::must(&["label", "node", NODE, "--overwrite", "hugeprobe.io/verdict=splendid"]);
    chart::published("what was there before", 60, |published| {
        published.passes()
            && published.labels.get("verdict").is_some_and(|label| label == "pass")
            && published.annotation("valid-until").is_some_and(|time| time.starts_with("20"))
            && published.annotation("summary").is_some_and(|summary| !summary.is_empty())
    });
}

/// A daemon that is started again when this goes.
struct Back(&'static str);

impl Drop for Back {
    fn drop(&mut self) {
        daemon("start", self.0);
    }
}
