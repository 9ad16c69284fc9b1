//! What the terminal can show, and progress on it.

use std::io::{self, IsTerminal as _, Stderr, Write as _};
use std::time::Instant;

use crate::domain::reserve::Replayed;
use crate::probe::check::Progress;
use crate::render::{self, Marks, Style};

/// How standard output is to be written: colour on a terminal that wants it, its width, and the marks of its locale.
pub(super) fn style() -> Style {
    Style {
        color: anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
        marks: Marks::for_locale(&|name| std::env::var(name).ok()),
        ..width()
    }
}

/// The line of progress on standard error, if that is a terminal; nothing otherwise.
pub(super) fn progress() -> Line {
    let terminal = io::stderr().is_terminal().then(io::stderr);
    let marks = Marks::for_locale(&|name| std::env::var(name).ok());
    Line(render::progress::Progress::new(terminal, Style { marks, ..width() }))
}

/// The terminal's width, else that of COLUMNS, else what suits a file.
fn width() -> Style {
    let columns = terminal_size::terminal_size()
        .map(|(width, _)| usize::from(width.0))
        .or_else(|| std::env::var("COLUMNS").ok()?.parse().ok());
    columns.map_or_else(Style::default, |width| Style { width, ..Style::default() })
}

/// Gives the run's progress the time of day.
pub(super) struct Line(render::progress::Progress<Stderr>);

impl Progress for Line {
    fn step(&mut self, what: &str) {
        self.0.step(Instant::now(), what);
    }

    fn tick(&mut self) {
        self.0.tick(Instant::now());
    }

    fn replayed(&mut self, replayed: &Replayed) {
        self.0.clear();
        // Standard error may be closed; the JSON report has it as well.
        let _ = writeln!(io::stderr(), "hugeprobe: {replayed}");
    }
}

impl Line {
    /// Takes the line away, before the report is printed.
    pub(super) fn clear(mut self) {
        self.0.clear();
    }
}
