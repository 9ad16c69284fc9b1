//! The result of reading one value. Absent, unreadable, malformed and zero are four different results.

use serde::{Serialize, Serializer};

/// A value read from a kernel file.
///
/// Serialises as the value itself, `null` when absent, and `{"unreadable": …}` or `{"malformed": …}` otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reading<T> {
    /// The file does not exist: this kernel, page size or controller does not have it.
    #[default]
    Absent,
    /// The file exists but cannot be read; the text names the path and the kernel's error.
    Unreadable(String),
    /// The file does not contain a valid value; the text names the path and shows the beginning of the content.
    Malformed(String),
    /// The value.
    Known(T),
}

impl<T> Reading<T> {
    /// Returns the value if it is known.
    #[must_use]
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unreadable(_) | Self::Malformed(_) => None,
        }
    }

    /// Returns a mutable reference to the value if it is known.
    pub fn known_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unreadable(_) | Self::Malformed(_) => None,
        }
    }

    /// Returns why the value is not known, in words that follow "not known: "; `None` if it is known.
    #[must_use]
    pub fn why_unknown(&self) -> Option<&str> {
        match self {
            Self::Absent => Some("the kernel does not provide it"),
            Self::Unreadable(why) | Self::Malformed(why) => Some(why),
            Self::Known(_) => None,
        }
    }

    /// Returns the reading of a file that must exist: `Absent` becomes `Unreadable`. `file` is the path that the message
    /// shows.
    #[must_use]
    pub fn required(self, file: &str) -> Self {
        match self {
            Self::Absent => Self::Unreadable(format!("{file} does not exist")),
            other => other,
        }
    }

    /// Returns whether the value exists but could not be read. It must never be taken for zero or for absent.
    #[must_use]
    pub const fn is_trouble(&self) -> bool {
        matches!(self, Self::Unreadable(_) | Self::Malformed(_))
    }

    /// Applies `make` to the value if it is known.
    #[must_use]
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Absent => Reading::Absent,
            Self::Unreadable(why) => Reading::Unreadable(why),
            Self::Malformed(why) => Reading::Malformed(why),
            Self::Known(value) => Reading::Known(make(value)),
        }
    }

    /// Calls `read` with the value if it is known. `read` may fail too.
    #[must_use]
    pub fn and_then<U>(self, read: impl FnOnce(T) -> Reading<U>) -> Reading<U> {
        match self {
            Self::Absent => Reading::Absent,
            Self::Unreadable(why) => Reading::Unreadable(why),
            Self::Malformed(why) => Reading::Malformed(why),
            Self::Known(value) => read(value),
        }
    }
}

impl<T: Copy> Reading<T> {
    /// Returns a copy of the value if it is known.
    #[must_use]
    pub fn get(&self) -> Option<T> {
        self.known().copied()
    }
}

impl<T: Serialize> Serialize for Reading<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let (key, why) = match self {
            Self::Known(value) => return value.serialize(serializer),
            Self::Absent => return serializer.serialize_none(),
            Self::Unreadable(why) => ("unreadable", why),
            Self::Malformed(why) => ("malformed", why),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(key, why)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_kinds_are_told_apart_in_json() {
        let json = |reading: Reading<u64>| serde_json::to_string(&reading).unwrap();
        assert_eq!(json(Reading::Known(0)), "0");
        assert_eq!(json(Reading::Absent), "null");
        assert_eq!(json(Reading::Unreadable("EACCES".into())), r#"{"unreadable":"EACCES"}"#);
        assert_eq!(json(Reading::Malformed("'x'".into())), r#"{"malformed":"'x'"}"#);
    }

    #[test]
    fn only_a_known_value_is_a_value() {
        assert_eq!(Reading::Known(0).get(), Some(0));
        assert_eq!(Reading::<u64>::Absent.get(), None);
        assert!(!Reading::<u64>::Absent.is_trouble());
        assert!(Reading::<u64>::Malformed(String::new()).is_trouble());
    }
}
