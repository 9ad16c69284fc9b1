//! Prepares text for output: escapes control characters, wraps at spaces, and shortens.

use std::fmt::Write as _;

use super::style::Marks;
use hugeprobe_domain::catalogue::CHECKS;
use hugeprobe_domain::check::CheckId;

/// Returns `text` as one line that is safe to show on a terminal.
///
/// These characters are escaped: control characters (also those from U+0080 on), characters that change the direction
/// of writing, invisible characters, and those that combine with the character before them. Each character of the
/// result takes one column, except wide East Asian characters.
pub(crate) fn clean(text: &str, marks: Marks) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => shown.push(c),
            '\t' => shown.push(' '),
            _ if marks == Marks::Unicode && !is_steering(c) => shown.push(c),
            _ if marks == Marks::Ascii => shown.push_str(&in_ascii(c)),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}

/// Returns whether a character must be escaped before it is shown. Uses the character categories of the standard
/// library.
pub(crate) fn is_steering(c: char) -> bool {
    !matches!(c, ' '..='~') && c.escape_debug().len() > 1
}

/// Returns the ASCII spelling of a non-ASCII character that hugeprobe's own texts use. Escapes every other character.
fn in_ascii(c: char) -> String {
    match c {
        '…' => "...".to_owned(),
        '–' | '—' | '−' => "-".to_owned(),
        '‘' | '’' => "'".to_owned(),
        '“' | '”' => "\"".to_owned(),
        '×' => "x".to_owned(),
        '≥' => ">=".to_owned(),
        '≤' => "<=".to_owned(),
        '→' => "->".to_owned(),
        'µ' | 'μ' => "u".to_owned(),
        c if is_steering(c) => c.escape_debug().to_string(),
        c => c.escape_unicode().to_string(),
    }
}

/// Returns the number of columns that `text` takes. The text must come from [`clean`].
pub(crate) fn columns(text: &str) -> usize {
    text.chars().count()
}

/// Shortens `text` to at most `most` characters. An ellipsis marks the cut.
pub(crate) fn shorten(text: &str, most: usize, marks: Marks) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let kept = most.saturating_sub(columns(marks.ellipsis()));
    text.chars().take(kept).chain(marks.ellipsis().chars()).collect()
}

/// Wraps `text` at spaces: the first line has at most `first` columns, the others `rest`. Returns at least one line.
///
/// A word is never broken, so that a path can be copied. A word that is too long gets a separate line and exceeds the
/// width.
pub(crate) fn wrap(text: &str, first: usize, rest: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let room = if lines.is_empty() { first } else { rest };
        if !line.is_empty() && columns(&line) + 1 + columns(word) > room {
            lines.push(std::mem::take(&mut line));
        } else if line.is_empty() && lines.is_empty() && columns(word) > room && columns(word) <= rest {
            // The first line is narrower than the others, and the word does not fit on it.
            lines.push(String::new());
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if lines.is_empty() || !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Joins pieces with three spaces and wraps them: the first line has at most `first` columns, the others `rest`.
/// Returns at least one line.
///
/// Each piece comes with its width in columns, because its text may contain colour codes.
pub(crate) fn flow(
    pieces: impl IntoIterator<Item = (usize, String)>,
    first: usize,
    rest: usize,
) -> Vec<String> {
    const GAP: &str = "   ";
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for (width, piece) in pieces {
        let room = if lines.is_empty() { first } else { rest };
        let needed = if used == 0 { width } else { used + GAP.len() + width };
        if needed > room && (used > 0 || (lines.is_empty() && width <= rest)) {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push_str(GAP);
            used += GAP.len();
        }
        line.push_str(&piece);
        used += width;
    }
    lines.push(line);
    lines
}

/// Returns whether `detail` has a word that `summary` does not have.
pub(crate) fn adds(detail: &str, summary: &str) -> bool {
    const FILLERS: [&str; 12] = ["a", "an", "and", "are", "at", "in", "is", "it", "of", "the", "to", "was"];
    let words = |text: &str| -> Vec<String> {
        text.split_whitespace()
            .map(|word| word.trim_matches(|c: char| ",.:;()'\"".contains(c)).to_lowercase())
            .filter(|word| !word.is_empty() && !FILLERS.contains(&word.as_str()))
            .collect()
    };
    let known = words(summary);
    words(detail).iter().any(|word| !known.contains(word))
}

/// Formats ids, with runs of consecutive catalogue entries shortened: "HP105, HP601 to HP604". `ids` are ascending.
pub(crate) fn id_list(ids: &[CheckId]) -> String {
    let place = |id: CheckId| CHECKS.iter().position(|check| check.id == id);
    let mut runs: Vec<(CheckId, CheckId, usize)> = Vec::new();
    for &id in ids {
        match runs.last_mut() {
            Some((_, last, length)) if place(*last).map(|at| at + 1) == place(id) => {
                *last = id;
                *length += 1;
            }
            _ => runs.push((id, id, 1)),
        }
    }
    let mut list = String::new();
    for (first, last, length) in runs {
        let comma = if list.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = match length {
            1 => write!(list, "{comma}{first}"),
            2 => write!(list, "{comma}{first}, {last}"),
            _ => write!(list, "{comma}{first} to {last}"),
        };
    }
    list
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use hugeprobe_domain::catalogue::{HP101, HP305, HP401, HP501, HP503, HP504};

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        for (text, shown) in [
            ("508 of 512 free", "508 of 512 free"),
            ("/dev/hugepages/\u{1b}[2J", "/dev/hugepages/\\u{1b}[2J"),
            ("a\nverdict  pass\r", "a\\nverdict  pass\\r"),
            ("a\tb", "a b"),
            ("\u{9b}31m\u{7f}\u{0}", "\\u{9b}31m\\u{7f}\\0"),
            ("abc\u{202e}cba\u{200b}\u{feff}", "abc\\u{202e}cba\\u{200b}\\u{feff}"),
            ("a\\b 'c' \"d\"", "a\\b 'c' \"d\""),
            ("Größe…", "Größe…"),
        ] {
            assert_eq!(clean(text, Marks::Unicode), shown);
        }
    }

    #[test]
    fn an_ascii_locale_gets_ascii() {
        assert_eq!(clean("8 × 2Mi — “x”…", Marks::Ascii), "8 x 2Mi - \"x\"...");
        assert_eq!(clean("Größe\n", Marks::Ascii), "Gr\\u{f6}\\u{df}e\\n");
    }

    #[test]
    fn lines_break_at_words_and_words_never() {
        assert_eq!(wrap("one two three", 7, 7), ["one two", "three"]);
        assert_eq!(wrap("one two three", 3, 20), ["one", "two three"]);
        assert_eq!(wrap("a /long/path/that/sticks/out b", 5, 5), ["a", "/long/path/that/sticks/out", "b"]);
        assert_eq!(wrap("/longer/word b", 5, 20), ["", "/longer/word b"]);
        assert_eq!(wrap("", 5, 5), [""]);
        assert_eq!(wrap("  ", 0, 0), [""]);
    }

    #[test]
    fn pieces_stand_side_by_side_while_they_fit() {
        let flow = |first, rest| flow(["aaa", "bbb", "ccc"].map(|piece| (3, piece.to_owned())), first, rest);
        assert_eq!(flow(15, 15), ["aaa   bbb   ccc"]);
        assert_eq!(flow(14, 14), ["aaa   bbb", "ccc"]);
        assert_eq!(flow(0, 9), ["", "aaa   bbb", "ccc"]);
        assert_eq!(flow(0, 0), ["aaa", "bbb", "ccc"]);
        assert_eq!(super::flow([], 9, 9), [""]);
    }

    #[test]
    fn a_cut_is_marked() {
        assert_eq!(shorten("abcdef", 6, Marks::Unicode), "abcdef");
        assert_eq!(shorten("abcdefg", 6, Marks::Unicode), "abcde…");
        assert_eq!(shorten("abcdefg", 6, Marks::Ascii), "abc...");
        assert_eq!(shorten("abcdefg", 0, Marks::Unicode), "…");
    }

    #[test]
    fn neighbours_in_the_catalogue_make_a_run() {
        assert_eq!(id_list(&[HP101]), "HP101");
        assert_eq!(id_list(&[HP305, HP401]), "HP305, HP401");
        assert_eq!(
            id_list(&[HP101, HP501, hugeprobe_domain::catalogue::HP502, HP503]),
            "HP101, HP501 to HP503"
        );
        assert_eq!(id_list(&[HP501, HP503, HP504]), "HP501, HP503, HP504");
        assert_eq!(id_list(&[]), "");
    }

    proptest! {
        #[test]
        fn clean_text_is_clean_and_stays_so(text: String) {
            for marks in [Marks::Unicode, Marks::Ascii] {
                let shown = clean(&text, marks);
                prop_assert!(!shown.contains(|c: char| c.is_control()));
                prop_assert!(marks == Marks::Unicode || shown.is_ascii());
                prop_assert_eq!(clean(&shown, marks), shown);
            }
        }

        #[test]
        fn wrapping_keeps_every_word_and_the_width(text in "[a-z ]{0,60}", first in 0_usize..30, rest in 0_usize..30) {
            let lines = wrap(&text, first, rest);
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&lines.join(" ")), words(&text));
            for (index, line) in lines.iter().enumerate() {
                let room = if index == 0 { first } else { rest };
                prop_assert!(columns(line) <= room || !line.contains(' '), "{lines:?}");
            }
        }
    }
}
