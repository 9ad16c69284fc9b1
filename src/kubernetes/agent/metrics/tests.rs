//! The text of `/metrics` is correct, and docs/reference/metrics.md lists every metric.

use super::*;
use crate::reconcile::{Blocked, BlockedKind};
use hugeprobe_domain::inventory::NumaPool;
use hugeprobe_domain::reading::Reading;

fn blocked(reason: &'static str) -> Blocked {
    Blocked { kind: BlockedKind::Busy, reason, why: "x".to_owned(), since: Timestamp::UNIX_EPOCH }
}

fn pool(numa: Vec<NumaPool>) -> Pool {
    Pool {
        size: "2Mi".parse().unwrap(),
        total: Reading::Known(8),
        free: Reading::Known(7),
        reserved: Reading::Known(1),
        surplus: Reading::Unreadable("EACCES".into()),
        overcommit: Reading::Absent,
        mempolicy: Reading::Absent,
        numa,
    }
}

fn numa(node: u32, total: u64) -> NumaPool {
    NumaPool { node, total: Reading::Known(total), free: Reading::Known(total), surplus: Reading::Known(0) }
}

fn lines(metrics: &Metrics, about: &str) -> Vec<String> {
    let mut lines: Vec<_> =
        metrics.text().lines().filter(|line| line.starts_with(about)).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn pages_add_up_over_numa_nodes_and_what_is_unreadable_has_no_series() {
    let metrics = Metrics::new();
    metrics.pools(&[pool(vec![numa(0, 5), numa(1, 3)])]);
    assert_eq!(
        lines(&metrics, "hugeprobe_pool_pages{"),
        [
            r#"hugeprobe_pool_pages{size="2Mi",numa_node="",state="reserved"} 1"#,
            r#"hugeprobe_pool_pages{size="2Mi",numa_node="0",state="free"} 5"#,
            r#"hugeprobe_pool_pages{size="2Mi",numa_node="0",state="surplus"} 0"#,
            r#"hugeprobe_pool_pages{size="2Mi",numa_node="0",state="total"} 5"#,
            r#"hugeprobe_pool_pages{size="2Mi",numa_node="1",state="free"} 3"#,
            r#"hugeprobe_pool_pages{size="2Mi",numa_node="1",state="surplus"} 0"#,
            r#"hugeprobe_pool_pages{size="2Mi",numa_node="1",state="total"} 3"#,
        ]
    );
    metrics.pools(&[pool(Vec::new())]);
    assert_eq!(
        lines(&metrics, "hugeprobe_pool_pages{"),
        [
            r#"hugeprobe_pool_pages{size="2Mi",numa_node="",state="free"} 7"#,
            r#"hugeprobe_pool_pages{size="2Mi",numa_node="",state="reserved"} 1"#,
            r#"hugeprobe_pool_pages{size="2Mi",numa_node="",state="total"} 8"#,
        ]
    );
}

#[test]
fn one_verdict_is_1_and_a_size_that_is_gone_has_no_series() {
    let metrics = Metrics::new();
    let size = "1Gi".parse().unwrap();
    metrics.verdicts(Verdict::Fail, &[SizeVerdict { size, verdict: Verdict::Fail }]);
    let ones =
        |about| lines(&metrics, about).into_iter().filter(|line| line.ends_with(" 1")).collect::<Vec<_>>();
    assert_eq!(ones("hugeprobe_verdict{"), [r#"hugeprobe_verdict{size="1Gi",verdict="fail"} 1"#]);
    assert_eq!(lines(&metrics, "hugeprobe_verdict{").len(), VERDICTS.len());
    metrics.verdicts(Verdict::None, &[]);
    assert_eq!(lines(&metrics, "hugeprobe_verdict{"), [""; 0]);
    assert_eq!(ones("hugeprobe_node_verdict{"), [r#"hugeprobe_node_verdict{verdict="none"} 1"#]);
}

#[test]
fn the_documentation_names_every_metric_and_no_other() {
    let metrics = Metrics::new();
    // A metric family without a series has no line.
    let size = "2Mi".parse().unwrap();
    metrics.pools(&[pool(Vec::new())]);
    metrics.verdicts(Verdict::Pass, &[SizeVerdict { size, verdict: Verdict::Pass }]);
    metrics.outcomes([("HP105".parse().unwrap(), None, Outcome::Pass)]);
    metrics.request(Verb::Get, Resource::Nodes, None);
    metrics.denied(Verb::Create, Resource::Pods);
    metrics.probes(&[ProbeView {
        size,
        last_concluded: Some(Timestamp::UNIX_EPOCH),
        last_seconds: Some(1.0),
        busy_since: Some(Timestamp::UNIX_EPOCH),
        blocked: Some(&blocked("pages")),
        ends: &std::collections::BTreeMap::from([("pass", 1)]),
    }]);
    let text = metrics.text();
    let mut registered: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        })
        .collect();
    let page = include_str!("../../../../docs/reference/metrics.md");
    let mut documented: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect();
    registered.sort();
    documented.sort();
    assert_eq!(registered, documented);
}

#[test]
fn a_size_that_is_gone_has_no_series_of_probes() {
    let metrics = Metrics::new();
    let size: PageSize = "1Gi".parse().unwrap();
    let ends = std::collections::BTreeMap::from([("busy", 1)]);
    let (cpu, pages) = (blocked("cpu"), blocked("pages"));
    let probe = |blocked| ProbeView {
        size,
        last_concluded: Some(Timestamp::UNIX_EPOCH),
        last_seconds: Some(1.0),
        busy_since: Some(Timestamp::UNIX_EPOCH),
        blocked: Some(blocked),
        ends: &ends,
    };
    metrics.probes(&[probe(&cpu)]);
    metrics.probes(&[probe(&pages)]);
    assert_eq!(
        lines(&metrics, "hugeprobe_probe_blocked"),
        [r#"hugeprobe_probe_blocked_since_timestamp_seconds{size="1Gi",kind="busy",reason="pages"} 0.0"#]
    );
    assert_eq!(
        lines(&metrics, "hugeprobe_probes_total"),
        [r#"hugeprobe_probes_total{size="1Gi",ending="busy"} 1"#]
    );
    metrics.probes(&[]);
    assert!(!metrics.text().contains("1Gi"), "{}", metrics.text());
}

#[test]
fn requests_are_counted_by_verb_resource_and_code() {
    let metrics = Metrics::new();
    metrics.request(Verb::Patch, Resource::NodesStatus, Some(200));
    metrics.request(Verb::Patch, Resource::NodesStatus, Some(200));
    metrics.request(Verb::Create, Resource::Events, None);
    assert_eq!(
        lines(&metrics, "hugeprobe_api_requests_total"),
        [
            r#"hugeprobe_api_requests_total{verb="create",resource="events",code="none"} 1"#,
            r#"hugeprobe_api_requests_total{verb="patch",resource="nodes/status",code="200"} 2"#,
        ]
    );
    assert!(metrics.text().contains("hugeprobe_build_info{version="), "{}", metrics.text());
}
