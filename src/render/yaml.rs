//! `-o yaml`: the same as JSON, as YAML.

use std::io::{self, Write};

use serde::Serialize;

/// Writes any value as a YAML document.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn value(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let text = serde_saphyr::to_string(value).map_err(io::Error::other)?;
    writeln!(out, "{}", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_written_is_read_as_the_same_and_has_no_control_character() {
        let told = json!({
            "name": "node-a", "yes": "no", "empty": "", "number": "1", "list": [], "null": null,
            "long": "2Mi pass, 1Gi fail: HP105 no free page: 14 of 16 are held by files that no process has open, and more",
            "hostile": "a\u{1b}[2J\u{9b}: - # \"'\n  b\u{202e}",
        });
        let mut out = Vec::new();
        value(&told, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), told, "{text}");
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    }
}
