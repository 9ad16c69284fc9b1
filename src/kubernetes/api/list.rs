//! Reads a list one item at a time, while it arrives.
//!
//! A list may have many megabytes: a node with 1,000 pods has about 20 MB of them. So neither the response nor the
//! items are kept, only the item that is being read.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::LONGEST;

/// The metadata of a list, or of one page of a list.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ListMeta {
    /// The resource version from which a watch can continue.
    pub resource_version: String,
    /// The token for the next page; empty on the last page.
    pub r#continue: String,
}

/// Cuts the items out of the JSON text of a list.
///
/// It only tells strings and brackets apart. serde parses the items, and the list without them, so that invalid JSON
/// is noticed.
#[derive(Debug, Default)]
pub(super) struct ListReader {
    /// The list so far, with `null` in place of each item.
    rest: Vec<u8>,
    /// The item so far.
    item: Vec<u8>,
    /// The number of open brackets and braces.
    depth: usize,
    in_items: bool,
    in_string: bool,
    is_escaped: bool,
}

/// The list, with `null` in place of each item.
#[derive(Deserialize)]
struct Rest {
    #[serde(default)]
    metadata: ListMeta,
    // Go encodes a nil slice as null.
    #[serde(default, rename = "items")]
    _items: Option<Vec<()>>,
}

/// The depth inside the array of items.
const ITEMS: usize = 2;

// === impl ListReader ===

impl ListReader {
    /// Reads more of the list, and passes each item that is complete to `each`.
    ///
    /// # Errors
    ///
    /// An item cannot be parsed or is too long, as a text.
    pub(super) fn read<T: DeserializeOwned>(
        &mut self,
        data: &[u8],
        each: &mut impl FnMut(T),
    ) -> Result<(), String> {
        for byte in data {
            if self.take(*byte) {
                each(serde_json::from_slice(&self.item).map_err(|error| error.to_string())?);
                self.item.clear();
                self.rest.extend_from_slice(b"null");
            }
        }
        if self.item.len().max(self.rest.len()) > LONGEST {
            return Err(format!("an item of more than {LONGEST} bytes"));
        }
        Ok(())
    }

    /// Returns the metadata after the whole list has been read.
    ///
    /// # Errors
    ///
    /// The list is incomplete or invalid, as a text.
    pub(super) fn end(self) -> Result<ListMeta, String> {
        let rest: Rest = serde_json::from_slice(&self.rest).map_err(|error| error.to_string())?;
        Ok(rest.metadata)
    }

    /// Takes one byte. Returns whether it completes an item.
    fn take(&mut self, byte: u8) -> bool {
        let was_in_item = self.is_in_item();
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.in_string => self.is_escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'{' | b'[' => {
                self.in_items |= byte == b'[' && self.depth + 1 == ITEMS && self.is_after_items_key();
                self.depth += 1;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.in_items &= self.depth >= ITEMS;
            }
            _ => {}
        }
        let part = if was_in_item || self.is_in_item() { &mut self.item } else { &mut self.rest };
        part.push(byte);
        was_in_item && !self.is_in_item()
    }

    const fn is_in_item(&self) -> bool {
        self.in_items && self.depth > ITEMS
    }

    fn is_after_items_key(&self) -> bool {
        let before = self.rest.trim_ascii_end().strip_suffix(b":");
        before.is_some_and(|before| before.trim_ascii_end().ends_with(br#""items""#))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// Reads a list in pieces of `size` bytes. Also returns the most bytes that were held.
    fn read(text: &str, size: usize) -> Result<(Vec<Value>, ListMeta, usize), String> {
        let (mut reader, mut items, mut most) = (ListReader::default(), Vec::new(), 0);
        for piece in text.as_bytes().chunks(size) {
            reader.read(piece, &mut |item| items.push(item))?;
            most = most.max(reader.item.capacity() + reader.rest.capacity());
        }
        Ok((items, reader.end()?, most))
    }

    #[test]
    fn a_list_of_a_thousand_pods_is_never_held() {
        let pod = json!({"metadata": {"name": "p", "annotations": {"a": "x".repeat(20_000)}}});
        let list = json!({"kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": vec![pod; 1000]});
        let (items, meta, most) = read(&list.to_string(), 16 << 10).unwrap();
        assert_eq!((items.len(), meta.resource_version.as_str()), (1000, "7"));
        assert!(most < 100_000, "{most} bytes were held");
    }

    #[test]
    fn lists_may_be_written_in_any_way_that_json_allows() {
        for (text, expected) in [
            (r#"{"items": null, "metadata": {"continue": "x"}}"#, json!([])),
            (r#"{"metadata": {"continue": "x"}}"#, json!([])),
            ("{\"items\"\n:\n[\n]\n,\"metadata\":{\"continue\":\"x\"}}", json!([])),
            (
                r#"{"items": [{}, {"items": [{"a": "]}\"\\"}]}], "metadata": {"continue": "x"}}"#,
                json!([{}, {"items": [{"a": "]}\"\\"}]}]),
            ),
            (
                r#"{"other": [{"items": [{}]}], "metadata": {"continue": "x", "items": [{}]}, "items": [{"b": 1}]}"#,
                json!([{"b": 1}]),
            ),
        ] {
            let (items, meta, _) = read(text, 3).unwrap();
            assert_eq!((Value::from(items), meta.r#continue.as_str()), (expected, "x"), "{text}");
        }
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        for text in [
            "",
            "x",
            r#"{"items": [{}"#,
            r#"{"items": [1]}"#,
            r#"{"items": [{} {}]}"#,
            r#"{"items": [{a}]}"#,
            r#"{"items": [{}]}}"#,
        ] {
            read(text, 3).unwrap_err();
        }
        let long = format!(r#"{{"items": [{{"a": "{}"#, "x".repeat(LONGEST));
        assert!(read(&long, LONGEST / 4).unwrap_err().contains("bytes"));
    }

    proptest! {
        #[test]
        fn the_items_are_those_that_serde_finds(names in prop::collection::vec("[\\PC\"\\\\{}\\[\\]]{0,8}", 0..5), size in 1_usize..50) {
            let items: Vec<_> = names.iter().map(|name| json!({name.as_str(): [name, {"items": [name]}]})).collect();
            let list = json!({"items": items, "metadata": {"resourceVersion": names.concat()}});
            for text in [list.to_string(), serde_json::to_string_pretty(&list).unwrap()] {
                let (found, meta, _) = read(&text, size).unwrap();
                prop_assert_eq!(&found, &items);
                prop_assert_eq!(meta.resource_version, names.concat());
            }
        }
    }
}
