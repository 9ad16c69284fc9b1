//! The release as a whole: its test, an upgrade, its end.

use std::time::Instant;

use serde_json::json;

use super::context::node::Node;
use super::context::pools::SMALL;
use super::context::{MUTATING_POLICIES, NAMESPACE, NODE, chart, kubectl, minor, pods, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case("helm test passes", helm_test),
    case("an upgrade to another version and image keeps the verdict", upgrade),
    case("an agent of the release before keeps its verdict until its turn comes", rolling_out),
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
    pods::tag_image("9.9.9");
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

/// The policy has the image of the new release at once, the agents one after another.
fn rolling_out() {
    pods::tag_image("9.9.9");
    let old = chart::agent();
    let changed = chart::with(&json!({"updateStrategy": {"type": "OnDelete"}, "image": {"tag": "9.9.9"}}));
    assert_eq!(chart::meta(&chart::agent(), "uid"), chart::meta(&old, "uid"), "the old agent is still there");
    let due = chart::due(SMALL);
    let published = chart::published("the old agent's probe pod is denied", 60, |published| {
        published.names("HP203", "2Mi")
    });
    assert!(published.passes() && published.passes_for("2Mi"), "the verdict stands: {published:#?}");
    chart::show_ours();
    kubectl::must(&["delete", "pod", chart::meta(&old, "name"), "--namespace", NAMESPACE]);
    chart::concluded("the new agent is let", SMALL, 0);
    chart::published("and the warning is gone", 60, |published| {
        published.passes() && !published.names("HP203", "2Mi")
    });
    drop(due);
    drop(changed);
    // OnDelete is over, and with it the agent that it kept.
    chart::settled();
}

/// Uninstalls the release.
pub(crate) fn uninstalled() -> Installed {
    chart::helm(&["uninstall", "hugeprobe", "--namespace", NAMESPACE, "--wait", "--timeout", "120s"], "")
        .unwrap();
    Installed
}

fn uninstall() {
    let again = uninstalled();
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
    let mut kinds = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,priorityclasses".to_owned();
    // kubectl fails on a kind that the API server does not have.
    if minor().unwrap() >= MUTATING_POLICIES {
        kinds += ",mutatingadmissionpolicies,mutatingadmissionpolicybindings";
    }
    let left = kubectl::must(&["get", &kinds, "-o", "name"]);
    assert!(!left.contains("hugeprobe"), "{left}");
    kubectl::show(&[
        "get",
        "all,configmaps,serviceaccounts,roles,rolebindings,resourcequotas",
        "--namespace",
        NAMESPACE,
    ]);

    // Installed and uninstalled once more, the Node is to the field what it was.
    let before = bare.without_us();
    let watch = Watch::begin();
    drop(again);
    let (first, first_pass) = watch.verdicts();
    let since = |time: Instant| time.saturating_duration_since(pods::started(&chart::agent())).as_secs_f64();
    println!(
        "    from the agent's start to its first verdict {:.1} s, to a pass {:.1} s",
        since(first),
        since(first_pass)
    );
    let again = uninstalled();
    let now = Node::read();
    assert!(now.published().is_nothing(), "{:#?}", now.published());
    assert_eq!(now.without_us(), before, "the Node as it was");
    kubectl::show(&["get", "node", NODE, "-o", "jsonpath={.metadata.annotations}"]);
    drop(again);
}

/// Looks at the Node all the time, and notes when a verdict is there.
struct Watch(std::thread::JoinHandle<(Instant, Instant)>);

impl Watch {
    fn begin() -> Self {
        Self(std::thread::spawn(|| {
            let fields = r"jsonpath={.metadata.annotations.hugeprobe\.io/verdict}";
            let seen = |wanted: fn(&str) -> bool| {
                let begin = Instant::now();
                while begin.elapsed().as_secs() < 120 {
                    if wanted(&kubectl::run(&["get", "node", NODE, "-o", fields]).unwrap_or_default()) {
                        break;
                    }
                }
                Instant::now()
            };
            (seen(|verdict| !verdict.is_empty()), seen(|verdict| ["pass", "warn"].contains(&verdict)))
        }))
    }

    fn verdicts(self) -> (Instant, Instant) {
        self.0.join().unwrap()
    }
}

/// The release is installed again when this goes.
pub(crate) struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        if let Err(error) = chart::install(&chart::path(), &json!({})) {
            println!("    the release was not installed again: {error}");
        }
    }
}
