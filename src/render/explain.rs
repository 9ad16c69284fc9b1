//! The catalogue of checks as text: `hugeprobe explain`, `hugeprobe explain HP601`, and docs/reference/checks.md, which
//! is generated from the catalogue.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::style::{BOLD, DIM, Style};
use super::text::{clean, columns, wrap};
use hugeprobe_domain::catalogue::{CHECKS, Check, GROUPS, Group};

/// Writes the explanation of one check.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn explain(check: &Check, out: &mut dyn Write, style: Style) -> io::Result<()> {
    const LABEL: usize = 10;
    let room = style.paragraph_columns().saturating_sub(LABEL);
    let (id, title) = (check.id.to_string(), clean(check.title, style.marks));
    writeln!(out, "{}  {title}", style.paint(BOLD, &id))?;
    writeln!(out, "{}", style.paint(DIM, &clean(&scope(check), style.marks)))?;
    for (label, text) in
        [("reason", check.reason), ("why", check.why), ("how", check.how), ("remedy", check.remedy)]
    {
        writeln!(out)?;
        let mut margin = style.paint(BOLD, &format!("{label:<LABEL$}")).to_string();
        for line in wrap(&clean(text, style.marks), room, room) {
            writeln!(out, "{margin}{line}")?;
            margin = " ".repeat(LABEL);
        }
    }
    Ok(())
}

/// Writes one line for each check, by group.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn list(out: &mut dyn Write, style: Style) -> io::Result<()> {
    const ID: usize = 7;
    let room = style.paragraph_columns().saturating_sub(2 + ID);
    for group in GROUPS {
        writeln!(
            out,
            "{}",
            style.paint(BOLD, &format!("{}: {}", group.name, clean(group.title, style.marks)))
        )?;
        for check in members(group) {
            let id = check.id.to_string();
            let mut margin = format!("  {}{}", id, " ".repeat(ID.saturating_sub(columns(&id))));
            for line in wrap(&clean(check.title, style.marks), room, room) {
                writeln!(out, "{margin}{line}")?;
                margin = " ".repeat(2 + ID);
            }
        }
        writeln!(out)?;
    }
    let hint = "`hugeprobe explain HP501` explains why a check matters, how it is decided and what to do.";
    for line in wrap(hint, style.paragraph_columns(), style.paragraph_columns()) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// Returns the text of docs/reference/checks.md. The test `render` compares the file with it, and writes the file if
/// `UPDATE=1` is set.
#[must_use]
pub fn catalogue_markdown() -> String {
    let mut page = String::from(
        "# The checks\n\n\
         <!-- Generated from src/domain/catalogue.rs by `make docs`: do not edit. -->\n\n\
         Every result of hugeprobe has one of these ids. An id never changes its meaning, and the id of a\n\
         check that was removed is not used again. `hugeprobe explain HP501` prints the same text.\n\n\
         A check ends as\n\n\
         - `pass`: it ran, and the result is as expected;\n\
         - `warn`: it works, but needs attention;\n\
         - `fail`: it ran, and a workload that needs this would fail;\n\
         - `unknown`: it was inconclusive, which never counts as a pass;\n\
         - `skip`: it did not run, for the reason given.\n\n\
         The verdict of a page size is the worst of fail, unknown, warn and pass. A size passes only if every\n\
         mandatory check ran and passed. A mandatory check that was skipped counts as unknown.\n",
    );
    for group in GROUPS {
        // Writing to a String cannot fail, here and below.
        let _ = write!(page, "\n## HP{}xx {}: {}\n\n", group.digit, group.name, escaped(group.title));
        page.push_str("| id | reason | what is checked |\n|---|---|---|\n");
        for check in members(group) {
            let id = check.id.to_string();
            let anchor = format!("{id}-{}", check.reason).to_lowercase();
            let _ = writeln!(page, "| [{id}](#{anchor}) | {} | {} |", check.reason, escaped(check.title));
        }
        for check in members(group) {
            let _ = write!(page, "\n### {} {}\n", check.id, check.reason);
            for text in [
                format!("Checked {}: {}.", scope(check), escaped(check.title)),
                format!("**Why it matters.** {}", escaped(check.why)),
                format!("**How it is decided.** {}", escaped(check.how)),
                format!("**What to do.** {}", escaped(check.remedy)),
            ] {
                let _ = write!(page, "\n{}", paragraph(&text));
            }
        }
    }
    page
}

fn members(group: &Group) -> impl Iterator<Item = &'static Check> {
    let group = *group;
    CHECKS.iter().filter(move |check| group.has(check.id))
}

/// Returns how often the check runs and whether a pass requires it: "once per page size, mandatory for a pass".
fn scope(check: &Check) -> String {
    let about = if check.per_size { "once per page size" } else { "once for the machine" };
    let weight = if check.mandatory { ", mandatory for a pass" } else { "" };
    format!("{about}{weight}")
}

/// Wraps `text` for a generated page. Each line ends with a newline.
pub(super) fn paragraph(text: &str) -> String {
    /// The width of the documentation, in columns.
    const WIDTH: usize = 100;
    wrap(text, WIDTH, WIDTH).into_iter().map(|line| line + "\n").collect()
}

/// Escapes the characters that Markdown interprets. An underscore within a word needs no escape.
pub(super) fn escaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut in_word = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let more_follows = rest.peek().is_some_and(char::is_ascii_alphanumeric);
        if matches!(c, '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '|')
            || (c == '_' && !(in_word && more_follows))
        {
            plain.push('\\');
        }
        plain.push(c);
        in_word = c.is_ascii_alphanumeric();
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use hugeprobe_domain::catalogue;

    fn shown(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_check_is_explained_and_listed() {
        let style = Style { width: 72, ..Style::default() };
        let all = shown(|out| list(out, style));
        for check in CHECKS {
            let text = shown(|out| explain(check, out, style));
            assert!(text.starts_with(&check.id.to_string()), "{text}");
            assert!(["\nwhy ", "\nhow ", "\nremedy "].iter().all(|part| text.contains(part)), "{text}");
            assert!(text.lines().all(|line| columns(line) <= 72), "{text}");
            assert!(all.contains(&format!("\n  {}  ", check.id)), "{}", check.id);
        }
        assert!(all.lines().all(|line| columns(line) <= 72), "{all}");
    }

    #[test]
    fn an_explanation_reads_like_this() {
        let check = catalogue::find(catalogue::HP503).unwrap();
        assert_eq!(
            shown(|out| explain(check, out, Style { width: 60, ..Style::default() })),
            "\
HP503  writing one byte of the second page takes another whole page
once per page size, mandatory for a pass

reason    SecondTouchFailed

why       Proves that memory comes in whole pages of the
          size, and not in 4 KiB pages as a fallback.

how       write one byte of the second page: used +1 again.
          skip: only one page is available.

remedy    see HP502
"
        );
    }

    #[test]
    fn the_page_has_each_check_once_and_no_stray_markup() {
        let page = catalogue_markdown();
        for check in CHECKS {
            assert_eq!(page.matches(&format!("### {} {}\n", check.id, check.reason)).count(), 1);
        }
        assert_eq!(escaped("a_b _c_ <SIZE> | *"), "a_b \\_c\\_ \\<SIZE\\> \\| \\*");
    }
}
