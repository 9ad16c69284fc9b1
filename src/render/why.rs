//! `hugeprobe why`: the messages about a pod, the known failures in them, and what is known of its node or of all nodes.

use std::io::{self, Write};

use super::style::{BOLD, Style};
use super::text::{clean, wrap};
use super::{fits, nodes, troubleshooting};
use hugeprobe_domain::published::Fleet;
use hugeprobe_domain::troubleshooting::search;
use hugeprobe_domain::why::{Place, PodReport};

/// Writes the report.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn render(report: &PodReport, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let node = report.node.as_ref().map_or("bound to no node".to_owned(), |node| format!("on node {node}"));
    let ready = if report.is_well && report.phase == "Running" { ", all containers are ready" } else { "" };
    let PodReport { namespace, name, phase, .. } = report;
    let head = format!("pod/{name} in namespace {namespace}: {phase}, {node}{ready}");
    writeln!(out, "{}", style.paint(BOLD, &clean(&head, style.marks)))?;
    if report.messages.is_empty() {
        writeln!(out, "  no message in its status or in a warning event")?;
    }
    let room = style.columns().saturating_sub(6);
    for (index, message) in report.messages.iter().enumerate() {
        for (row, text) in wrap(&clean(message, style.marks), room, room).iter().enumerate() {
            let number = if row == 0 { (index + 1).to_string() } else { String::new() };
            writeln!(out, "{number:>4}  {text}")?;
        }
    }
    let log = report.log();
    let found = search(&log);
    if !found.is_empty() {
        writeln!(out)?;
        troubleshooting::found(&found, out, style)?;
    }
    match &report.place {
        Place::Node(node) => {
            let fleet = Fleet { at: report.at, nodes: vec![node.as_ref().clone()] };
            writeln!(out)?;
            nodes::render(&fleet, nodes::View::Table(nodes::TableView::of(false)), out, style)?;
        }
        Place::Nodes(fit) => {
            writeln!(out)?;
            fits::render(fit, fits::View::Table, out, style)?;
        }
        Place::NoPages => writeln!(out, "\nthe pod requests no huge pages: the nodes are not compared")?,
        Place::Unread => {}
    }
    fits::limits(&report.limits, out, style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hugeprobe_domain::fit::{Fit, Need, NodeFit, Pages, Reason, Step};

    fn shown(report: &PodReport) -> String {
        let mut out = Vec::new();
        render(report, &mut out, Style::default()).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn report() -> PodReport {
        let pages = Pages::from([("1Gi".parse().unwrap(), 4)]);
        let reason = Reason::no(Step::Scheduler, "needs 4 pages of 1Gi; 2 allocatable".into());
        PodReport {
            at: "2026-11-23T05:30:00Z".parse().unwrap(),
            namespace: "nfv".into(),
            name: "dpdk".into(),
            phase: "Pending".into(),
            node: None,
            is_well: false,
            messages: vec![
                "event FailedScheduling: 0/1 nodes are available: 1 Insufficient hugepages-1Gi.\u{1b}[2J"
                    .into(),
            ],
            place: Place::Nodes(Fit {
                need: Need { pages, same_numa: false },
                nodes: vec![NodeFit { name: "node-a".into(), reason: Some(reason) }],
                limits: Vec::new(),
            }),
            limits: vec!["events are not shown: cannot list events: 403 Forbidden".into()],
        }
    }

    #[test]
    fn the_messages_come_first_then_what_is_known_about_them() {
        assert_eq!(
            shown(&report()),
            "\
pod/dpdk in namespace nfv: Pending, bound to no node
   1  event FailedScheduling: 0/1 nodes are available: 1 Insufficient hugepages-1Gi.\\u{1b}[2J

line 1    event FailedScheduling: 0/1 nodes are available: 1 Insufficient hugepages-1Gi.\\u{1b}[2J
cause     No node has that many pages left that no pod has requested, or the kubelet does not know
          of them.
remedy    compare the Node's allocatable with the pool; restart the kubelet if they differ
checks    HP203 ProbePodNotAdmitted, HP201 CapacityStale

NODE    FITS     REASON
node-a  no       scheduler: needs 4 pages of 1Gi; 2 allocatable

fits on 0 of 1 node: 4 pages of 1Gi
events are not shown: cannot list events: 403 Forbidden
"
        );
    }

    #[test]
    fn a_pod_that_runs_is_said_to_run() {
        let report = PodReport {
            is_well: true,
            phase: "Running".into(),
            messages: Vec::new(),
            place: Place::Unread,
            limits: Vec::new(),
            node: Some("node-a".into()),
            ..report()
        };
        assert_eq!(
            shown(&report),
            "\
pod/dpdk in namespace nfv: Running, on node node-a, all containers are ready
  no message in its status or in a warning event
"
        );
    }
}
