//! Reports of any kind, with any text in every place: nothing that steers a terminal gets out, nothing panics.

use hugeprobe::domain::catalogue::CHECKS;
use hugeprobe::domain::check::{Because, Finding, Outcome, Verdict};
use hugeprobe::domain::reading::Reading;
use hugeprobe::domain::report::Report;
use hugeprobe::domain::request::Selector;
use hugeprobe::render::{Format, Marks, Style, render};
use proptest::prelude::*;
use serde_json::json;

use super::samples::{pool, report, size};

const SIZES: [&str; 3] = ["64Ki", "2Mi", "1Gi"];

/// Text with what terminals obey in it, more often than chance would have it.
fn text() -> impl Strategy<Value = String> {
    let steering = prop::sample::select(vec![
        "\u{1b}[2J",
        "\u{1b}]0;x\u{7}",
        "\n",
        "\r",
        "\u{9b}31m",
        "\u{7f}",
        "\u{0}",
        "\u{202e}",
        "\u{200b}",
        "\u{fffe}",
        "]]>",
        "<a>&\"'",
        "\t",
        " ",
    ]);
    prop::collection::vec(
        prop_oneof![any::<String>(), steering.prop_map(str::to_owned), "[a-z ]{0,200}"],
        0..4,
    )
    .prop_map(|parts| parts.concat())
}

fn finding() -> impl Strategy<Value = Finding> {
    let outcome = prop::sample::select(vec![
        Outcome::Skip,
        Outcome::Pass,
        Outcome::Warn,
        Outcome::Unknown,
        Outcome::Fail,
    ]);
    (
        prop::sample::select(CHECKS),
        prop::option::of(prop::sample::select(SIZES.to_vec())),
        outcome,
        text(),
        text(),
        text(),
        text(),
    )
        .prop_map(|(check, about, outcome, summary, expected, seen, remedy)| {
            let about = about.map(size);
            let finding = match outcome {
                Outcome::Pass => Finding::pass(check.id, about, summary),
                Outcome::Skip => Finding::skip(check.id, about, summary),
                outcome => {
                    let because = Because::new(expected, seen.clone()).remedy(remedy);
                    Finding::not_pass(check.id, about, outcome, summary, because)
                }
            };
            finding.with(&seen, json!({ seen.clone(): seen }))
        })
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop::sample::select(vec![Verdict::None, Verdict::Pass, Verdict::Warn, Verdict::Unknown, Verdict::Fail])
}

fn reading() -> impl Strategy<Value = Reading<u64>> {
    prop_oneof![
        Just(Reading::Absent),
        text().prop_map(Reading::Unreadable),
        text().prop_map(Reading::Malformed),
        any::<u64>().prop_map(Reading::Known)
    ]
}

pub(super) fn any_report() -> impl Strategy<Value = Report> {
    let sizes = prop::collection::vec((prop::sample::select(SIZES.to_vec()), verdict()), 0..3);
    let nodes = prop::collection::vec(any::<(u64, u64)>(), 0..20);
    (
        (verdict(), sizes, prop::collection::vec(finding(), 0..12)),
        (text(), text(), text(), any::<u64>(), any::<bool>()),
        (reading(), reading(), nodes),
    )
        .prop_map(
            |(
                (verdict, sizes, findings),
                (name, kernel, profile, duration_ms, only),
                (free, surplus, nodes),
            )| {
                let mut pool = pool("2Mi", 512, 508, &nodes);
                pool.free = free;
                pool.surplus = surplus;
                let mut report = report(verdict, &sizes, vec![pool], findings);
                report.host.boot_id = Reading::Malformed(name.clone());
                report.host.name = name;
                report.host.kernel = kernel;
                report.measurements.insert(profile.clone(), json!(profile));
                report.profile = profile;
                report.duration_ms = duration_ms;
                if only {
                    report.only = vec![Selector::Group(5)];
                }
                report
            },
        )
}

fn shown(report: &Report, format: Format, style: Style) -> String {
    let mut out = Vec::new();
    render(report, format, &mut out, style).unwrap();
    String::from_utf8(out).unwrap()
}

/// Our own colours, and nothing else that begins with ESC.
fn without_our_colors(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        let (numbers, after) = after.split_once('m').unwrap();
        assert!(numbers.chars().all(|c| c.is_ascii_digit() || c == ';'), "{numbers:?}");
        rest = after;
    }
    plain + rest
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_control_character_of_the_data_gets_out(report in any_report(), width: usize, color: bool, ascii: bool) {
        let marks = if ascii { Marks::Ascii } else { Marks::Unicode };
        for &format in Format::ALL {
            let text = without_our_colors(&shown(&report, format, Style { color, width, marks, ..Style::default() }));
            let steering = text.chars().find(|c| (c.is_control() && *c != '\n') || "\u{202e}\u{200b}\u{fffe}".contains(*c));
            prop_assert_eq!(steering, None, "{} {}", format, text);
            prop_assert!(text.ends_with('\n'), "{}", format);
            if ascii && format == Format::Table {
                prop_assert!(text.is_ascii(), "{}", text);
            }
        }
    }

    #[test]
    fn any_width_will_do(report in any_report(), width in 0_usize..130) {
        shown(&report, Format::Table, Style { width, ..Style::default() });
    }

    #[test]
    fn no_finding_that_is_not_well_is_missing_from_the_table(report in any_report()) {
        let text = shown(&report, Format::Table, Style::default());
        for entry in report.checks.iter().filter(|entry| entry.outcome > Outcome::Pass) {
            // By id, or within a run of neighbours that say the same: "HP501 to HP503".
            let near = CHECKS.iter().filter(|check| check.id.number() / 100 == entry.id.number() / 100);
            prop_assert!(near.into_iter().any(|check| text.contains(&check.id.to_string())), "{} {}", entry.id, text);
        }
        let verdict = format!("\nverdict  {}", report.verdict);
        prop_assert!(text.contains(&verdict), "{}", text);
    }

    #[test]
    fn every_line_of_the_short_form_has_its_fields(report in any_report()) {
        for line in shown(&report, Format::Short, Style::default()).lines() {
            let fields: Vec<_> = line.splitn(4, ' ').collect();
            prop_assert!(fields.len() >= 3, "{line}");
            prop_assert!(["all", "machine"].contains(&fields[0]) || SIZES.contains(&fields[0]), "{line}");
            prop_assert!(fields[1] == "verdict" || fields[1].starts_with("HP"), "{line}");
            prop_assert!(["none", "skip", "pass", "warn", "unknown", "fail"].contains(&fields[2]), "{line}");
        }
    }

    #[test]
    fn junit_is_well_formed(report in any_report()) {
        let text = shown(&report, Format::Junit, Style::default());
        prop_assert!(!text.contains(|c: char| !matches!(c, '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)), "{}", text);
        // The reader checks tags, attributes and escapes, and the counts against the cases.
        let read = quick_junit::Report::deserialize_from_str(&text).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        prop_assert_eq!(read.tests, report.checks.len() + report.sizes.len() + 1);
    }

    #[test]
    fn json_reads_back_as_the_report(report in any_report()) {
        let read: serde_json::Value = serde_json::from_str(&shown(&report, Format::Json, Style::default())).unwrap();
        prop_assert_eq!(read, serde_json::to_value(&report).unwrap());
    }
}
