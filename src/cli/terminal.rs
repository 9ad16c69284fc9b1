//! The properties of the terminal, and the progress line on it.

use std::io::{self, IsTerminal as _, Stderr, Write as _};
use std::time::Instant;

use hugeprobe_domain::reserve::Replayed;
use hugeprobe_probe::check::Progress;
use hugeprobe_render::{Marks, Style};

/// Returns the style for standard output: whether the terminal shows colour, its width, and the marks of the locale.
pub(super) fn style() -> Style {
    Style {
        color: anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never,
        marks: Marks::for_locale(&|name| std::env::var(name).ok()),
        ..width()
    }
}

/// Returns the progress line on standard error. It shows nothing if standard error is not a terminal.
pub(super) fn progress() -> Line {
    let terminal = io::stderr().is_terminal().then(io::stderr);
    let marks = Marks::for_locale(&|name| std::env::var(name).ok());
    Line(hugeprobe_render::progress::Progress::new(terminal, Style { marks, ..width() }))
}

/// Returns a style with the width of the terminal, else that of COLUMNS, else the default for a file.
fn width() -> Style {
    let columns = terminal_size::terminal_size()
        .map(|(width, _)| usize::from(width.0))
        .or_else(|| std::env::var("COLUMNS").ok()?.parse().ok());
    columns.map_or_else(Style::default, |width| Style { width, ..Style::default() })
}

/// A progress line that gets the current time from the system's monotonic clock.
pub(super) struct Line(hugeprobe_render::progress::Progress<Stderr>);

impl Progress for Line {
    fn step(&mut self, what: &str) {
        self.0.step(Instant::now(), what);
    }

    fn tick(&mut self) {
        self.0.tick(Instant::now());
    }

    fn replayed(&mut self, replayed: &Replayed) {
        self.0.clear();
        // Standard error may be closed; the JSON report contains this too.
        let _ = writeln!(io::stderr(), "hugeprobe: {replayed}");
    }
}

impl Line {
    /// Removes the line. Call this before the report is printed.
    pub(super) fn clear(mut self) {
        self.0.clear();
    }
}
