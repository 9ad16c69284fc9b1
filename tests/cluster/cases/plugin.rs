//! The kubectl plugin in a real cluster: kubectl finds it on its path, and each verb answers about the real node.

use std::env;
use std::os::unix::fs::symlink;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::context::node::Node;
use super::context::pools::SMALL;
use super::context::{NODE, WORKLOADS, chart, kubectl, left, pods, script, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case("kubectl finds the plugin on its path", found),
    case("each verb of the plugin answers about the real node", verbs),
    case("a recheck is one new probe of each size, and needs no more than to patch the Node", recheck),
];

/// A directory with the plugin, for PATH.
struct Plugin(tempfile::TempDir);

// === impl Plugin ===

impl Plugin {
    fn install() -> Self {
        let directory = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_hugeprobe"), directory.path().join("kubectl-hugeprobe")).unwrap();
        Self(directory)
    }

    /// Runs kubectl with the plugin on its path and the kubeconfig in its environment: kubectl accepts no options before
    /// the name of a plugin.
    fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        self.run(&[], arguments)
    }

    /// The same as the arguments of another command.
    fn run(&self, below: &[&str], arguments: &[&str]) -> Result<String, String> {
        let path = format!("PATH={}:{}", self.0.path().display(), env::var("PATH").unwrap());
        let config = format!("KUBECONFIG={}", left("state/admin.conf").display());
        let kubernetes = left("bin/kubernetes");
        let mut command = script("inside");
        command.args(["env", &path, &config]).args(below).arg(kubernetes).arg("kubectl").args(arguments);
        kubectl::finish(&mut command, "")
    }

    /// Runs a verb that must succeed, and shows it.
    fn show(&self, arguments: &[&str]) -> String {
        let arguments = [&["hugeprobe"], arguments].concat();
        let text = self
            .kubectl(&arguments)
            .unwrap_or_else(|error| panic!("kubectl {}: {error}", arguments.join(" ")));
        println!("    $ kubectl {}", arguments.join(" "));
        text.lines().for_each(|line| println!("    {line}"));
        text
    }
}

fn found() {
    let plugin = Plugin::install();
    let listed = plugin.kubectl(&["plugin", "list"]).unwrap();
    assert!(listed.contains("/kubectl-hugeprobe"), "{listed}");
    let table = plugin.show(&[]);
    assert!(table.contains("NODE") && table.contains(&format!("{NODE}  pass")), "{table}");
    assert_eq!(plugin.show(&["-o", "name"]), format!("node/{NODE}\n"));
}

fn verbs() {
    let plugin = Plugin::install();
    let holder = kubectl::apply_for_now(&pods::workload("holder", SMALL, 2, 2));
    pods::running(WORKLOADS, "holder", 30);

    assert!(plugin.show(&["-o", "wide"]).contains("2Mi PAGES"));
    let template = "{range .nodes[*]}{.name}={.verdict}{\"\\n\"}{end}";
    assert_eq!(plugin.show(&["-o", &format!("jsonpath={template}")]), format!("{NODE}=pass\n"));
    assert!(plugin.show(&["-o", "yaml"]).contains(&format!("name: {NODE}")));
    plugin.show(&["--wait", "--for", "pass", "--timeout", "30s"]);
    let by = |path: &str| plugin.kubectl(&["hugeprobe", "-o", "name", "--sort-by", path]);
    assert_eq!(by(".metadata.creationTimestamp"), Ok(format!("node/{NODE}\n")));
    assert!(by(".metadata.no").unwrap_err().contains("no Node has the field '.metadata.no'"));
    assert!(plugin.show(&["node", NODE]).starts_with(NODE));
    assert!(plugin.show(&["fits", "--hugepages-2Mi", "4Mi"]).contains("yes"));
    assert!(plugin.show(&["why", "pod/holder", "-n", WORKLOADS]).contains("all containers are ready"));

    // The agent ignores what is not a time, and the watch shows that the Node has changed.
    let annotate = |value: &str| kubectl::must(&["annotate", "node", NODE, value, "--overwrite"]);
    let plugin_of_watch = &plugin;
    let watched = thread::scope(|scope| {
        let for_a_while = ["sh", "-c", "timeout 8 \"$@\" || true", "sh"];
        let watch =
            scope.spawn(move || plugin_of_watch.run(&for_a_while, &["hugeprobe", "--watch"]).unwrap());
        thread::sleep(Duration::from_secs(3));
        annotate("hugeprobe.io/recheck=x");
        annotate("hugeprobe.io/recheck-");
        watch.join().unwrap()
    });
    let row = format!("{NODE}  pass");
    let rows = watched.lines().filter(|line| line.starts_with(&row)).count();
    assert!(watched.starts_with("NODE") && rows == 3, "{watched}");
    // The agent reads the pools each second.
    let who = wait::until("the pages of the workload are seen in use", 20, || {
        let who = plugin.show(&["who", NODE]);
        if who.contains("  2 in use, 2 requested by pods") { Ok(who) } else { Err(who) }
    });
    assert!(who.contains(&format!("{WORKLOADS}/holder")) && who.contains("numa0"), "{who}");
    drop(holder);
}

fn recheck() {
    let plugin = Plugin::install();
    let before = chart::ended(SMALL, "pass");
    let checked = Node::read().published().annotation("checked-at").map(str::to_owned);
    let shown = plugin.show(&["recheck", NODE, "--wait", "--timeout", "2m"]);
    assert!(shown.contains(&format!("node/{NODE} asked")) && shown.contains("pass"), "{shown}");
    assert_eq!(chart::ended(SMALL, "pass"), before + 1);
    let published = Node::read().published();
    assert_eq!(published.annotation("recheck"), published.annotation("rechecked"));
    assert_ne!(published.annotation("checked-at").map(str::to_owned), checked);
    assert!(plugin.show(&["node", NODE]).contains("answered"));
    assert!(
        plugin.kubectl(&["hugeprobe", "recheck", "other"]).unwrap_err().contains("there is no node other")
    );

    // An operator needs to patch Nodes, and nothing of hugeprobe's.
    let role = kubectl::apply_for_now(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "recheck"},
        "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch", "get"]}],
    }));
    let by_operator = || {
        let value = "hugeprobe.io/recheck=2026-01-01T00:00:00Z";
        kubectl::run(&["annotate", "node", NODE, value, "--overwrite", "--as", "operator"])
    };
    assert!(by_operator().unwrap_err().contains("forbidden"));
    let binding = kubectl::apply_for_now(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "recheck"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "recheck"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "operator"}],
    }));
    by_operator().unwrap();
    // It is older than the last probe: it is answered without another.
    wait::until("the old request is answered", 30, || {
        match Node::read().published().annotation("rechecked") {
            Some("2026-01-01T00:00:00Z") => Ok(()),
            other => Err(other.map(str::to_owned)),
        }
    });
    assert_eq!(chart::ended(SMALL, "pass"), before + 1);
    kubectl::must(&["annotate", "node", NODE, "hugeprobe.io/recheck-"]);
    drop(binding);
    drop(role);
}
