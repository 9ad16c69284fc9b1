//! The progress line: the current step of a long run, on standard error.
//!
//! The line is rewritten in place and removed at the end. Nothing is shown in a short run or without a terminal.

use std::io::Write;
use std::time::{Duration, Instant};

use super::style::Style;
use super::text::{clean, columns, shorten};

/// A run that is shorter than this shows no progress.
const PATIENCE: Duration = Duration::from_millis(300);
/// The minimum time between two changes of the line.
const INTERVAL: Duration = Duration::from_millis(100);
/// A step that takes this long shows how many seconds it has taken.
const LONG_STEP: Duration = Duration::from_secs(2);

/// The progress line. Without an output it shows nothing. If a write fails, the line is no longer shown and the run
/// continues.
///
/// It uses only a carriage return and spaces, which every terminal supports, and no ANSI sequences.
#[derive(Debug)]
pub struct Progress<W: Write> {
    out: Option<W>,
    style: Style,
    begun: Option<Instant>,
    drawn: Option<Instant>,
    step: Option<(String, Instant)>,
    on_screen: String,
}

// === impl Progress ===

impl<W: Write> Progress<W> {
    /// Creates a progress line on `out`, which must be a terminal. `None` shows nothing. Only the width and the marks
    /// of `style` are used.
    pub fn new(out: Option<W>, style: Style) -> Self {
        Self { out, style, begun: None, drawn: None, step: None, on_screen: String::new() }
    }

    /// Starts a new step at `now`. If the run or the previous line is too recent, a later [`Progress::tick`] shows the
    /// step.
    pub fn step(&mut self, now: Instant, what: &str) {
        if self.out.is_none() {
            return;
        }
        self.begun.get_or_insert(now);
        self.step = Some((clean(what, self.style.marks), now));
        self.tick(now);
    }

    /// Updates the line at the time `now`. Call this a few times a second while waiting, so that the seconds of a long
    /// step advance.
    pub fn tick(&mut self, now: Instant) {
        let (Some(begun), Some((what, since))) = (self.begun, &self.step) else { return };
        let long_enough = now.saturating_duration_since(begun) >= PATIENCE;
        let readable = self.drawn.is_none_or(|drawn| now.saturating_duration_since(drawn) >= INTERVAL);
        if !long_enough || !readable {
            return;
        }
        let took = now.saturating_duration_since(*since);
        let seconds = if took >= LONG_STEP { format!("  {} s", took.as_secs()) } else { String::new() };
        // The last column stays free, because terminals differ in what they do after it is written.
        let room = self.style.width.saturating_sub(1);
        let what = shorten(what, room.saturating_sub(columns(&seconds)), self.style.marks);
        let line: String = what.chars().chain(seconds.chars()).take(room).collect();
        self.drawn = Some(now);
        self.draw(line);
    }

    /// Removes the line. Call this before anything else is written to the terminal. The next step shows it again.
    pub fn clear(&mut self) {
        self.step = None;
        self.draw(String::new());
    }

    fn draw(&mut self, line: String) {
        let Some(out) = &mut self.out else { return };
        if line == self.on_screen {
            return;
        }
        let leftover = columns(&self.on_screen).saturating_sub(columns(&line));
        let blank = " ".repeat(leftover);
        // When the line is removed, a carriage return follows the blanks, so that the cursor ends at the first column.
        let text = if line.is_empty() { format!("\r{blank}\r") } else { format!("\r{line}{blank}") };
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => self.on_screen = line,
            Err(_) => self.out = None,
        }
    }
}

impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::style::Marks;
    use super::*;

    fn narrow() -> Style {
        Style { width: 21, ..Style::default() }
    }

    fn after(begun: Instant, milliseconds: u64) -> Instant {
        begun + Duration::from_millis(milliseconds)
    }

    /// Returns the text that a terminal shows on the line after `bytes` were written.
    fn screen(bytes: &[u8]) -> String {
        let mut cells: Vec<char> = Vec::new();
        let mut at = 0;
        for c in std::str::from_utf8(bytes).unwrap().chars() {
            if c == '\r' {
                at = 0;
                continue;
            }
            assert!(!c.is_control(), "{c:?}");
            if at == cells.len() {
                cells.push(c);
            } else {
                cells[at] = c;
            }
            at += 1;
        }
        cells.into_iter().collect::<String>().trim_end().to_owned()
    }

    #[test]
    fn a_short_run_shows_nothing() {
        let begun = Instant::now();
        let mut out = Vec::new();
        let mut progress = Progress::new(Some(&mut out), narrow());
        for step in 0..20 {
            progress.step(after(begun, step * 10), "2Mi: one step of many");
        }
        progress.clear();
        drop(progress);
        assert!(out.is_empty());
    }

    #[test]
    fn a_long_run_shows_the_step_it_is_at_and_leaves_nothing() {
        let begun = Instant::now();
        for (milliseconds, line) in [
            (299, ""),
            (300, "populate 512 pages"),
            (1999, "populate 512 pages"),
            (3000, "populate 512…  3 s"),
        ] {
            let mut out = Vec::new();
            let mut progress = Progress::new(Some(&mut out), Style { width: 19, ..narrow() });
            progress.step(begun, "populate 512 pages");
            progress.tick(after(begun, 300.min(milliseconds)));
            progress.tick(after(begun, milliseconds));
            std::mem::forget(progress);
            assert_eq!(screen(&out), line, "after {milliseconds} ms");
        }
        let mut out = Vec::new();
        let mut progress = Progress::new(Some(&mut out), narrow());
        progress.step(begun, "reserve");
        progress.tick(after(begun, 400));
        drop(progress);
        assert_eq!(screen(&out), "");
        assert_eq!(out.last(), Some(&b'\r'));
    }

    #[test]
    fn a_step_too_soon_after_another_waits_for_the_tick() {
        let begun = Instant::now();
        let mut out = Vec::new();
        let mut progress = Progress::new(Some(&mut out), narrow());
        progress.step(begun, "the first of them");
        progress.tick(after(begun, 500));
        progress.step(after(begun, 550), "second");
        let drawn = progress.on_screen.clone();
        progress.tick(after(begun, 601));
        assert_eq!((drawn.as_str(), progress.on_screen.as_str()), ("the first of them", "second"));
        std::mem::forget(progress);
        assert_eq!(screen(&out), "second");
    }

    #[test]
    fn the_line_is_cut_to_the_width_and_free_of_control_characters() {
        let begun = Instant::now();
        for width in 0..30 {
            for marks in [Marks::Unicode, Marks::Ascii] {
                let mut out = Vec::new();
                let mut progress =
                    Progress::new(Some(&mut out), Style { color: true, width, marks, ..Style::default() });
                progress.step(begun, "\u{1b}[2J\n /dev/hugepages/ü");
                progress.tick(after(begun, 9000));
                std::mem::forget(progress);
                assert!(screen(&out).chars().count() < width.max(1), "{width}");
            }
        }
    }

    #[test]
    fn a_terminal_that_is_gone_ends_the_showing() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let begun = Instant::now();
        let mut progress = Progress::new(Some(Gone), narrow());
        progress.step(begun, "reserve");
        progress.tick(after(begun, 1000));
        assert!(progress.out.is_none());
        let mut silent = Progress::new(None::<Gone>, narrow());
        silent.step(begun, "reserve");
        silent.tick(after(begun, 1000));
    }
}
