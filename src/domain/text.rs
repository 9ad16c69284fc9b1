//! Makes text safe to publish, printable and of limited length, and formats a number with its noun.

use std::fmt::Display;

/// Returns `text` in one line of at most `chars` printable ASCII characters.
///
/// White space becomes a single space, and every other character becomes `?`. `...` shows that text was cut off.
#[must_use]
pub fn line(text: &str, chars: usize) -> String {
    let mut clean = String::new();
    for c in text.trim().chars() {
        match c {
            c if c.is_whitespace() => {
                if !clean.ends_with(' ') {
                    clean.push(' ');
                }
            }
            c if c.is_ascii_graphic() => clean.push(c),
            _ => clean.push('?'),
        }
        if clean.len() > chars {
            break;
        }
    }
    bounded(&clean, chars)
}

/// Returns a number with its noun: `1 page`, `2 pages`.
#[must_use]
pub fn count<N: Copy + Display + PartialEq + From<u8>>(number: N, thing: &str) -> String {
    if number == N::from(1) { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Returns at most `bytes` bytes of `text`, cut at a character boundary. `...` shows that text was cut off.
#[must_use]
pub fn bounded(text: &str, bytes: usize) -> String {
    const MORE: &str = "...";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes.saturating_sub(MORE.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    format!("{}{MORE}", text.get(..end).unwrap_or_default().trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_text_becomes_one_plain_line() {
        for (text, expected) in [
            ("as it is", "as it is"),
            (" a\n\tb\r\nc ", "a b c"),
            ("\u{1b}[31mred\u{202e}", "?[31mred?"),
            ("größe", "gr??e"),
            ("0123456789", "0123456789"),
            ("0123456789a", "0123456..."),
        ] {
            assert_eq!(line(text, 10), expected);
        }
    }

    proptest! {
        #[test]
        fn no_text_is_longer_than_allowed(text in "\\PC*|[\\x00-\\x7f]*", most in 3_usize..200) {
            let short = line(&text, most);
            prop_assert!(short.len() <= most && short.bytes().all(|b| b.is_ascii_graphic() || b == b' '));
            prop_assert_eq!(line(&short, most), short.clone());
            prop_assert!(bounded(&text, most).len() <= most);
        }
    }
}
