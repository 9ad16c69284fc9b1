//! The style of text output: colour, width, and whether marks may be non-ASCII. The caller reads the terminal and the
//! environment; this module reads neither.

use std::fmt;

use anstyle::{AnsiColor, Style as Ansi};

use hugeprobe_domain::check::{Outcome, Verdict};

/// How text for people is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether ANSI colours may be used: the output is a terminal, and NO_COLOR is not set.
    pub color: bool,
    /// The terminal's width in columns. Tables are laid out for [`NARROWEST`] to [`WIDEST`] columns, paragraphs for at
    /// most [`READABLE`].
    pub width: usize,
    /// Which marks the locale can show.
    pub marks: Marks,
    /// How much of a report is shown.
    pub detail: Detail,
}

/// How much of a report a table shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// The verdict and its first cause.
    Quiet,
    /// One line per group for what passed, and one line for what follows from a failure.
    #[default]
    Normal,
    /// Each finding with its own facts and remedy, and each skipped check with its reason.
    Verbose,
}

/// Which characters may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// ✔ ! ✘ ? -
    Unicode,
    /// ok !! XX ?? --; non-ASCII characters of the data are escaped.
    Ascii,
}

/// The minimum width for layout, in columns. A narrower terminal breaks the lines itself.
pub const NARROWEST: usize = 40;
/// The maximum width of a table, in columns. The rows of a wider table are hard to follow.
pub const WIDEST: usize = 160;
/// The maximum width of paragraphs, and the width of output to a file, in columns.
pub const READABLE: usize = 100;

/// The style of less important text.
pub(crate) const DIM: Ansi = Ansi::new().dimmed();
/// The style of titles.
pub(crate) const BOLD: Ansi = Ansi::new().bold();

/// A text with its ANSI style. [`Style::color`] decides whether the style is used.
pub(crate) struct Painted<'a> {
    text: &'a str,
    ansi: Option<Ansi>,
}

// === impl Style ===

impl Default for Style {
    /// Returns the style for a file or a pipe: no colour, [`READABLE`] columns, Unicode marks.
    fn default() -> Self {
        Self { color: false, width: READABLE, marks: Marks::Unicode, detail: Detail::Normal }
    }
}

impl Style {
    /// Returns the width for which tables are laid out, in columns.
    #[must_use]
    pub fn columns(self) -> usize {
        self.width.clamp(NARROWEST, WIDEST)
    }

    /// Returns the width for which paragraphs are laid out, in columns.
    #[must_use]
    pub fn paragraph_columns(self) -> usize {
        self.columns().min(READABLE)
    }

    pub(crate) fn paint(self, ansi: Ansi, text: &str) -> Painted<'_> {
        Painted { text, ansi: self.color.then_some(ansi) }
    }
}

impl fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ansi {
            Some(ansi) if !self.text.is_empty() => write!(f, "{ansi}{}{ansi:#}", self.text),
            _ => f.write_str(self.text),
        }
    }
}

/// Returns the colour of an outcome.
pub(crate) fn outcome_color(outcome: Outcome) -> Ansi {
    let color = |color: AnsiColor| Ansi::new().fg_color(Some(color.into()));
    match outcome {
        Outcome::Skip => DIM,
        Outcome::Pass => color(AnsiColor::Green),
        Outcome::Warn => color(AnsiColor::Yellow),
        Outcome::Unknown => color(AnsiColor::Magenta),
        Outcome::Fail => color(AnsiColor::Red).bold(),
    }
}

/// Returns the colour of a verdict: that of the outcome with the same name.
pub(crate) fn verdict_color(verdict: Verdict) -> Ansi {
    outcome_color(match verdict {
        Verdict::None => Outcome::Skip,
        Verdict::Pass => Outcome::Pass,
        Verdict::Warn => Outcome::Warn,
        Verdict::Unknown => Outcome::Unknown,
        Verdict::Fail => Outcome::Fail,
    })
}

// === impl Marks ===

impl Marks {
    /// Returns the marks that the locale of the environment can show.
    ///
    /// As in setlocale(3), the first of LC_ALL, LC_CTYPE and LANG that is set and not empty decides. If none is set,
    /// the locale is C: ASCII.
    #[must_use]
    pub fn for_locale(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .filter_map(|name| variable(name))
            .find(|value| !value.is_empty())
            .unwrap_or_default();
        let codeset = locale.split_once('.').map_or("", |(_, rest)| rest);
        let codeset = codeset.split('@').next().unwrap_or_default().to_ascii_lowercase();
        if matches!(codeset.as_str(), "utf-8" | "utf8") { Self::Unicode } else { Self::Ascii }
    }

    /// Returns the mark of an outcome. Every mark has [`Marks::width`] columns.
    #[must_use]
    pub const fn of(self, outcome: Outcome) -> &'static str {
        match (self, outcome) {
            (Self::Unicode, Outcome::Skip) => "-",
            (Self::Unicode, Outcome::Pass) => "✔",
            (Self::Unicode, Outcome::Warn) => "!",
            (Self::Unicode, Outcome::Unknown) => "?",
            (Self::Unicode, Outcome::Fail) => "✘",
            (Self::Ascii, Outcome::Skip) => "--",
            (Self::Ascii, Outcome::Pass) => "ok",
            (Self::Ascii, Outcome::Warn) => "!!",
            (Self::Ascii, Outcome::Unknown) => "??",
            (Self::Ascii, Outcome::Fail) => "XX",
        }
    }

    /// Returns the width of a mark in columns.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::Unicode => 1,
            Self::Ascii => 2,
        }
    }

    /// Returns the mark for omitted text.
    #[must_use]
    pub const fn ellipsis(self) -> &'static str {
        match self {
            Self::Unicode => "…",
            Self::Ascii => "...",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides_about_marks() {
        for (set, marks) in [
            (&[][..], Marks::Ascii),
            (&[("LANG", "en_US.UTF-8")][..], Marks::Unicode),
            (&[("LANG", "C.utf8")][..], Marks::Unicode),
            (&[("LANG", "de_DE.UTF-8@euro")][..], Marks::Unicode),
            (&[("LANG", "de_DE@euro")][..], Marks::Ascii),
            (&[("LANG", "en_US.ISO-8859-1")][..], Marks::Ascii),
            (&[("LANG", "en_US")][..], Marks::Ascii),
            (&[("LANG", "UTF-8")][..], Marks::Ascii),
            (&[("LANG", "en_US.UTF-8"), ("LC_ALL", "C")][..], Marks::Ascii),
            (&[("LANG", "en_US.UTF-8"), ("LC_ALL", "")][..], Marks::Unicode),
            (&[("LANG", "C"), ("LC_CTYPE", "C.UTF-8")][..], Marks::Unicode),
            (&[("LC_CTYPE", "C.UTF-8"), ("LC_ALL", "POSIX")][..], Marks::Ascii),
        ] {
            let variable =
                |name: &str| set.iter().find(|(its, _)| *its == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(Marks::for_locale(&variable), marks, "{set:?}");
        }
    }

    #[test]
    fn all_marks_of_a_kind_are_equally_wide() {
        for marks in [Marks::Unicode, Marks::Ascii] {
            for outcome in [Outcome::Skip, Outcome::Pass, Outcome::Warn, Outcome::Unknown, Outcome::Fail] {
                assert_eq!(marks.of(outcome).chars().count(), marks.width());
            }
        }
    }

    #[test]
    fn nothing_is_painted_without_colour() {
        let color = Style { color: true, ..Style::default() };
        assert_eq!(Style::default().paint(BOLD, "x").to_string(), "x");
        assert_eq!(color.paint(BOLD, "x").to_string(), "\u{1b}[1mx\u{1b}[0m");
        assert_eq!(color.paint(BOLD, "").to_string(), "");
    }
}
