//! Patterns for log lines: pieces that must occur in order, with any text between them.

/// The maximum number of bytes of a line that are searched. Messages are much shorter, but a file that is not a log may
/// consist of one long line.
pub(super) const LONGEST_LINE: usize = 4096;

/// The pieces of a pattern, in order. A piece that begins or ends with a digit matches only whole numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    pieces: Vec<String>,
}

impl Pattern {
    /// Parses a pattern: pieces with `*` between them. Returns `None` if a piece is empty.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let pieces: Vec<_> = text.split('*').map(normalize).collect();
        let empty = pieces.iter().any(String::is_empty);
        (!empty).then_some(Self { pieces })
    }

    /// Returns whether a normalized line matches.
    pub(super) fn matches(&self, line: &str) -> bool {
        let mut rest = Some(line);
        for piece in &self.pieces {
            rest = rest.and_then(|rest| after(rest, piece));
        }
        rest.is_some()
    }

    /// Returns the length of all pieces, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.pieces.iter().map(String::len).sum()
    }
}

/// Normalizes `line` for the comparison with patterns.
///
/// The result is in lower case, has one blank for each run of blanks, and is at most [`LONGEST_LINE`] bytes of `line`.
/// The backslashes that JSON and structured logs put before quotes are removed.
pub(super) fn normalize(line: &str) -> String {
    let end = (0..=line.len().min(LONGEST_LINE)).rev().find(|end| line.is_char_boundary(*end));
    let line = line.get(..end.unwrap_or(0)).unwrap_or_default();
    let mut text = String::with_capacity(line.len());
    for word in line.split_whitespace() {
        if !text.is_empty() {
            text.push(' ');
        }
        for c in word.chars() {
            if matches!(c, '"' | '\'') {
                text.truncate(text.trim_end_matches('\\').len());
            }
            text.push(c.to_ascii_lowercase());
        }
    }
    text
}

/// Returns the text after the first occurrence of `piece` in `text`.
fn after<'t>(text: &'t str, piece: &str) -> Option<&'t str> {
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let (first, last) = (is_digit(piece.chars().next()), is_digit(piece.chars().next_back()));
    text.match_indices(piece).find_map(|(start, _)| {
        let before = text.get(..start)?;
        let after = text.get(start + piece.len()..)?;
        let within_a_number =
            (first && is_digit(before.chars().next_back())) || (last && is_digit(after.chars().next()));
        (!within_a_number).then_some(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, line: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(&normalize(line))
    }

    #[test]
    fn pieces_match_in_their_order_in_either_letter_case() {
        assert!(matches("No free*on node", "EAL: no FREE 2048 kB hugepages on node 0"));
        assert!(!matches("on node*no free", "EAL: no free 2048 kB hugepages on node 0"));
        assert_eq!(Pattern::parse("a**b"), None);
        assert_eq!(Pattern::parse(""), None);
    }

    #[test]
    fn blanks_and_escaped_quotes_do_not_matter() {
        assert!(matches("Exit Code: 135", "      Exit Code:    135"));
        assert!(matches("\tExit Code: 135", "Exit\tCode: 135"));
        assert!(matches("apparmor=\"DENIED\"", r#"{"msg":"apparmor=\\\"DENIED\\\""}"#));
    }

    #[test]
    fn a_number_matches_whole() {
        assert!(matches("signal 7", "signal 7: Bus error") && matches("exit code 135", "exit code 135"));
        assert!(!matches("signal 7", "signal 77") && !matches("exit code 135", "exit code 1350"));
        assert!(matches("signal 7", "signal 77, then signal 7"));
        assert!(!matches("24: falling back", "124: falling back"));
    }

    #[test]
    fn a_line_is_cut_at_a_character() {
        assert_eq!(normalize(&"é".repeat(LONGEST_LINE)).len(), LONGEST_LINE);
        assert!(!matches("end", &format!("{}end", "x".repeat(LONGEST_LINE))));
    }
}
