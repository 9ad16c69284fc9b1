//! The string literals of the source, as far as they may reach a user: those outside comments and tests.

use super::{collect, root, text};

/// A string literal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    /// The line on which it begins.
    pub(crate) line: usize,
    /// Its text, with escapes as they are written and without continuations of lines.
    pub(crate) text: String,
}

/// The source files that are not tests, as paths from the repository's root.
pub(crate) fn sources() -> Vec<String> {
    let mut files = Vec::new();
    collect(&root().join("src"), "rs", &mut files);
    files.retain(|file| !file.ends_with("/tests.rs") && !file.contains("/tests/"));
    files.sort();
    files
}

/// The literals of a source file.
pub(crate) fn of(file: &str) -> Vec<Literal> {
    literals(&text(file))
}

/// The help that clap makes of doc comments: their lines, with their numbers.
pub(crate) fn help(file: &str) -> Vec<Literal> {
    if !file.starts_with("src/cli/args") {
        return Vec::new();
    }
    let content = text(file);
    let lines = content.lines().enumerate();
    let comments =
        lines.filter_map(|(index, line)| Some((index + 1, line.trim_start().strip_prefix("/// ")?)));
    comments.map(|(line, text)| Literal { line, text: text.to_owned() }).collect()
}

/// What stands at one place of the source.
enum Token<'a> {
    /// A literal, without its quotes.
    Literal(&'a str),
    Comment,
    /// `#[cfg(test)]`.
    CfgTest,
    Other(char),
}

fn literals(source: &str) -> Vec<Literal> {
    let mut found = Vec::new();
    let mut rest = source;
    // In an item marked `#[cfg(test)]`: how many braces are open; `None` before the first.
    let mut test: Option<Option<usize>> = None;
    while let Some((token, length)) = next(rest) {
        match (token, test) {
            (Token::CfgTest, None) => test = Some(None),
            (Token::Literal(text), None) => {
                let line = source[..source.len() - rest.len()].matches('\n').count() + 1;
                found.push(Literal { line, text: joined(text) });
            }
            (Token::Other('{'), Some(depth)) => test = Some(Some(depth.unwrap_or(0) + 1)),
            (Token::Other('}'), Some(Some(1))) | (Token::Other(';'), Some(None)) => test = None,
            (Token::Other('}'), Some(Some(depth))) => test = Some(Some(depth - 1)),
            _ => {}
        }
        rest = &rest[length..];
    }
    found
}

/// What `text` begins with, and how many bytes it has.
fn next(text: &str) -> Option<(Token<'_>, usize)> {
    const CFG_TEST: &str = "#[cfg(test)]";
    let first = text.chars().next()?;
    if text.starts_with(CFG_TEST) {
        return Some((Token::CfgTest, CFG_TEST.len()));
    }
    if text.starts_with("//") {
        return Some((Token::Comment, text.find('\n').unwrap_or(text.len())));
    }
    if text.starts_with("/*") {
        return Some((Token::Comment, text.find("*/").map_or(text.len(), |end| end + 2)));
    }
    if first == '"' {
        let length = end_of(&text[1..], '"');
        return Some((Token::Literal(&text[1..=length]), length + 2));
    }
    if let Some(after) = text.strip_prefix("r\"").or_else(|| text.strip_prefix("r#")) {
        let hashes = 1 + after.chars().take_while(|c| *c == '#').count();
        let (open, close) = match text.starts_with("r\"") {
            true => (2, "\"".to_owned()),
            false => (hashes + 2, format!("\"{}", "#".repeat(hashes))),
        };
        if text[..open.min(text.len())].ends_with('"') {
            let end = text[open..].find(&close).unwrap_or(text.len() - open);
            return Some((Token::Literal(&text[open..open + end]), open + end + close.len()));
        }
    }
    if first == '\'' {
        // A lifetime has no closing quote.
        let mut chars = text[1..].chars();
        let length = match chars.next()? {
            '\\' => Some(end_of(&text[1..], '\'') + 2),
            c if chars.next() == Some('\'') => Some(c.len_utf8() + 2),
            _ => None,
        };
        return Some((Token::Other(first), length.unwrap_or(1)));
    }
    // A whole word, so that the `r` at its end begins no raw string.
    let word =
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').map(char::len_utf8).sum::<usize>();
    Some((Token::Other(first), word.max(first.len_utf8())))
}

/// How many bytes come before the first `quote` that no backslash escapes.
fn end_of(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at,
            _ => {}
        }
    }
    text.len()
}

/// A literal without the continuations of its lines.
fn joined(text: &str) -> String {
    let mut pieces = text.split("\\\n");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |joined, piece| joined + piece.trim_start())
}

#[test]
fn literals_are_found_outside_comments_and_tests() {
    let source = r###"
// "a comment" and 'it
/* "another" */
fn one<'a>(c: char) -> &'a str {
    let quotes = ['"', '\'', '\\'];
    let raw = (r"raw", r#"a "quote""#, br"bytes");
    "two \
     lines, \"quoted\""
}
#[cfg(test)]
use other::Thing;
#[cfg(test)]
mod tests {
    fn three() { "in a test {"; { '}'; } }
}
const LAST: &str = "last";
"###;
    let found: Vec<_> = literals(source).into_iter().map(|one| (one.line, one.text)).collect();
    let expected =
        [(6, "raw"), (6, "a \"quote\""), (6, "bytes"), (7, "two lines, \\\"quoted\\\""), (16, "last")];
    assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
}
