//! What a log tells of, for people: `hugeprobe explain --log`, and docs/troubleshooting.md from the same table.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::explain::escaped;
use super::style::{BOLD, DIM, Style};
use super::text::{clean, shorten, wrap};
use crate::domain::catalogue;
use crate::domain::check::CheckId;
use crate::domain::troubleshooting::{CHAPTERS, Found, Trouble};

/// Longest line of a log that is shown, in characters.
const LONGEST_LINE: usize = 300;

/// Writes what was found: the line, what it means, what to do, and the checks that find the cause.
///
/// # Errors
///
/// What `out` answered.
pub fn found(all: &[Found<'_>], out: &mut dyn Write, style: Style) -> io::Result<()> {
    const LABEL: usize = 10;
    let room = style.columns().saturating_sub(LABEL);
    for (index, one) in all.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        let line = shorten(&clean(one.line.trim(), style.marks), LONGEST_LINE, style.marks);
        let mut label = format!("line {}", one.number);
        for line in wrap(&line, room, room) {
            writeln!(out, "{} {}", style.paint(BOLD, &format!("{label:<width$}", width = LABEL - 1)), line)?;
            label.clear();
        }
        let times = match one.times {
            1 => String::new(),
            times => format!("{times} lines say so"),
        };
        let harmless = if one.trouble.is_often_harmless { "often harmless" } else { "" };
        let aside =
            [harmless, &times].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
        let checks =
            checks(one.trouble.checks).unwrap_or_else(|| "none: hugeprobe does not look for it".to_owned());
        let parts = [
            ("", aside.as_str()),
            ("means", one.trouble.cause),
            ("remedy", one.trouble.remedy),
            ("checks", &checks),
        ];
        for (label, text) in parts.into_iter().filter(|(_, text)| !text.is_empty()) {
            let mut label = label;
            for line in wrap(&clean(text, style.marks), room, room) {
                let shown = if label.is_empty() && text == aside {
                    style.paint(DIM, &line).to_string()
                } else {
                    line
                };
                writeln!(out, "{label:<LABEL$}{shown}")?;
                label = "";
            }
        }
    }
    Ok(())
}

/// docs/troubleshooting.md. The test `render` compares the file with this, and writes it with `UPDATE=1`.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# When it does not work\n\n\
         <!-- Generated from src/domain/troubleshooting.rs by `UPDATE=1 cargo test --test render`: do not edit. -->\n\n\
         What programs print when huge pages fail them, what it means, and which check finds the cause. Paste a log, and \
         this table is searched for you:\n\n\
         ```\n\
         hugeprobe explain --log /var/log/openvswitch/ovs-vswitchd.log\n\
         kubectl logs my-pod | hugeprobe explain --log -\n\
         ```\n\n\
         It exits 0 if it knows a line, 3 if it knows none. Then run `hugeprobe check` in the same place, that is in the same \
         container, as the same user, with `--dir` for the directory and `--need` for as many pages as the program takes: it \
         names the cause where several are possible.\n",
    );
    for chapter in CHAPTERS {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(page, "\n## {}", chapter.title);
        for trouble in chapter.troubles {
            page.push_str(&section(trouble));
        }
    }
    page
}

fn section(trouble: &Trouble) -> String {
    let mut section = format!("\n### {}\n\n", trouble.name);
    if trouble.says.is_empty() {
        let _ = writeln!(section, "{}.", capital(&escaped(trouble.example)));
    } else {
        let _ = writeln!(section, "```\n{}\n```", trouble.example.trim());
    }
    let harmless = if trouble.is_often_harmless { " Often harmless." } else { "" };
    let _ = write!(
        section,
        "\n{}{harmless}\n\n**What to do.** {}.\n\n",
        escaped(trouble.cause),
        capital(&escaped(trouble.remedy)).trim_end_matches('.')
    );
    if let Some(checks) = links(trouble.checks) {
        let _ = writeln!(section, "**Found by** {checks}.\n");
    }
    let sources: Vec<_> = trouble.sources.iter().map(|source| linked(source)).collect();
    let _ = writeln!(section, "Seen: {}", sources.join("; "));
    section
}

/// `HP401 CgroupFaultLimit, HP502 FirstTouchFailed`; `None` for none.
fn checks(ids: &[CheckId]) -> Option<String> {
    let named: Vec<_> = named(ids).map(|(id, reason)| format!("{id} {reason}")).collect();
    (!named.is_empty()).then(|| named.join(", "))
}

fn links(ids: &[CheckId]) -> Option<String> {
    let link = |(id, reason): (CheckId, &str)| {
        format!("[{id} {reason}](checks.md#{}-{})", id.to_string().to_lowercase(), reason.to_lowercase())
    };
    let links: Vec<_> = named(ids).map(link).collect();
    (!links.is_empty()).then(|| links.join(", "))
}

fn named(ids: &[CheckId]) -> impl Iterator<Item = (CheckId, &'static str)> {
    ids.iter().filter_map(|id| catalogue::find(*id)).map(|check| (check.id, check.reason))
}

/// A source as a link, where it names an issue: `owner/repository#number`.
fn linked(source: &str) -> String {
    match source.split_once('#') {
        Some((repository, number))
            if number.bytes().all(|byte| byte.is_ascii_digit())
                && repository.split('/').filter(|part| !part.is_empty() && !part.contains(' ')).count()
                    == 2 =>
        {
            format!("[{source}](https://github.com/{repository}/issues/{number})")
        }
        _ if source.starts_with("https://") => format!("<{source}>"),
        _ => escaped(source),
    }
}

fn capital(text: &str) -> String {
    // What begins with a command or a name of its own stays as it is.
    let mut rest = text.chars();
    match rest.next() {
        Some(first) if text.split(' ').next().is_some_and(|word| word.chars().all(char::is_lowercase)) => {
            first.to_uppercase().chain(rest).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::troubleshooting::{all, search};
    use crate::render::text::columns;

    #[test]
    fn what_a_log_tells_of_reads_like_this() {
        let log = "all well\nEAL: Cannot get a virtual area: Cannot allocate memory\nEAL: Cannot allocate VA space for memseg list\n";
        let mut out = Vec::new();
        found(&search(log), &mut out, Style { width: 72, ..Style::default() }).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "\
line 2    EAL: Cannot get a virtual area: Cannot allocate memory
          2 lines say so
means     EAL lays out hundreds of gigabytes of addresses beforehand,
          and RLIMIT_AS forbids it.
remedy    ulimit -v unlimited
checks    HP405 AddressSpaceLimit
"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_nothing_steers_it() {
        let log: String = all().map(|trouble| format!("\x1b[31m{}\x1b[0m\n", trouble.example)).collect();
        // A word is never broken: one that is too long stands alone and sticks out.
        let one_word = |line: &str| line.chars().skip(10).collect::<String>().split_whitespace().count() <= 1;
        for width in [40, 80] {
            let mut out = Vec::new();
            found(&search(&log), &mut out, Style { width, ..Style::default() }).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.lines().all(|line| columns(line) <= width || one_word(line)), "{text}");
            assert!(!text.contains('\x1b'));
        }
    }

    #[test]
    fn the_page_has_each_failure_once_and_its_links() {
        let page = page();
        for trouble in all() {
            assert_eq!(page.matches(&format!("\n### {}\n", trouble.name)).count(), 1);
        }
        assert!(page.contains("(https://github.com/kubernetes/kubernetes/issues/99483)"));
        assert!(page.contains("[HP401 CgroupFaultLimit](checks.md#hp401-cgroupfaultlimit)"));
        assert_eq!(linked("Linux mm/hugetlb.c"), "Linux mm/hugetlb.c");
    }
}
