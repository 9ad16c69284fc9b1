//! The chart and the agent agree: `agent.json` as the chart renders it is understood, and the probe pod that the agent
//! makes is the one that charts/policies tries the admission policy with.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy.toml exempts functions marked #[test], not their helpers

use std::fs;
use std::path::Path;

use hugeprobe::kubernetes::config::{Config, Mode, Profile};
use hugeprobe::kubernetes::probe_pod::{Asked, Identity, probe_pod};
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
        frontend_pays: false,
        need: Vec::new(),
        memory_pays: false,
    };
    let made = serde_json::to_value(probe_pod(&identity, &config("restricted"), &asked)).unwrap();
    let tried: Value = serde_json::from_str(&text("charts/policies/probe-pod.json")).unwrap();
    assert_eq!(made, tried, "made:\n{made:#}");
}
