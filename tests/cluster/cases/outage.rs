//! What goes away and comes back: the agent, the API server, the Node.

use serde_json::{Value, json};

use super::context::node::Node;
use super::context::pools::SMALL;
use super::context::{NAMESPACE, NODE, chart, daemon, kubectl, pods, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case("an agent killed -9 during a probe leaves no pod and ends in a verdict", killed),
    case("an API server that was away gets the latest state, once", api_server),
    case("a Node that was deleted and registered again gets a verdict of its own", node_deleted),
    case("a forged boot id is overwritten, and is stale to readers until then", forged),
    case("foreign and malformed annotations under the prefix do not last", malformed),
];

fn killed() {
    let changed = chart::with(&json!({"expectations": [{"nodeSelector": {}, "expect": ["2Mi>=6"]}]}));
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
    chart::published("a pass all the same", 90, super::context::node::Published::passes);
    wait::until("no probe pod is left", 60, || match pods::probes().len() {
        0 => Ok(()),
        more => Err(more),
    });
    drop(changed);
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

fn forged() {
    kubectl::must(&[
        "annotate",
        "node",
        NODE,
        "--overwrite",
        "hugeprobe.io/boot-id=00000000-0000-0000-0000-000000000000",
    ]);
    let node = Node::read();
    chart::published("the boot id is this boot's again", 60, |published| {
        published.annotation("boot-id") == Some(node.boot_id())
    });
    chart::published("and the verdict is pass", 60, super::context::node::Published::passes);
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
