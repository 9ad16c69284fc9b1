//! `-o junit`: for tools that show test results. There is one suite for each page size and one for the machine, with
//! one case for each check.
//!
//! fail is a `failure`, unknown is an `error`, skip is `skipped`; warn passes, with the warning as `system-out`. The
//! last suite has one case for each verdict: if a mandatory check is skipped, the verdict is unknown, and a dashboard
//! must not show that as a pass.

use std::io::{self, Write};
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use super::style::Marks;
use super::text::clean;
use super::{only, sizes};
use hugeprobe_domain::catalogue;
use hugeprobe_domain::check::{Outcome, Verdict};
use hugeprobe_domain::report::{Entry, Report};

/// Writes `report` as JUnit XML. Control characters are escaped as text, because XML 1.0 forbids most of them.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn junit(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut document = Document::new("hugeprobe");
    document.set_time(Duration::from_millis(report.duration_ms));
    for size in sizes(report) {
        let entries = report.checks.iter().filter(|entry| entry.size == Some(size));
        document.add_test_suite(suite(&size.resource_name(), entries));
    }
    if report.checks.iter().any(|entry| entry.size.is_none()) {
        let entries = report.checks.iter().filter(|entry| entry.size.is_none());
        document.add_test_suite(suite("machine", entries));
    }
    document.add_test_suite(verdicts(report));
    let text = document.to_string().map_err(io::Error::other)?;
    out.write_all(text.as_bytes())
}

fn suite<'a>(name: &str, entries: impl Iterator<Item = &'a Entry>) -> TestSuite {
    let mut suite = TestSuite::new(name);
    for entry in entries {
        suite.add_test_case(case(name, entry));
    }
    suite
}

fn case(suite: &str, entry: &Entry) -> TestCase {
    let summary = clean(&entry.summary, Marks::Unicode);
    let mut status = match entry.outcome {
        Outcome::Pass | Outcome::Warn => TestCaseStatus::success(),
        Outcome::Skip => TestCaseStatus::skipped(),
        Outcome::Unknown => TestCaseStatus::non_success(NonSuccessKind::Error),
        Outcome::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    match entry.outcome {
        Outcome::Pass | Outcome::Warn => {}
        Outcome::Skip => {
            status.set_message(&summary);
        }
        Outcome::Unknown | Outcome::Fail => {
            status.set_message(&summary).set_type(entry.reason).set_description(body(entry));
        }
    }
    let check = catalogue::find(entry.id);
    let title = check.map_or("", |check| check.title);
    let group = check.and_then(catalogue::Check::group).map_or("", |group| group.name);
    let mut case = TestCase::new(format!("{} {title}", entry.id), status);
    case.set_classname(format!("{suite}.{group}"));
    if entry.outcome == Outcome::Warn {
        case.set_system_out(format!("warning: {summary}\n{}", body(entry)));
    }
    case
}

/// Returns what was expected, what was seen, the remedy and the `hugeprobe explain` command of a finding.
fn body(entry: &Entry) -> String {
    let remedy: Vec<_> = entry.remedy.lines().map(|line| clean(line, Marks::Unicode)).collect();
    format!(
        "expected: {}\nactual: {}\nremedy: {}\nhugeprobe explain {}",
        clean(&entry.expected, Marks::Unicode),
        clean(&entry.seen, Marks::Unicode),
        remedy.join("\n"),
        entry.id
    )
}

/// Returns the suite with one case for each verdict, the overall verdict last. If there was nothing to check, the
/// overall verdict is a failure, as for the exit code.
fn verdicts(report: &Report) -> TestSuite {
    const NAME: &str = "verdict";
    let mut suite = TestSuite::new(NAME);
    let mut add = |name: String, verdict: Verdict, none: TestCaseStatus| {
        let mut status = match verdict {
            Verdict::None => none,
            Verdict::Pass | Verdict::Warn => TestCaseStatus::success(),
            Verdict::Unknown => TestCaseStatus::non_success(NonSuccessKind::Error),
            Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        };
        status.set_message(match verdict {
            Verdict::None => "nothing to check",
            Verdict::Unknown => "inconclusive",
            Verdict::Pass | Verdict::Warn | Verdict::Fail => "the workload would fail",
        });
        let mut case = TestCase::new(name, status);
        case.set_classname(NAME);
        if let Some(only) = only(report, ", ") {
            case.set_system_out(format!("covers {only} only (--only)"));
        }
        suite.add_test_case(case);
    };
    for one in &report.sizes {
        add(one.size.resource_name(), one.verdict, TestCaseStatus::skipped());
    }
    let nothing = TestCaseStatus::non_success(NonSuccessKind::Failure);
    add("all".to_owned(), report.verdict, nothing);
    suite
}
