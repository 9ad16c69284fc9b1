//! The release as a whole: its test, an upgrade, its end.

use serde_json::json;

use super::context::node::Node;
use super::context::{NAMESPACE, NODE, chart, kubectl, pods, script, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case("helm test passes", helm_test),
    case("an upgrade to another version and image keeps the verdict", upgrade),
    case("an uninstall leaves the Node as it was", uninstall),
];

fn helm_test() {
    let said = chart::helm(&["test", "hugeprobe", "--namespace", NAMESPACE, "--timeout", "90s"], "").unwrap();
    for line in said.lines() {
        println!("    {line}");
    }
}

fn upgrade() {
    let before = Node::read().published();
    let agent = chart::agent();
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().to_str().unwrap();
    chart::helm(
        &["package", &chart::path(), "--version", "9.9.9", "--app-version", "9.9.9", "--destination", to],
        "",
    )
    .unwrap();

    // The same image under another tag is another image to helm and to the kubelet.
    let base = std::fs::read_to_string(super::context::left("state/image")).unwrap();
    let old = format!("localhost/hugeprobe:{}", base.trim());
    let retagged = [
        "ctr",
        "--address",
        "/run/containerd/containerd.sock",
        "--namespace",
        "k8s.io",
        "images",
        "tag",
        "--force",
    ];
    let status =
        script("inside").arg("--mount").args(retagged).args([&old, "localhost/hugeprobe:9.9.9"]).status();
    assert!(status.unwrap().success());

    let archive = format!("{to}/hugeprobe-9.9.9.tgz");
    chart::install(&archive, &json!({"image": {"tag": "9.9.9"}})).unwrap();
    wait::until("another agent runs", 60, || {
        let now = chart::agent();
        if chart::meta(&now, "uid") == chart::meta(&agent, "uid") { Err("the old one") } else { Ok(()) }
    });
    wait::throughout("the verdict is there, and is pass", 10, || {
        let published = Node::read().published();
        if published.passes() { Ok(()) } else { Err(published) }
    });
    println!(
        "    checked-at before {:?}, after {:?}",
        before.annotation("checked-at"),
        Node::read().published().annotation("checked-at")
    );
    kubectl::show(&[
        "get",
        "pods",
        "--namespace",
        NAMESPACE,
        "-o",
        "custom-columns=NAME:.metadata.name,IMAGE:.spec.containers[0].image",
    ]);
    chart::install(&chart::path(), &json!({})).unwrap();
}

fn uninstall() {
    chart::helm(&["uninstall", "hugeprobe", "--namespace", NAMESPACE, "--wait", "--timeout", "120s"], "")
        .unwrap();
    let again = Installed;
    let bare = Node::read();
    assert!(bare.published().is_nothing(), "{:#?}", bare.published());
    let managers: Vec<String> = bare.json()["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| entry["manager"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert!(!managers.iter().any(|manager| manager.contains("hugeprobe")), "{managers:?}");
    assert!(pods::probes().is_empty());
    let left = kubectl::must(&[
        "get",
        "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,priorityclasses",
        "-o",
        "name",
    ]);
    assert!(!left.contains("hugeprobe"), "{left}");
    kubectl::show(&[
        "get",
        "all,configmaps,serviceaccounts,roles,rolebindings,resourcequotas",
        "--namespace",
        NAMESPACE,
    ]);

    // Installed and uninstalled once more, the Node is to the field what it was.
    let before = bare.without_us();
    drop(again);
    chart::published("a verdict again", 90, super::context::node::Published::passes);
    chart::helm(&["uninstall", "hugeprobe", "--namespace", NAMESPACE, "--wait", "--timeout", "120s"], "")
        .unwrap();
    let again = Installed;
    let now = Node::read();
    assert!(now.published().is_nothing(), "{:#?}", now.published());
    assert_eq!(now.without_us(), before, "the Node as it was");
    kubectl::show(&["get", "node", NODE, "-o", "jsonpath={.metadata.annotations}"]);
    drop(again);
}

/// The release is installed again when this goes.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        if let Err(error) = chart::install(&chart::path(), &json!({})) {
            println!("    the release was not installed again: {error}");
        }
    }
}
