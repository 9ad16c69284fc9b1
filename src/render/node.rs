//! `hugeprobe node`: what is published of one node, the remedy of each check that did not pass, and the events.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::nodes::ago;
use super::style::{BOLD, DIM, Style, verdict_color};
use super::text::{clean, wrap};
use hugeprobe_domain::catalogue;
use hugeprobe_domain::node_report::NodeReport;
use hugeprobe_domain::published::VerdictState;
use hugeprobe_domain::size::PageSize;
use hugeprobe_domain::text::count;

/// The width of a label and the blanks after it, in columns.
const LABEL: usize = 11;

/// Writes the report.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn render(report: &NodeReport, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let NodeReport { at, node, events, limits } = report;
    let published = &node.published;
    let word = style.paint(verdict_color(node.state.verdict()), &node.state.word()).to_string();
    writeln!(out, "{}  {word}", style.paint(BOLD, &clean(&node.name, style.marks)))?;
    if let Some(why) = node.state.why() {
        labelled("not valid", &why, out, style)?;
    }
    labelled("summary", &published.summary, out, style)?;
    if let Some(checked) = published.checked_at {
        labelled("checked", &format!("{} ({checked})", ago(checked, *at)), out, style)?;
    }
    if let Some(until) = published.valid_until {
        labelled("valid", &format!("until {until}"), out, style)?;
    }
    let sizes: BTreeSet<PageSize> = published.sizes.keys().chain(published.pools.keys()).copied().collect();
    for size in sizes {
        let verdict = node.size(size).map_or_else(|| "no verdict".to_owned(), |verdict| verdict.to_string());
        let pool =
            published.pools.get(&size).map_or_else(|| "pool not published".to_owned(), ToString::to_string);
        labelled(&size.to_string(), &format!("{verdict}; {pool}"), out, style)?;
        if let Some(share) = published.shares.get(&size) {
            labelled("", &format!("sharing: {share}"), out, style)?;
        }
    }
    labelled("probe", &published.probe, out, style)?;
    labelled("recheck", &recheck(report), out, style)?;
    labelled("not seen", &published.unseen, out, style)?;
    let agent = [("version", &published.version), ("profile", &published.profile)];
    let agent: Vec<_> = agent.into_iter().filter(|(_, text)| !text.is_empty()).collect();
    let agent: Vec<_> = agent.into_iter().map(|(name, text)| format!("{name} {text}")).collect();
    labelled("agent", &agent.join(", "), out, style)?;
    labelled("boot", &node.boot_id, out, style)?;
    if node.state == VerdictState::OtherBoot {
        labelled(
            "",
            &format!("the verdict is from {}", published.boot_id.as_deref().unwrap_or("-")),
            out,
            style,
        )?;
    }
    for ((id, size), text) in &published.checks {
        let size = size.map(|size| format!("{size} ")).unwrap_or_default();
        writeln!(out)?;
        labelled("check", &format!("{size}{id} {text}"), out, style)?;
        labelled("remedy", catalogue::find(*id).map_or("", |check| check.remedy), out, style)?;
    }
    if !events.is_empty() {
        writeln!(out)?;
    }
    for event in events {
        let when = event.at.map_or_else(|| "-".to_owned(), |then| ago(then, *at));
        let times =
            if event.times > 1 { format!(" ({})", count(event.times, "time")) } else { String::new() };
        let warning = if event.is_warning { "warning " } else { "" };
        let text = format!("{when}, {warning}{}: {}{times}", event.reason, event.message);
        labelled("event", &text, out, style)?;
    }
    for limit in limits {
        writeln!(out, "{}", style.paint(DIM, &clean(limit, style.marks)))?;
    }
    Ok(())
}

/// Returns what became of the last request for another probe; empty if there was none.
fn recheck(report: &NodeReport) -> String {
    let published = &report.node.published;
    let asked = &published.recheck;
    if asked.is_empty() {
        return String::new();
    }
    let Ok(at) = asked.parse() else {
        return format!("'{asked}' is not a time in the form of RFC 3339: the agent ignores it");
    };
    let answer = if published.rechecked == *asked { "answered" } else { "not answered yet" };
    format!("requested {} ({asked}), {answer}", ago(at, report.at))
}

/// Writes `text` beside its label, wrapped to the width of the terminal; nothing if it is empty.
fn labelled(label: &str, text: &str, out: &mut dyn Write, style: Style) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let room = style.paragraph_columns().saturating_sub(LABEL + 2);
    let mut margin = format!("  {label:<LABEL$}");
    for line in wrap(&clean(text, style.marks), room, room) {
        writeln!(out, "{margin}{line}")?;
        margin = " ".repeat(LABEL + 2);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hugeprobe_domain::node_report::ObjectEvent;
    use hugeprobe_domain::published::{FleetNode, Published};

    fn report(boot: &str) -> NodeReport {
        let texts = [
            ("verdict", "fail"),
            ("summary", "1Gi fail: HP105 no free page\u{1b}[2J"),
            ("boot-id", "b"),
            ("checked-at", "2026-11-23T05:00:00Z"),
            ("valid-until", "2026-11-23T06:00:00Z"),
            ("pool.1Gi", "8 (numa0 4, numa1 4)"),
            ("share.1Gi", "pass"),
            ("check.HP105.1Gi", "fail: no free page"),
            ("unseen", "owners of pages (HP105)"),
            ("version", "0.1.0"),
            ("profile", "restricted"),
            ("hugepages-1Gi", "fail"),
        ];
        let texts = texts.map(|(key, text)| (format!("hugeprobe.io/{key}"), text.to_owned())).into();
        let published = Published::read(&texts, &texts, "hugeprobe.io/");
        let at = "2026-11-23T05:03:00Z".parse().unwrap();
        let state = published.state(boot, at);
        let event = |times, is_warning| ObjectEvent {
            at: "2026-11-23T05:00:00Z".parse().ok(),
            is_warning,
            reason: "PoolExhausted".into(),
            message: "1Gi fail".into(),
            times,
        };
        NodeReport {
            at,
            node: FleetNode { name: "node-a".into(), boot_id: boot.into(), published, state },
            events: vec![event(1, false), event(3, true)],
            limits: Vec::new(),
        }
    }

    fn shown(report: &NodeReport) -> String {
        let mut out = Vec::new();
        render(report, &mut out, Style::default()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn everything_that_is_published_is_shown_with_remedies_and_events() {
        let text = shown(&report("b"));
        let remedy = catalogue::find("HP105".parse().unwrap()).unwrap().remedy;
        let (before, rest) = text.split_once("  remedy     ").unwrap();
        assert_eq!(
            before,
            "\
node-a  fail
  summary    1Gi fail: HP105 no free page\\u{1b}[2J
  checked    3 min ago (2026-11-23T05:00:00Z)
  valid      until 2026-11-23T06:00:00Z
  1Gi        fail; 8 pages: numa0 4, numa1 4
             sharing: pass
  not seen   owners of pages (HP105)
  agent      version 0.1.0, profile restricted
  boot       b

  check      1Gi HP105 fail: no free page
"
        );
        assert!(rest.starts_with(remedy.split(' ').next().unwrap()), "{rest}");
        assert!(
            rest.ends_with(
                "
  event      3 min ago, PoolExhausted: 1Gi fail
  event      3 min ago, warning PoolExhausted: 1Gi fail (3 times)
"
            ),
            "{rest}"
        );
    }

    #[test]
    fn a_request_for_another_probe_is_shown_with_its_answer() {
        for (asked, rechecked, expected) in [
            ("", "", None),
            (
                "2026-11-23T05:01:00Z",
                "2026-11-23T05:01:00Z",
                Some("requested 2 min ago (2026-11-23T05:01:00Z), answered"),
            ),
            (
                "2026-11-23T05:02:50Z",
                "2026-11-23T05:01:00Z",
                Some("requested 10 s ago (2026-11-23T05:02:50Z), not answered yet"),
            ),
            ("now", "", Some("'now' is not a time in the form of RFC 3339: the agent ignores it")),
        ] {
            let mut report = report("b");
            let published = &mut report.node.published;
            (published.recheck, published.rechecked) = (asked.into(), rechecked.into());
            let text = shown(&report);
            let line = text.lines().find_map(|line| line.strip_prefix("  recheck    "));
            assert_eq!(line, expected, "{text}");
        }
    }

    #[test]
    fn a_verdict_of_another_boot_is_shown_as_stale() {
        let text = shown(&report("c"));
        assert!(text.starts_with("node-a  stale\n  not valid  the verdict is from another boot\n"), "{text}");
        assert!(
            text.contains("  1Gi        unknown; 8 pages") && text.contains("the verdict is from b\n"),
            "{text}"
        );
    }
}
