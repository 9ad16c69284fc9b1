//! Decimal numbers as the kernel prints them.

use std::str::FromStr;

/// Parses a number that consists only of digits. Unlike `str::parse`, it rejects a plus sign.
#[must_use]
pub fn parse_digits<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_spaces_and_nothing_are_no_numbers() {
        assert_eq!(parse_digits("007"), Some(7_u64));
        for text in ["", "+1", "-1", " 1", "1 ", "0x1", "99999999999999999999"] {
            assert_eq!(parse_digits::<u64>(text), None, "{text}");
        }
    }
}
