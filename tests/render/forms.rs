//! The forms for programs.

use std::io::{self, Write};

use hugeprobe::domain::report::Report;
use hugeprobe::render::{Format, Style, render};

use super::samples::all;

fn shown(report: &Report, format: Format) -> String {
    let mut out = Vec::new();
    render(report, format, &mut out, Style { color: true, ..Style::default() }).unwrap();
    String::from_utf8(out).unwrap()
}

fn sample(name: &str) -> Report {
    all().into_iter().find(|(its, _)| *its == name).unwrap().1
}

#[test]
fn the_short_form_is_stable() {
    for (name, text) in [
        (
            "design",
            "\
all verdict fail
2Mi verdict warn total=512 free=508 reserved=0 surplus=0 overcommit=0 numa0=254/256 numa1=254/256
2Mi HP401 warn CgroupFaultLimit this cgroup may use 8 of the 508 free pages
1Gi verdict fail total=16 free=0 reserved=0 surplus=0 overcommit=0 numa0=0/8 numa1=0/8
1Gi HP105 fail PagesHeldByNobody no free page: 14 of 16 are held by files that no process has open
",
        ),
        (
            "unknown_counters",
            "\
all verdict fail
2Mi verdict unknown total=16 free=? reserved=- surplus=0 overcommit=? numa0=8/8 numa1=?/8
2Mi HP102 unknown NoFreePage the number of free pages is not known
1Gi verdict fail
1Gi HP101 fail PoolMissing the kernel does not offer this size
",
        ),
        (
            "only",
            "\
all verdict pass only=HP1,HP501,HP403
2Mi verdict pass total=512 free=508 reserved=0 surplus=0 overcommit=0 numa0=508/512
",
        ),
        ("nothing_there", "all verdict none\n"),
    ] {
        assert_eq!(shown(&sample(name), Format::Short), text, "{name}");
    }
    assert!(
        shown(&sample("need_unmet"), Format::Short)
            .contains("\nmachine HP403 fail MemlockLimit RLIMIT_MEMLOCK is 8 MiB\n")
    );
}

#[test]
fn a_skipped_mandatory_check_is_listed_and_others_are_not() {
    let text = shown(&sample("one_page_of_1gi"), Format::Short);
    assert!(text.contains("\n1Gi HP503 skip SecondTouchFailed only one page is available\n"), "{text}");
    assert!(!text.contains("HP506"), "{text}");
}

#[test]
fn json_is_the_report() {
    for (name, report) in all() {
        let text = shown(&report, Format::Json);
        assert!(text.ends_with("}\n"), "{name}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, serde_json::to_value(&report).unwrap(), "{name}");
    }
}

#[test]
fn junit_has_a_case_per_check_and_verdict() {
    let report = sample("design");
    let text = shown(&report, Format::Junit);
    let count = |part: &str| text.matches(part).count();
    assert_eq!(count("<testcase "), report.checks.len() + report.sizes.len() + 1);
    assert_eq!(count("<testsuite "), 3);
    // HP105, the verdict of 1Gi, the verdict.
    assert_eq!(count("<failure "), 3);
    assert!(text.contains(r#"tests="17" skipped="0" failures="3" errors="0""#), "{text}");
    assert!(text.contains("warning: this cgroup may use 8"), "{text}");
    assert!(text.contains(r#"<testcase name="HP505 MAP_POPULATE takes the pages at once" classname="hugepages-2Mi.allocation"/>"#), "{text}");
}

#[test]
fn junit_is_never_green_unless_the_verdict_is() {
    for (name, report) in all() {
        let text = shown(&report, Format::Junit);
        let red = text.contains("<failure ") || text.contains("<error ");
        assert_eq!(red, !matches!(report.verdict.to_string().as_str(), "pass" | "warn"), "{name}: {text}");
    }
}

/// A reader that goes away after some bytes.
struct Closes {
    after: usize,
}

impl Write for Closes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.after == 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let taken = bytes.len().min(self.after);
        self.after -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_goes_away_is_an_error_of_its_kind_at_any_byte() {
    for (name, report) in all() {
        for &format in Format::ALL {
            let length = shown(&report, format).len();
            for after in (0..length).step_by(97.max(length / 40)).chain([length - 1]) {
                let error =
                    render(&report, format, &mut Closes { after }, Style { color: true, ..Style::default() })
                        .unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{name} {format} {after}");
            }
        }
    }
}
