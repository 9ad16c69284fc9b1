//! The chart and the rest agree: the agent understands `agent.json` as the chart renders it, the probe pod that the agent
//! makes is the one that charts/policies tries the admission policy with, and each alert has a page.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy.toml exempts functions marked #[test], not their helpers

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use hugeprobe::kubernetes::config::{Config, Mode, Profile};
use hugeprobe::kubernetes::probe_pod::{Asked, Identity, PageLimit, probe_pod};
use serde_json::Value;

const OVERLAYS: [&str; 3] = ["restricted", "privileged", "resident"];

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn config(overlay: &str) -> Config {
    let text = text(&format!("manifests/overlays/{overlay}/agent.json"));
    Config::parse(&text).unwrap_or_else(|error| panic!("{overlay}: {error}"))
}

#[test]
fn the_agent_understands_what_the_chart_renders() {
    for overlay in OVERLAYS {
        let config = config(overlay);
        assert_eq!(config.profile == Profile::Privileged, overlay == "privileged");
        assert_eq!(config.mode == Mode::Resident, overlay == "resident");
        assert!(!config.probe.image.is_empty());
    }
}

#[test]
fn what_the_chart_leaves_at_its_default_is_the_agents_default() {
    let image = config("restricted").probe.image;
    let bare = Config::parse(&format!(r#"{{"probe": {{"image": "{image}"}}}}"#)).unwrap();
    let mut rendered = config("restricted");
    // SessionEvent there, the same here: the pages of each size.
    rendered.probe.pages.clear();
    assert_eq!(rendered, bare);
    for (size, pages) in config("restricted").probe.pages {
        assert_eq!(bare.probe.pages(size), pages, "{size}");
    }
}

#[test]
fn the_chart_is_of_this_version() {
    let chart = text("charts/hugeprobe/Chart.yaml");
    assert!(chart.contains(&format!("\nappVersion: \"{}\"\n", env!("CARGO_PKG_VERSION"))), "{chart}");
}

#[test]
fn the_probe_pod_is_the_one_that_the_policy_is_tried_with() {
    let identity = Identity {
        node: "node-a".into(),
        pod: "agent-a".into(),
        pod_uid: "AGENT_UID".into(),
        namespace: "hugeprobe".into(),
    };
    let asked = Asked {
        size: "2Mi".parse().unwrap(),
        pages: 4,
        limit: PageLimit::Containers,
        need: Vec::new(),
        memory_pays: false,
    };
    let made = serde_json::to_value(probe_pod(&identity, &config("restricted"), &asked)).unwrap();
    let tried: Value = serde_json::from_str(&text("charts/policies/probe-pod.json")).unwrap();
    assert_eq!(made, tried, "made:\n{made:#}");
}

/// The alerts of the chart, each with its severity.
fn alerts() -> BTreeMap<String, String> {
    let rules = text("charts/hugeprobe/files/alerts.yaml");
    let severity = |rule: &str| rule.split("severity: ").nth(1)?.split('\n').next().map(str::to_owned);
    rules
        .split("\n- alert: ")
        .skip(1)
        .map(|rule| {
            let name = rule.split('\n').next().unwrap().to_owned();
            let severity = severity(rule).unwrap_or_else(|| panic!("{name} has no severity"));
            (name, severity)
        })
        .collect()
}

#[test]
fn each_alert_has_a_page_and_each_page_an_alert() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/howto/alerts");
    let pages: BTreeSet<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let alerts = alerts();
    assert!(!alerts.is_empty());
    assert_eq!(pages, alerts.keys().cloned().collect());
    let index = text("docs/howto/on-call.md");
    for (name, severity) in alerts {
        let page = text(&format!("docs/howto/alerts/{name}.md"));
        assert!(page.starts_with(&format!("# {name}\n")), "the title of the page of {name}");
        assert!(page.contains(&format!("**Severity**: {severity}.")), "{name} is {severity}");
        let titles = page.lines().filter_map(|line| line.strip_prefix("## "));
        let expected = ["See it", "Causes, the most likely first", "Do", "Do not", "Silence"];
        // Where each cause has a remedy of its own, the table of the causes has them.
        let in_table = page.contains("| do |");
        let expected = expected.into_iter().filter(|title| !(in_table && *title == "Do"));
        assert!(titles.eq(expected), "the sections of the page of {name}");
        let row = format!("| [{name}](alerts/{name}.md) | {severity} |");
        assert!(index.contains(&row), "docs/howto/on-call.md has no row {row}");
    }
}
