//! How text is dressed: colour, width, and whether marks may leave ASCII. The caller looks at the terminal; here
//! nothing is asked of the environment.

use std::fmt;

use anstyle::{AnsiColor, Style as Ansi};

use crate::domain::check::{Outcome, Verdict};

/// How a person's text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether ANSI colours may be used: the output is a terminal, and NO_COLOR is not set.
    pub color: bool,
    /// The terminal's width in columns. Tables are laid out for [`NARROWEST`] to [`WIDEST`], paragraphs for at most [`READABLE`].
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
    /// What passed in one line for each group; what follows from a failure in one line.
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
    /// ok !! XX ?? --, and whatever the data has beyond ASCII is escaped.
    Ascii,
}

/// Narrower terminals than this break the lines themselves.
pub const NARROWEST: usize = 40;
/// Wider tables than this cannot be followed by eye.
pub const WIDEST: usize = 160;
/// The width of paragraphs, and of what goes to a file.
pub const READABLE: usize = 100;

/// Quiet text: what is not news.
pub(crate) const DIM: Ansi = Ansi::new().dimmed();
/// Titles.
pub(crate) const BOLD: Ansi = Ansi::new().bold();

/// A text and how it is painted. Displays without colour unless [`Style::color`].
pub(crate) struct Painted<'a> {
    text: &'a str,
    ansi: Option<Ansi>,
}

// === impl Style ===

impl Default for Style {
    /// For a file or a pipe: no colour, [`READABLE`], Unicode.
    fn default() -> Self {
        Self { color: false, width: READABLE, marks: Marks::Unicode, detail: Detail::Normal }
    }
}

impl Style {
    /// The width that tables are laid out for.
    #[must_use]
    pub fn columns(self) -> usize {
        self.width.clamp(NARROWEST, WIDEST)
    }

    /// The width that paragraphs are laid out for.
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

/// The colour of an outcome.
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

/// The colour of a verdict: that of the outcome with its name.
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
    /// What the locale of the environment can show: the first of LC_ALL, LC_CTYPE and LANG that is set and not empty
    /// decides, as setlocale(3) has it. None set is the C locale: ASCII.
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

    /// The mark of an outcome. All marks of one kind have [`Marks::width`] columns.
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

    /// Columns that a mark takes.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::Unicode => 1,
            Self::Ascii => 2,
        }
    }

    /// The mark for something left out.
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
