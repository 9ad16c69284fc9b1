//! The order of field values, as kubectl's `--sort-by` has it: amounts such as `512Mi` are compared as numbers, and digits
//! in other texts too, so that `node-2` is before `node-10`.
//!
//! kubectl compares two values at a time. Where some are amounts and others are not, the result then depends on the order
//! before it. Here amounts are before other texts.
//!
//! Source: kubectl's `pkg/cmd/get/sorter.go`.

use serde_json::Value;

use super::quantity::bytes;

/// What a value is compared by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// True is after false.
    Bool(bool),
    /// A number or a quantity, in thousandths.
    Amount(i128),
    /// Another text.
    Text(Vec<Piece>),
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// Digits without leading zeros, and before them their number: the longer one is the larger.
    Digits(usize, Vec<u8>),
    /// What is between digits.
    Other(Vec<u8>),
}

// === impl Key ===

impl Key {
    /// Returns the key of a value; `None` for null. Lists and objects are compared as their JSON.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::String(text) => Some(Self::of_text(text)),
            Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(Self::of_text(&value.to_string())),
        }
    }

    fn of_text(text: &str) -> Self {
        let amount = match text.strip_suffix('m') {
            Some(thousandths) => thousandths.parse::<u64>().ok().map(i128::from),
            None => bytes(text).map(|amount| i128::from(amount) * 1_000),
        };
        amount.map_or_else(|| Self::Text(pieces(text)), Self::Amount)
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let runs = text.as_bytes().chunk_by(|one, next| one.is_ascii_digit() == next.is_ascii_digit());
    let piece = |run: &[u8]| {
        if !run.first().is_some_and(u8::is_ascii_digit) {
            return Piece::Other(run.to_vec());
        }
        let digits: Vec<u8> = run.iter().copied().skip_while(|digit| *digit == b'0').collect();
        Piece::Digits(digits.len(), digits)
    };
    runs.map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_ordered_as_kubectl_orders_them() {
        let ordered = [
            json!(null),
            json!(false),
            json!(true),
            json!("0"),
            json!("3920m"),
            json!("4"),
            json!(5),
            json!(10),
            json!("512Mi"),
            json!("1Gi"),
            json!("2026-11-23T05:00:00Z"),
            json!("2026-11-23T05:10:00Z"),
            json!("node-2"),
            json!("node-10"),
            json!("node-b"),
            json!("v1.9.3"),
            json!("v1.34.4"),
        ];
        for pair in ordered.windows(2) {
            assert!(Key::of(&pair[0]) < Key::of(&pair[1]), "{pair:?}");
        }
        for (one, same) in [("1024Mi", "1Gi"), ("node-02", "node-2")] {
            assert_eq!(Key::of(&json!(one)), Key::of(&json!(same)));
        }
    }
}
