//! The digest of a value on which both containers must agree.

use serde_json::{Map, Value};

/// Returns 16 hex digits that are the same for equal values, whatever the order of their keys.
///
/// The digest of a digest is the same digest, so that a message that was read is written back unchanged.
pub(super) fn digest(value: &Value) -> String {
    if let Value::String(text) = value
        && is_digest(text)
    {
        return text.clone();
    }
    format!("{:016x}", fnv64(sorted(value).to_string().as_bytes()))
}

/// Returns whether a text has the form of a [`digest`].
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(
                entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(values) => Value::Array(values.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Computes the FNV-1a hash. It is not cryptographic: an attacker who can forge a digest can forge the whole message.
fn fnv64(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_values_have_equal_digests_and_others_have_not() {
        let one = json!({ "device": 17, "inode": { "a": 1, "b": [1, 2] } });
        let same = json!({ "inode": { "b": [1, 2], "a": 1 }, "device": 17 });
        assert_eq!(digest(&one), digest(&same));
        for other in [
            json!({ "device": 17 }),
            json!({ "device": "17", "inode": { "a": 1, "b": [1, 2] } }),
            json!(null),
        ] {
            assert_ne!(digest(&one), digest(&other));
        }
        assert!(is_digest(&digest(&one)));
        assert_eq!(digest(&Value::String(digest(&one))), digest(&one));
    }
}
