//! Parses files with lines of the form `Key: value`, such as `/proc/PID/status` and `/proc/meminfo`.

use hugeprobe_domain::reading::Reading;
use hugeprobe_domain::size::parse_bytes;

use super::root::quoted;

/// Returns the value of the first line with this key, without leading and trailing white space.
#[must_use]
pub fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim()))
}

/// Returns the value of the first line with this key, parsed by `parse`. `Absent` if there is no such line, `Malformed`
/// if `parse` returns `None`. `file` is the path that the message shows.
pub fn parsed<T>(file: &str, text: &str, key: &str, parse: impl FnOnce(&str) -> Option<T>) -> Reading<T> {
    let Some(value) = value(text, key) else { return Reading::Absent };
    parse(value).map_or_else(
        || Reading::Malformed(format!("{file} holds {} for {key}", quoted(value))),
        Reading::Known,
    )
}

/// Parses a size such as `2048 kB` into bytes. The kernel's kB are kibibytes.
#[must_use]
pub fn parse_kilobytes(text: &str) -> Option<u64> {
    parse_bytes(&format!("{}kB", text.strip_suffix("kB")?.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_found_by_its_whole_key() {
        let text = "SwapTotalX: 1 kB\nName:\ta: b\nSwapTotal:    8 kB\nSwapTotal: 9 kB\n";
        assert_eq!(value(text, "SwapTotal"), Some("8 kB"));
        assert_eq!(value(text, "Name"), Some("a: b"));
        assert_eq!(value(text, "Swap"), None);
        assert_eq!(parsed("/f", text, "SwapTotal", parse_kilobytes), Reading::Known(8192));
        assert_eq!(parsed("/f", text, "None", parse_kilobytes), Reading::Absent);
        let trouble = parsed("/f", text, "Name", parse_kilobytes);
        assert!(matches!(trouble, Reading::Malformed(why) if why == "/f holds 'a: b' for Name"));
    }

    #[test]
    fn what_is_no_number_of_kilobytes_is_refused() {
        for text in
            ["", "0", "kB", "-1 kB", "+1 kB", "x kB", "99999999999999999999 kB", "18446744073709551615 kB"]
        {
            assert_eq!(parse_kilobytes(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*", key in "[A-Za-z]{0,8}") {
            let _ = value(&text, &key);
            let _ = parse_kilobytes(&text);
        }
    }
}
