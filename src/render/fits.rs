//! `hugeprobe fits`: a line for each node, with the first reason for which the pod would not work there.
//!
//! The short form is for grep and awk. Its words and their order are stable, and new fields are added only at the end
//! of a line:
//!
//! ```text
//! all fits yes 1 of 3
//! node-a yes
//! node-b no scheduler the node is cordoned
//! node-c unknown staleness the verdict is from another boot
//! ```

use std::io::{self, Write};

use super::json;
use super::style::{BOLD, DIM, Style, verdict_color};
use super::text::{clean, columns, shorten, wrap};
use hugeprobe_domain::check::Verdict;
use hugeprobe_domain::fit::{Fit, NodeFit};
use hugeprobe_domain::text::count;

/// The length of the longest node name that is shown in full.
const LONGEST_NAME: usize = 48;

/// What is written of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// A table for people.
    Table,
    /// A line for each node, for grep and awk.
    Short,
    /// Everything, for programs.
    Json,
    /// The names of the nodes on which the pod would work, as `kubectl get nodes -o name` writes them.
    Name,
}

/// Writes `fit`.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn render(fit: &Fit, view: View, out: &mut dyn Write, style: Style) -> io::Result<()> {
    match view {
        View::Table => table(fit, out, style),
        View::Short => short(fit, out),
        View::Json => json::value(fit, out),
        View::Name => fitting(fit)
            .try_for_each(|node| writeln!(out, "node/{}", clean(&node.name, super::Marks::Unicode))),
    }
}

fn fitting(fit: &Fit) -> impl Iterator<Item = &NodeFit> {
    fit.nodes.iter().filter(|node| node.verdict() == Verdict::Pass)
}

fn table(fit: &Fit, out: &mut dyn Write, style: Style) -> io::Result<()> {
    if fit.nodes.is_empty() {
        return writeln!(out, "no node matches");
    }
    let name = |node: &NodeFit| shorten(&clean(&node.name, style.marks), LONGEST_NAME, style.marks);
    let width = fit.nodes.iter().map(|node| columns(&name(node))).max().unwrap_or(0).max(4);
    writeln!(out, "{}", style.paint(BOLD, &format!("{:<width$}  FITS     REASON", "NODE")))?;
    let margin = width + 2 + 9;
    let room = style.columns().saturating_sub(margin).max(20);
    for node in &fit.nodes {
        let name = name(node);
        let padding = " ".repeat(width.saturating_sub(columns(&name)));
        let word = style.paint(verdict_color(node.verdict()), node.word()).to_string();
        let Some(reason) = &node.reason else {
            writeln!(out, "{name}{padding}  {word}")?;
            continue;
        };
        let gap = " ".repeat(9_usize.saturating_sub(node.word().len()));
        let text = format!("{}: {}", reason.step.word(), reason.why);
        for (index, line) in wrap(&clean(&text, style.marks), room, room).iter().enumerate() {
            if index == 0 {
                writeln!(out, "{name}{padding}  {word}{gap}{line}")?;
            } else {
                writeln!(out, "{:margin$}{line}", "")?;
            }
        }
    }
    writeln!(
        out,
        "\nfits on {} of {}: {}",
        fitting(fit).count(),
        count(fit.nodes.len(), "node"),
        fit.need.text()
    )?;
    limits(&fit.limits, out, style)
}

/// Writes what could not be read or was not compared.
pub(super) fn limits(limits: &[String], out: &mut dyn Write, style: Style) -> io::Result<()> {
    let room = style.columns().saturating_sub(2);
    for limit in limits {
        for (index, line) in wrap(&clean(limit, style.marks), room, room).iter().enumerate() {
            let margin = if index == 0 { "" } else { "  " };
            writeln!(out, "{margin}{}", style.paint(DIM, line))?;
        }
    }
    Ok(())
}

fn short(fit: &Fit, out: &mut dyn Write) -> io::Result<()> {
    let word = match fit.verdict() {
        Verdict::Pass | Verdict::Warn => "yes",
        Verdict::Unknown => "unknown",
        Verdict::Fail | Verdict::None => "no",
    };
    writeln!(out, "all fits {word} {} of {}", fitting(fit).count(), fit.nodes.len())?;
    for node in &fit.nodes {
        let name = clean(&node.name, super::Marks::Unicode);
        let reason = node
            .reason
            .as_ref()
            .map(|reason| format!(" {} {}", reason.step.word(), clean(&reason.why, super::Marks::Unicode)));
        writeln!(out, "{name} {}{}", node.word(), reason.unwrap_or_default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hugeprobe_domain::fit::{Need, Pages, Reason, Step};

    fn fit() -> Fit {
        let node = |name: &str, reason| NodeFit { name: name.to_owned(), reason };
        let pages: Pages = Pages::from([("1Gi".parse().unwrap(), 4)]);
        Fit {
            need: Need { pages, same_numa: true },
            nodes: vec![
                node("node-a", None),
                node("node-b", Some(Reason::no(Step::Scheduler, "the node is cordoned\u{1b}[2J".into()))),
                node(
                    "node-c",
                    Some(Reason::unknown(
                        Step::Staleness,
                        "expired at 2026-11-23T05:30:00Z and not renewed: no agent runs on the node".into(),
                    )),
                ),
            ],
            limits: vec!["not compared: CPU and memory".into()],
        }
    }

    fn shown(fit: &Fit, view: View) -> String {
        let mut out = Vec::new();
        render(fit, view, &mut out, Style::default()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_says_where_the_pod_fits_and_why_not_elsewhere() {
        assert_eq!(
            shown(&fit(), View::Table),
            "\
NODE    FITS     REASON
node-a  yes
node-b  no       scheduler: the node is cordoned\\u{1b}[2J
node-c  unknown  staleness: expired at 2026-11-23T05:30:00Z and not renewed: no agent runs on the
                 node

fits on 1 of 3 nodes: 4 pages of 1Gi on one NUMA node
not compared: CPU and memory
"
        );
        let none = Fit { nodes: Vec::new(), ..fit() };
        assert_eq!(shown(&none, View::Table), "no node matches\n");
    }

    #[test]
    fn the_other_forms_are_for_programs() {
        assert_eq!(
            shown(&fit(), View::Short),
            "\
all fits yes 1 of 3
node-a yes
node-b no scheduler the node is cordoned\\u{1b}[2J
node-c unknown staleness expired at 2026-11-23T05:30:00Z and not renewed: no agent runs on the node
"
        );
        assert_eq!(shown(&fit(), View::Name), "node/node-a\n");
        let json: serde_json::Value = serde_json::from_str(&shown(&fit(), View::Json)).unwrap();
        assert_eq!(json["schema"], "hugeprobe.io/fits/v1");
        assert_eq!((&json["needs"]["1Gi"], &json["sameNuma"]), (&4.into(), &true.into()));
        assert_eq!(json["nodes"][0]["step"], serde_json::Value::Null);
        assert_eq!(
            (&json["nodes"][2]["fits"], &json["nodes"][2]["step"]),
            (&"unknown".into(), &"staleness".into())
        );
    }
}
