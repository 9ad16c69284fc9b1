//! The table, letter by letter: one kept text per sample.

use hugeprobe::domain::report::Report;
use hugeprobe::render::style::{Marks, Style};
use hugeprobe::render::table::table;

use super::samples::{all, design};

fn shown(report: &Report, style: Style) -> String {
    let mut out = Vec::new();
    table(report, &mut out, style).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn each_sample_reads_as_kept() {
    for (name, report) in all() {
        super::compare(&format!("tests/render/expected/{name}.txt"), &shown(&report, Style::default()));
    }
}

#[test]
fn a_narrow_terminal_and_an_ascii_locale_get_the_same_facts() {
    let narrow = Style { width: 60, ..Style::default() };
    super::compare("tests/render/expected/design_60_columns.txt", &shown(&design(), narrow));
    let ascii = Style { marks: Marks::Ascii, ..Style::default() };
    super::compare("tests/render/expected/design_ascii.txt", &shown(&design(), ascii));
    for (name, report) in all() {
        assert!(shown(&report, ascii).is_ascii(), "{name}");
    }
}

#[test]
fn colour_changes_no_letter() {
    for (name, report) in all() {
        let colored = shown(&report, Style { color: true, ..Style::default() });
        assert!(colored.contains('\u{1b}'), "{name}");
        assert_eq!(
            anstream::adapter::strip_str(&colored).to_string(),
            shown(&report, Style::default()),
            "{name}"
        );
    }
}

#[test]
fn no_line_is_wider_than_the_terminal_unless_a_word_is() {
    for width in [40, 60, 80, 100, 140, 160] {
        for (name, report) in all() {
            for line in shown(&report, Style { width, ..Style::default() }).lines() {
                let sticks_out = line.split_whitespace().any(|word| word.chars().count() > width - 20)
                    || line.trim_start().starts_with("rm ")
                    || line.contains("echo ");
                assert!(line.chars().count() <= width || sticks_out, "{name} at {width}: {line}");
            }
        }
    }
}
