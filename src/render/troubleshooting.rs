//! Known failures as text: `hugeprobe explain --log` and docs/reference/troubleshooting.md, both from the same rows.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::explain::{escaped, paragraph};
use super::style::{BOLD, DIM, Style};
use super::text::{clean, shorten, wrap};
use hugeprobe_domain::catalogue;
use hugeprobe_domain::check::CheckId;
use hugeprobe_domain::troubleshooting::{Found, Kind, KnownFailure, MetAs, chapters};

/// The maximum length of a log line that is shown, in characters.
const LONGEST_LINE: usize = 300;

/// The text that is shown if no check finds the cause.
const NO_CHECK: &str = "none: hugeprobe does not look for this";

/// Writes each failure that was found: the line, its cause, the remedy and the checks. For a consequence, it writes
/// only the line and the number of the line that it follows from.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn found(all: &[Found<'_>], out: &mut dyn Write, style: Style) -> io::Result<()> {
    for (index, one) in all.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        let line = shorten(&clean(one.line.trim(), style.marks), LONGEST_LINE, style.marks);
        labelled(
            &style.paint(BOLD, &format!("{:<LABEL$}", format!("line {}", one.number))).to_string(),
            &line,
            out,
            style,
        )?;
        let mut notes = Vec::new();
        if one.failure.kind == Kind::Harmless {
            notes.push("often harmless".to_owned());
        }
        if one.times > 1 {
            notes.push(format!("{} similar lines", one.times));
        }
        if let Some(number) = one.follows {
            notes.push(format!("follows from line {number}"));
        }
        if !notes.is_empty() {
            writeln!(out, "{:LABEL$}{}", "", style.paint(DIM, &notes.join("; ")))?;
        }
        if one.follows.is_some() {
            continue;
        }
        let checks = checks(&one.failure.checks).unwrap_or_else(|| NO_CHECK.to_owned());
        for (label, text) in
            [("cause", &one.failure.cause), ("remedy", &one.failure.remedy), ("checks", &checks)]
        {
            labelled(&format!("{label:<LABEL$}"), &clean(text, style.marks), out, style)?;
        }
    }
    Ok(())
}

/// The width of a label and the blanks after it, in columns.
const LABEL: usize = 10;

/// Writes `text` beside its label, wrapped to the width of the terminal.
fn labelled(label: &str, text: &str, out: &mut dyn Write, style: Style) -> io::Result<()> {
    let room = style.paragraph_columns().saturating_sub(LABEL);
    let mut margin = label.to_owned();
    for line in wrap(text, room, room) {
        writeln!(out, "{margin}{line}")?;
        margin = " ".repeat(LABEL);
    }
    Ok(())
}

/// Returns the text of docs/reference/troubleshooting.md. The test `render` compares the file with it, and writes the
/// file if `UPDATE=1` is set.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Troubleshooting: messages and their causes\n\n\
         <!-- Generated from src/domain/troubleshooting/rows.txt by `make docs`: do not edit. -->\n\n\
         This page lists what programs print when huge pages fail them, what it means, what to do, and which\n\
         check finds the cause. `hugeprobe explain --log` searches a log for all of it:\n\n\
         ```\n\
         hugeprobe explain --log /var/log/openvswitch/ovs-vswitchd.log\n\
         kubectl logs my-pod | hugeprobe explain --log -\n\
         ```\n\n\
         It exits with 0 if it knows a line, and with 3 if it knows none.\n\n\
         Where a message has several possible causes, run `hugeprobe check` in the same place: in the same\n\
         container, as the same user, with `--dir` for the program's directory and `--need` for the number of\n\
         pages that it takes.\n",
    );
    for chapter in chapters() {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(page, "\n## {}", chapter.title);
        for failure in &chapter.failures {
            page.push_str(&section(failure));
        }
    }
    page
}

fn section(failure: &KnownFailure) -> String {
    let mut section = format!("\n### {}\n\n", failure.name);
    let _ = match &failure.met_as {
        MetAs::Line(line) => writeln!(section, "```\n{line}\n```"),
        MetAs::Symptom(symptom) => {
            write!(section, "{}", paragraph(&format!("**No message.** Symptom: {}.", escaped(symptom))))
        }
    };
    let note = match failure.kind {
        Kind::Cause => "",
        Kind::Consequence => " An earlier line of the log may say more.",
        Kind::Harmless => " Often harmless.",
    };
    let sources: Vec<_> = failure.sources.iter().map(|source| linked(source)).collect();
    for text in [
        format!("{}{note}", escaped(&failure.cause)),
        format!("**What to do.** {}.", capital(&escaped(&failure.remedy)).trim_end_matches('.')),
        match links(&failure.checks) {
            Some(checks) => format!("**Found by** {checks}."),
            None => "**Found by** no check: hugeprobe does not look for this.".to_owned(),
        },
        format!("Seen: {}", sources.join("; ")),
    ] {
        let _ = write!(section, "\n{}", paragraph(&text));
    }
    section
}

/// Formats ids with their reasons: `HP401 CgroupFaultLimit, HP502 FirstTouchFailed`. Returns `None` for an empty list.
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

/// Returns a source as a Markdown link if it is an issue (`owner/repository#number`) or an https URL.
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
    // Text that begins with a command, an option or a proper name stays as it is.
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
    use crate::text::columns;
    use hugeprobe_domain::troubleshooting::{all, search};

    #[test]
    fn a_failure_reads_like_this() {
        let log = "no error\nEAL: Cannot get a virtual area: Cannot allocate memory\nEAL: Cannot allocate VA space for memseg list\n";
        let mut out = Vec::new();
        found(&search(log), &mut out, Style { width: 72, ..Style::default() }).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "\
line 2    EAL: Cannot get a virtual area: Cannot allocate memory
          2 similar lines
cause     EAL reserves tens to hundreds of gigabytes of address space
          when it starts. RLIMIT_AS is lower than that, or the program
          is a 32-bit build, which has 4 GiB in all.
remedy    run `ulimit -v unlimited`; if the program is a 32-bit build,
          use the 64-bit one
checks    HP405 AddressSpaceLimit
"
        );
    }

    #[test]
    fn a_consequence_only_names_its_cause() {
        let mut out = Vec::new();
        let log = "EAL: FATAL: unsupported cpu type.\nEAL: FATAL: Cannot init memory\n";
        found(&search(log), &mut out, Style { width: 72, ..Style::default() }).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.ends_with("\n\nline 2    EAL: FATAL: Cannot init memory\n          follows from line 1\n"),
            "{text}"
        );
        assert!(text.contains("checks    none: hugeprobe does not look for this\n"), "{text}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_nothing_steers_it() {
        let log: String = all()
            .filter_map(|failure| match failure.met_as {
                MetAs::Line(line) => Some(format!("\x1b[31m{line}\x1b[0m\n")),
                MetAs::Symptom(_) => None,
            })
            .collect();
        // Words are not broken, so a line of one long word may exceed the width.
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
        for failure in all() {
            assert_eq!(page.matches(&format!("\n### {}\n", failure.name)).count(), 1);
        }
        let links =
            page.matches("**Found by** [HP").count() + page.matches("**Found by** no check: ").count();
        assert_eq!(links, all().count());
        assert!(page.contains("(https://github.com/kubernetes/kubernetes/issues/99483)"));
        assert!(page.contains("[HP401 CgroupFaultLimit](checks.md#hp401-cgroupfaultlimit)"));
        assert_eq!(linked("Linux mm/hugetlb.c"), "Linux mm/hugetlb.c");
    }
}
