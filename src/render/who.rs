//! `hugeprobe who`: for each page size of a node the pool, the pods that request pages, and what is in use beyond that.

use std::io::{self, Write};

use super::fits::limits;
use super::style::{BOLD, Style};
use super::text::{clean, columns, wrap};
use hugeprobe_domain::size::PageSize;
use hugeprobe_domain::text::count;
use hugeprobe_domain::who::{Counters, Holdings, NodeHoldings, Remainder};

/// The margin of the lines below a page size.
const MARGIN: usize = 2;

/// Writes who holds the pages.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn render(who: &NodeHoldings, out: &mut dyn Write, style: Style) -> io::Result<()> {
    writeln!(out, "{}", style.paint(BOLD, &clean(&who.node, style.marks)))?;
    if who.sizes.is_empty() {
        writeln!(out, "\nthe node has no huge pages, and no pod on it requests any")?;
    }
    for (size, holdings) in &who.sizes {
        writeln!(out)?;
        of_size(*size, holdings, out, style)?;
    }
    if !who.limits.is_empty() {
        writeln!(out)?;
    }
    limits(&who.limits, out, style)
}

fn of_size(size: PageSize, holdings: &Holdings, out: &mut dyn Write, style: Style) -> io::Result<()> {
    writeln!(out, "{}", style.paint(BOLD, &format!("{}  {}", size.resource_name(), pool(holdings))))?;
    let mut rows: Vec<[String; 3]> = Vec::new();
    for pod in holdings.pods.iter().flatten() {
        rows.push([clean(&pod.pod, style.marks), pod.pages.to_string(), clean(&pod.phase, style.marks)]);
    }
    if !rows.is_empty() {
        rows.insert(0, ["POD", "PAGES", "PHASE"].map(str::to_owned));
    }
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|text| columns(text)).max().unwrap_or(0)
    };
    let (name, pages) = (width(0), width(1));
    for [pod, number, phase] in &rows {
        let padding = " ".repeat(name.saturating_sub(columns(pod)));
        writeln!(out, "{:MARGIN$}{pod}{padding}  {number:>pages$}  {phase}", "")?;
    }
    paragraph(&remainder(holdings), out, style)?;
    for (id, text) in &holdings.checks {
        paragraph(&format!("{id} {text}"), out, style)?;
    }
    Ok(())
}

/// Returns the pages of the pool: as the kernel counts them, or as they are published.
fn pool(holdings: &Holdings) -> String {
    let mut parts = Vec::new();
    match (&holdings.counters, &holdings.pool) {
        (Some(counters), _) => parts.push(kernel(counters)),
        (None, Some(pool)) => parts.push(pool.to_string()),
        (None, None) => {}
    }
    if let Some(allocatable) = holdings.allocatable {
        parts.push(format!("{allocatable} allocatable"));
    }
    parts.join("; ")
}

fn kernel(counters: &Counters) -> String {
    let mut text = format!("{}, {} free", count(counters.total(), "page"), counters.free());
    if counters.reserved > 0 {
        text += &format!(", {} reserved", counters.reserved);
    }
    let nodes: Vec<_> = (counters.numa.iter())
        .filter_map(|(node, pages)| Some(format!("numa{} {}/{} free", (*node)?, pages.free, pages.total)))
        .collect();
    if nodes.is_empty() { text } else { format!("{text}: {}", nodes.join(", ")) }
}

fn remainder(holdings: &Holdings) -> String {
    let requested = holdings.requested();
    let used = holdings.counters.as_ref().map(Counters::used);
    match (holdings.remainder(), requested, used) {
        (Remainder::Outside(pages), Some(requested), Some(used)) => format!(
            "{used} in use, {requested} requested by pods: at least {} in use outside the requests of pods",
            count(pages, "page")
        ),
        (Remainder::Within, Some(0), Some(0)) => "no page is in use, and no pod requests any".to_owned(),
        (Remainder::Within, Some(requested), Some(used)) => format!(
            "{used} in use, {requested} requested by pods; a pod that uses fewer than it requests may hide pages in use \
             outside pods"
        ),
        (_, Some(requested), _) => {
            format!("{requested} requested by pods; how many are in use beyond that is not known")
        }
        (_, None, Some(used)) => format!("{used} in use; how many pods request is not known"),
        (_, None, None) => "neither what pods request nor what is in use is known".to_owned(),
    }
}

fn paragraph(text: &str, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let room = style.paragraph_columns().saturating_sub(MARGIN * 2);
    for (index, line) in wrap(&clean(text, style.marks), room, room).iter().enumerate() {
        let margin = if index == 0 { MARGIN } else { MARGIN * 2 };
        writeln!(out, "{:margin$}{line}", "")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hugeprobe_domain::published::PublishedPool;
    use hugeprobe_domain::who::{NumaCounters, PodPages};

    fn shown(who: &NodeHoldings) -> String {
        let mut out = Vec::new();
        render(who, &mut out, Style::default()).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn pod(name: &str, pages: u64) -> PodPages {
        PodPages { pod: name.into(), phase: "Running".into(), pages }
    }

    fn who() -> NodeHoldings {
        let numa = |node, total, free| (Some(node), NumaCounters { total, free });
        let large = Holdings {
            allocatable: Some(16),
            counters: Some(Counters { numa: [numa(0, 8, 0), numa(1, 8, 2)].into(), reserved: 1 }),
            pods: Some(vec![pod("nfv/dpdk-0", 8), pod("nfv/vm\u{1b}[2J", 4)]),
            checks: vec![(
                "HP105".parse().unwrap(),
                "warn: 2 pages are held by files that no process has open".into(),
            )],
            ..Holdings::default()
        };
        let small = Holdings {
            allocatable: Some(512),
            pool: Some(PublishedPool { total: Some(512), numa: [(0, Some(256)), (1, Some(256))].into() }),
            pods: Some(vec![pod("nfv/dpdk-0", 64)]),
            ..Holdings::default()
        };
        NodeHoldings {
            node: "node-a".into(),
            profile: "privileged".into(),
            sizes: [("1Gi".parse().unwrap(), large), ("2Mi".parse().unwrap(), small)].into(),
            limits: vec!["not shown: which process holds which page".into()],
        }
    }

    #[test]
    fn pods_are_listed_with_what_is_in_use_beyond_their_requests() {
        assert_eq!(
            shown(&who()),
            "\
node-a

hugepages-2Mi  512 pages: numa0 256, numa1 256; 512 allocatable
  POD         PAGES  PHASE
  nfv/dpdk-0     64  Running
  64 requested by pods; how many are in use beyond that is not known

hugepages-1Gi  16 pages, 2 free, 1 reserved: numa0 0/8 free, numa1 2/8 free; 16 allocatable
  POD              PAGES  PHASE
  nfv/dpdk-0           8  Running
  nfv/vm\\u{1b}[2J      4  Running
  14 in use, 12 requested by pods: at least 2 pages in use outside the requests of pods
  HP105 warn: 2 pages are held by files that no process has open

not shown: which process holds which page
"
        );
    }

    #[test]
    fn what_is_not_known_is_said() {
        let mut who = who();
        for holdings in who.sizes.values_mut() {
            holdings.pods = None;
        }
        let text = shown(&who);
        assert!(text.contains("  neither what pods request nor what is in use is known\n"), "{text}");
        assert!(text.contains("  14 in use; how many pods request is not known\n"), "{text}");
        who.sizes.clear();
        assert!(shown(&who).contains("the node has no huge pages"), "{}", shown(&who));
    }
}
