//! `hugeprobe frontend` and `hugeprobe backend`: one line for each event, when it happens.

use std::io::{self, Write};

use super::style::{DIM, Style, outcome_color};
use super::text::clean;
use hugeprobe_domain::check::Outcome;
use hugeprobe_domain::size::{PageSize, human_bytes};
use hugeprobe_domain::standalone::{Negotiated, Placed, Region, RoundTrips, SessionEvent, Traffic};

/// The width of a line's label, in columns.
const LABEL: usize = 12;

/// Writes one line for each event of a session.
#[derive(Debug)]
pub struct EventPrinter<W> {
    out: W,
    style: Style,
    /// The traffic counts that were shown last.
    traffic: Option<Traffic>,
    page_bytes: Vec<u64>,
}

// === impl EventPrinter ===

impl<W: Write> EventPrinter<W> {
    /// Creates a printer that writes to `out`.
    pub fn new(out: W, style: Style) -> Self {
        Self { out, style, traffic: None, page_bytes: Vec::new() }
    }

    /// Writes a line: a label and a fact.
    ///
    /// # Errors
    ///
    /// Fails if writing to `out` fails.
    pub fn line(&mut self, label: &str, fact: &str) -> io::Result<()> {
        let label = format!("{label:<LABEL$}");
        let fact = clean(fact, self.style.marks);
        if fact.is_empty() {
            writeln!(self.out, "{}", label.trim_end())?;
        } else {
            writeln!(self.out, "{}{fact}", self.style.paint(DIM, &label))?;
        }
        self.out.flush()
    }

    /// Writes the line of an event of the session.
    ///
    /// # Errors
    ///
    /// Fails if writing to `out` fails.
    pub fn event(&mut self, event: &SessionEvent) -> io::Result<()> {
        match event {
            SessionEvent::Negotiated(agreed) => self.line("negotiated", &negotiated(agreed)),
            SessionEvent::Region(region) => {
                if region.index == 0 {
                    self.page_bytes.clear();
                }
                self.page_bytes.push(region.page_bytes);
                self.line(&format!("region {}", region.index), &region_text(region))
            }
            SessionEvent::Placed(region) => self.line(&format!("region {}", region.index), &placed(region)),
            SessionEvent::Started { vring } => {
                self.line(&format!("vring {vring}"), &format!("runs, {}", way(*vring)))
            }
            SessionEvent::Stopped { vring } => self.line(&format!("vring {vring}"), "stopped"),
            // The final counts may be the ones that the previous line showed.
            SessionEvent::Traffic(region) if self.traffic == Some(*region) => Ok(()),
            SessionEvent::Traffic(region) => {
                self.traffic = Some(*region);
                self.line("frames", &traffic(region))
            }
            SessionEvent::RoundTrips(region) => self.line("round trip", &round_trips(region)),
            SessionEvent::Ended { outcome, text } => self.end(*outcome, text),
        }
    }

    /// Writes how the session ended.
    ///
    /// # Errors
    ///
    /// Fails if writing to `out` fails.
    pub fn end(&mut self, outcome: Outcome, text: &str) -> io::Result<()> {
        let mark = self.style.paint(outcome_color(outcome), self.style.marks.of(outcome));
        writeln!(self.out, "{mark} {}", clean(text, self.style.marks))?;
        self.out.flush()
    }
}

// === facts ===

fn negotiated(agreed: &Negotiated) -> String {
    let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(" ") };
    let count =
        |number: Option<u64>, what| number.map(|number| format!(", {number} {what}")).unwrap_or_default();
    format!(
        "{}; protocol {}{}{}{}",
        list(&agreed.features),
        list(&agreed.protocol_features),
        agreed.rings.as_ref().map(|layout| format!(", {layout} rings")).unwrap_or_default(),
        count(agreed.queue_pairs, "queue pairs"),
        count(agreed.memory_slots, "memory slots")
    )
}

fn region_text(region: &Region) -> String {
    let Region { table, index: _, bytes, page_bytes, is_hugetlbfs, guest, inode } = region;
    let pages = match PageSize::from_bytes(*page_bytes) {
        Some(size) if bytes % page_bytes == 0 => format!("{} x {size}", bytes / page_bytes),
        Some(size) => format!("{} in pages of {size}", human_bytes(*bytes)),
        None => format!("{} in pages of {page_bytes} bytes", human_bytes(*bytes)),
    };
    let kind = if *is_hugetlbfs { "hugetlbfs" } else { "not hugetlbfs" };
    format!("{pages}, {kind}, inode {inode}, guest address {guest:#x}, table {table}")
}

fn placed(region: &Placed) -> String {
    match (&region.unknown, region.nodes.as_slice()) {
        (Some(why), _) => format!("NUMA node not known: {why}"),
        (None, []) => "no page of it was touched by this process".to_owned(),
        (None, nodes) => {
            let nodes: Vec<_> = nodes.iter().map(|(node, pages)| format!("{pages} on node{node}")).collect();
            format!("pages touched by this process: {}", nodes.join(", "))
        }
    }
}

/// Returns the direction of a vring. By the virtio-net specification, vring 0 of a pair is the frontend's receive
/// queue.
const fn way(vring: u32) -> &'static str {
    if vring.is_multiple_of(2) { "backend to frontend" } else { "frontend to backend" }
}

fn traffic(region: &Traffic) -> String {
    let Traffic { sent, sent_bytes, received, received_bytes, discarded, looked, nanos } = region;
    let mut text = format!(
        "{sent} sent ({}), {received} received ({})",
        human_bytes(*sent_bytes),
        human_bytes(*received_bytes)
    );
    if let Some(looked) = looked {
        text += &format!(": {} intact", looked.intact);
        for (count, what) in
            [(looked.altered, "altered"), (looked.doubled, "twice"), (looked.foreign, "not hugeprobe's")]
        {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
    }
    if *discarded > 0 {
        text += &format!("; {discarded} discarded because the ring is disabled");
    }
    if let Some(rate) = rate((*sent).max(*received), *nanos) {
        text += &format!("; {} s, {rate} frames/s", seconds(*nanos));
    }
    text
}

fn round_trips(region: &RoundTrips) -> String {
    let RoundTrips { count, p50, p99 } = region;
    let micros = |nanos: &u64| format!("{}.{:02} us", nanos / 1000, nanos % 1000 / 10);
    format!("p50 {}, p99 {}, of {count}", micros(p50), micros(p99))
}

/// Formats a rate in frames per second, rounded down: `4.35 million`. Returns `None` if `nanos` is 0.
fn rate(frames: u64, nanos: u64) -> Option<String> {
    let rate = u128::from(frames).saturating_mul(1_000_000_000).checked_div(u128::from(nanos))?;
    Some(match rate {
        0..10_000 => rate.to_string(),
        10_000..1_000_000 => format!("{} thousand", rate / 1000),
        _ => format!("{}.{:02} million", rate / 1_000_000, rate % 1_000_000 / 10_000),
    })
}

fn seconds(nanos: u64) -> String {
    format!("{}.{:02}", nanos / 1_000_000_000, nanos % 1_000_000_000 / 10_000_000)
}

#[cfg(test)]
mod tests {
    use super::super::style::Marks;
    use super::*;
    use hugeprobe_domain::standalone::Looked;

    fn text(style: Style, event: &[SessionEvent]) -> String {
        let mut out = Vec::new();
        let mut printer = EventPrinter::new(&mut out, style);
        event.iter().try_for_each(|event| printer.event(event)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_session_reads_like_this() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let region = Region {
            table: 1,
            index: 0,
            bytes: 4 << 20,
            page_bytes: 2 << 20,
            is_hugetlbfs: true,
            guest: 0x1_0000_0000,
            inode: 7,
        };
        let traffic = Traffic {
            sent: 1_000_000,
            sent_bytes: 64_000_000,
            received: 1_000_000,
            received_bytes: 64_000_000,
            looked: Some(Looked { intact: 999_999, altered: 1, ..Looked::default() }),
            nanos: 230_000_000,
            discarded: 0,
        };
        let event = [
            SessionEvent::Negotiated(Negotiated {
                features: names(&["VERSION_1"]),
                rings: Some("packed".to_owned()),
                queue_pairs: Some(8),
                ..Negotiated::default()
            }),
            SessionEvent::Region(region),
            SessionEvent::Placed(Placed { index: 0, nodes: vec![(0, 1), (1, 1)], unknown: None }),
            SessionEvent::Started { vring: 0 },
            SessionEvent::Traffic(traffic),
            SessionEvent::Traffic(traffic),
            SessionEvent::RoundTrips(RoundTrips { count: 1000, p50: 1_950, p99: 12_345 }),
            SessionEvent::Ended { outcome: Outcome::Fail, text: "one \u{1b}[2J came altered".to_owned() },
        ];
        assert_eq!(
            text(Style::default(), &event),
            "\
negotiated  VERSION_1; protocol none, packed rings, 8 queue pairs
region 0    2 x 2Mi, hugetlbfs, inode 7, guest address 0x100000000, table 1
region 0    pages touched by this process: 1 on node0, 1 on node1
vring 0     runs, backend to frontend
frames      1000000 sent (61 MiB), 1000000 received (61 MiB): 999999 intact, 1 altered; 0.23 s, 4.34 million frames/s
round trip  p50 1.95 us, p99 12.34 us, of 1000
✘ one \\u{1b}[2J came altered
"
        );
    }

    #[test]
    fn nothing_leaves_ascii_where_the_locale_cannot_show_it() {
        let style = Style { marks: Marks::Ascii, ..Style::default() };
        let event = SessionEvent::Ended { outcome: Outcome::Pass, text: "ü".to_owned() };
        assert!(text(style, &[event]).is_ascii());
    }

    #[test]
    fn no_numbers_panic() {
        let (most, least) = (u64::MAX, 0);
        for nanos in [least, 1, most] {
            for sent in [least, 1, most] {
                traffic(&Traffic { sent, sent_bytes: most, nanos, ..Traffic::default() });
            }
        }
        round_trips(&RoundTrips { count: most, p50: least, p99: most });
        for page_bytes in [least, 1, 4096, most] {
            region_text(&Region {
                table: most,
                index: 0,
                bytes: most,
                page_bytes,
                is_hugetlbfs: false,
                guest: most,
                inode: most,
            });
        }
    }
}
