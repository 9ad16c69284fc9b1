//! `hugeprobe nodes`: one line for each node of a cluster. The reasons follow below a node that does not pass.
//!
//! The short form is for grep and awk. Its words and their order are stable, and new fields are added only at the end
//! of a line:
//!
//! ```text
//! all verdict unknown
//! node-a pass 2Mi=pass 1Gi=pass checked=2026-11-23T05:00:00Z valid=2026-11-23T06:12:00Z
//! node-b stale 2Mi=unknown checked=2026-11-20T05:00:00Z valid=2026-11-20T06:03:00Z
//! node-c missing checked=- valid=-
//! ```

use std::collections::BTreeSet;
use std::io::{self, Write};

use jiff::Timestamp;

use super::json;
use super::style::{BOLD, DIM, Style, verdict_color};
use super::text::{clean, columns, shorten, wrap};
use hugeprobe_domain::check::Verdict;
use hugeprobe_domain::published::{Cause, Fleet, FleetNode};
use hugeprobe_domain::size::PageSize;

/// The length of the longest node name that is shown in full.
const LONGEST_NAME: usize = 48;
const GAP: &str = "  ";

/// The number of nodes that are named for a cause.
const NAMED: usize = 3;

/// What is written of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// A line for each node, and below it why it does not pass.
    Table {
        /// With the line of column names and the line of totals.
        headers: bool,
    },
    /// A line for each cause, with the number of nodes and some of their names.
    Causes {
        /// With the line of column names.
        headers: bool,
    },
    /// A line for each node, for grep and awk.
    Short,
    /// Everything, for programs.
    Json,
    /// The names alone, as `kubectl get nodes -o name` writes them.
    Name,
}

/// Writes `fleet`.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn render(fleet: &Fleet, view: View, out: &mut dyn Write, style: Style) -> io::Result<()> {
    match view {
        View::Table { headers } => table(fleet, headers, out, style),
        View::Causes { headers } => causes(&fleet.causes(), headers, out, style),
        View::Short => short(fleet, out),
        View::Json => json::value(fleet, out),
        View::Name => fleet
            .nodes
            .iter()
            .try_for_each(|node| writeln!(out, "node/{}", clean(&node.name, super::Marks::Unicode))),
    }
}

fn causes(causes: &[Cause<'_>], headers: bool, out: &mut dyn Write, style: Style) -> io::Result<()> {
    if causes.is_empty() {
        return writeln!(out, "no node has a cause for which it does not pass");
    }
    if headers {
        writeln!(out, "{}", style.paint(BOLD, "COUNT  CAUSE"))?;
    }
    let room = style.columns().saturating_sub(7);
    for cause in causes {
        let id = match cause.check {
            Some((id, Some(size))) => format!("{id} {size} "),
            Some((id, None)) => format!("{id} "),
            None => String::new(),
        };
        for (index, text) in wrap(&clean(&(id + &cause.text), style.marks), room, room).iter().enumerate() {
            let count = if index == 0 { cause.nodes.len().to_string() } else { String::new() };
            writeln!(out, "{count:>5}  {text}")?;
        }
        let mut named = cause.nodes.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
        if let Some(more) = cause.nodes.len().checked_sub(NAMED).filter(|more| *more > 0) {
            named += &format!(" and {more} more");
        }
        writeln!(out, "       {}", style.paint(DIM, &clean(&named, style.marks)))?;
    }
    Ok(())
}

fn table(fleet: &Fleet, headers: bool, out: &mut dyn Write, style: Style) -> io::Result<()> {
    if fleet.nodes.is_empty() {
        return writeln!(out, "no node matches");
    }
    let sizes = sizes(fleet);
    let mut rows = vec![head(&sizes)];
    rows.extend(fleet.nodes.iter().map(|node| row(node, &sizes, fleet.at, style)));
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len))
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|text| columns(text)).max().unwrap_or(0)
        })
        .collect();
    for (index, row) in rows.iter().enumerate().skip(usize::from(!headers)) {
        let node = index.checked_sub(1).and_then(|index| fleet.nodes.get(index));
        line(row, &widths, node, out, style)?;
        if let Some(node) = node {
            reasons(node, out, style)?;
        }
    }
    if !headers {
        return Ok(());
    }
    let counts: Vec<_> = fleet.counts().into_iter().map(|(word, count)| format!("{count} {word}")).collect();
    let (total, noun) = (fleet.nodes.len(), if fleet.nodes.len() == 1 { "node" } else { "nodes" });
    let verdict = fleet.verdict().to_string();
    writeln!(
        out,
        "\nverdict  {}     {total} {noun}: {}",
        style.paint(verdict_color(fleet.verdict()), &verdict),
        counts.join(", ")
    )
}

fn head(sizes: &[PageSize]) -> Vec<String> {
    let mut row = vec!["NODE".to_owned(), "VERDICT".to_owned()];
    row.extend(sizes.iter().map(ToString::to_string));
    row.push("CHECKED".to_owned());
    row
}

fn row(node: &FleetNode, sizes: &[PageSize], now: Timestamp, style: Style) -> Vec<String> {
    let mut row =
        vec![shorten(&clean(&node.name, style.marks), LONGEST_NAME, style.marks), node.state.word()];
    row.extend(
        sizes.iter().map(|size| node.size(*size).map_or("-".to_owned(), |verdict| verdict.to_string())),
    );
    row.push(node.published.checked_at.map_or("-".to_owned(), |at| ago(at, now)));
    row
}

/// Writes one row. Each cell is padded to the width of its column; only the word is coloured, not the padding.
fn line(
    row: &[String],
    widths: &[usize],
    node: Option<&FleetNode>,
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    for (column, (text, width)) in row.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width.saturating_sub(columns(text)));
        let gap = if column == 0 { "" } else { GAP };
        match (column, node) {
            (_, None) => write!(out, "{gap}{}", style.paint(BOLD, text))?,
            (1, Some(node)) => {
                write!(out, "{gap}{}", style.paint(verdict_color(node.state.verdict()), text))?;
            }
            _ => write!(out, "{gap}{text}")?,
        }
        if column + 1 < row.len() {
            write!(out, "{padding}")?;
        }
    }
    writeln!(out)
}

/// Writes why the verdict of a node does not count; if it counts, writes what did not pass.
fn reasons(node: &FleetNode, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let published = &node.published;
    let mut reasons = Vec::new();
    if let Some(why) = node.state.why() {
        reasons.push(why);
    } else {
        for ((id, size), text) in &published.checks {
            reasons.push(match size {
                Some(size) => format!("{size} {id} {text}"),
                None => format!("{id} {text}"),
            });
        }
        if reasons.is_empty() && !matches!(node.state.verdict(), Verdict::Pass | Verdict::None) {
            reasons.push(published.summary.clone());
        }
        if !published.probe.is_empty() {
            reasons.push(format!("probe: {}", published.probe));
        }
    }
    let room = style.columns().saturating_sub(4);
    for reason in reasons.iter().filter(|reason| !reason.is_empty()) {
        for (index, text) in wrap(&clean(reason, style.marks), room, room).iter().enumerate() {
            let margin = if index == 0 { "  " } else { "    " };
            writeln!(out, "{margin}{}", style.paint(DIM, text))?;
        }
    }
    Ok(())
}

fn short(fleet: &Fleet, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "all verdict {}", fleet.verdict())?;
    for node in &fleet.nodes {
        write!(out, "{} {}", clean(&node.name, super::Marks::Unicode), node.state.word())?;
        for size in node.published.sizes.keys() {
            let verdict = node.size(*size).unwrap_or(Verdict::Unknown);
            write!(out, " {size}={verdict}")?;
        }
        let time = |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| at.to_string());
        let published = &node.published;
        writeln!(out, " checked={} valid={}", time(published.checked_at), time(published.valid_until))?;
    }
    Ok(())
}

fn sizes(fleet: &Fleet) -> Vec<PageSize> {
    let sizes: BTreeSet<PageSize> =
        fleet.nodes.iter().flat_map(|node| node.published.sizes.keys().copied()).collect();
    sizes.into_iter().collect()
}

/// Returns the time since `at` in the largest unit that gives at least 2, as kubectl does.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(at.as_second());
    match seconds {
        ..0 => "in the future".to_owned(),
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use hugeprobe_domain::published::{Published, VerdictState};

    const BOOT: &str = "6a1d2c3e-0000-4fff-8abc-0123456789ab";

    fn node(name: &str, verdict: Verdict, boot: &str) -> FleetNode {
        let published = Published {
            verdict: Some(verdict),
            boot_id: Some(BOOT.into()),
            checked_at: Some("2026-11-23T05:00:00Z".parse().unwrap()),
            valid_until: Some("2026-11-23T06:00:00Z".parse().unwrap()),
            summary: "2Mi 8/8".into(),
            sizes: BTreeMap::from([("2Mi".parse().unwrap(), verdict)]),
            ..Published::default()
        };
        let state = published.state(boot, now());
        FleetNode { name: name.into(), boot_id: boot.into(), published, state }
    }

    fn now() -> Timestamp {
        "2026-11-23T05:03:00Z".parse().unwrap()
    }

    fn fleet() -> Fleet {
        let mut broken = node("node-b", Verdict::Fail, BOOT);
        broken.published.checks.insert(
            ("HP105".parse().unwrap(), Some("1Gi".parse().unwrap())),
            "no free page: 14 of 16 are held\u{1b}[2J by nobody".into(),
        );
        let missing = FleetNode {
            name: "node-d".into(),
            boot_id: BOOT.into(),
            published: Published::default(),
            state: VerdictState::Missing,
        };
        let nodes =
            vec![node("node-a", Verdict::Pass, BOOT), broken, node("node-c", Verdict::Pass, "x"), missing];
        Fleet { at: now(), nodes }
    }

    const TABLE: View = View::Table { headers: true };

    fn shown(fleet: &Fleet, view: View) -> String {
        let mut out = Vec::new();
        render(fleet, view, &mut out, Style::default()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_says_at_a_glance_who_is_well_and_why_the_others_are_not() {
        assert_eq!(
            shown(&fleet(), TABLE),
            "\
NODE    VERDICT  2Mi      CHECKED
node-a  pass     pass     3 min ago
node-b  fail     fail     3 min ago
  1Gi HP105 no free page: 14 of 16 are held\\u{1b}[2J by nobody
node-c  stale    unknown  3 min ago
  the verdict is from another boot
node-d  missing  -        -
  no verdict: no agent runs on the node, or it has not reported yet

verdict  fail     4 nodes: 1 fail, 1 missing, 1 pass, 1 stale
"
        );
    }

    #[test]
    fn a_cause_has_a_line_with_its_count_and_three_nodes() {
        let mut fleet = fleet();
        fleet.nodes.extend(["e", "f", "g"].map(|name| node(&format!("node-{name}"), Verdict::Pass, "x")));
        assert_eq!(
            shown(&fleet, View::Causes { headers: true }),
            "\
COUNT  CAUSE
    4  stale: the verdict is from another boot
       node-c, node-e, node-f and 1 more
    1  HP105 1Gi no free page: 14 of 16 are held\\u{1b}[2J by nobody
       node-b
    1  missing: no verdict: no agent runs on the node, or it has not reported yet
       node-d
"
        );
        assert!(!shown(&fleet, View::Causes { headers: false }).contains("COUNT"));
        let good = Fleet { at: now(), nodes: vec![node("node-a", Verdict::Pass, BOOT)] };
        assert!(shown(&good, View::Causes { headers: true }).starts_with("no node has a cause"));
    }

    #[test]
    fn nodes_that_pass_are_left_out_and_so_are_headers() {
        let failing = fleet().failing();
        assert_eq!(shown(&failing, View::Name), "node/node-b\nnode/node-c\nnode/node-d\n");
        let table = shown(&failing, View::Table { headers: false });
        assert!(table.starts_with("node-b") && !table.contains("verdict  "), "{table}");
    }

    #[test]
    fn the_short_form_has_a_line_per_node() {
        assert_eq!(
            shown(&fleet(), View::Short),
            "\
all verdict fail
node-a pass 2Mi=pass checked=2026-11-23T05:00:00Z valid=2026-11-23T06:00:00Z
node-b fail 2Mi=fail checked=2026-11-23T05:00:00Z valid=2026-11-23T06:00:00Z
node-c stale 2Mi=unknown checked=2026-11-23T05:00:00Z valid=2026-11-23T06:00:00Z
node-d missing checked=- valid=-
"
        );
    }

    #[test]
    fn json_carries_what_the_verdict_rests_on() {
        let json: serde_json::Value = serde_json::from_str(&shown(&fleet(), View::Json)).unwrap();
        assert_eq!(json["schema"], "hugeprobe.io/nodes/v1");
        assert_eq!(json["verdict"], "fail");
        assert_eq!(json["nodes"][2]["verdict"], "unknown");
        assert_eq!(json["nodes"][2]["standing"], "stale");
        assert_eq!(json["nodes"][2]["bootId"], BOOT);
        assert_eq!(json["nodes"][2]["nodeBootId"], "x");
        assert_eq!(json["nodes"][1]["checks"][0]["id"], "HP105");
        assert!(!shown(&fleet(), View::Json).contains('\u{1b}'));
    }

    #[test]
    fn nobody_there_is_said_in_words() {
        assert_eq!(shown(&Fleet { at: now(), nodes: Vec::new() }, TABLE), "no node matches\n");
    }

    #[test]
    fn ages_are_told_in_the_unit_that_says_most() {
        for (second, text) in [
            (-1, "in the future"),
            (0, "0 s ago"),
            (119, "119 s ago"),
            (120, "2 min ago"),
            (7200, "2 h ago"),
            (200_000, "2 d ago"),
        ] {
            let at = Timestamp::from_second(now().as_second() - second).unwrap();
            assert_eq!(ago(at, now()), text);
        }
    }
}
