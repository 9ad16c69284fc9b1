//! The result of reading one value: absent, unreadable, malformed and zero are four different things.

use serde::{Serialize, Serializer};

/// One value that was looked for in a file of the kernel's.
///
/// Serialises as the value itself, `null` when absent, and `{"unreadable": …}` or `{"malformed": …}` otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Reading<T> {
    /// The file is not there: this kernel, size or controller does not have it.
    #[default]
    Absent,
    /// The file is there and could not be read; the text names the path and what the kernel answered.
    Unreadable(String),
    /// The file was read and holds something else; the text names the path and shows the beginning of it.
    Malformed(String),
    /// The value.
    Known(T),
}

impl<T> Reading<T> {
    /// The value, if it is known.
    #[must_use]
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unreadable(_) | Self::Malformed(_) => None,
        }
    }

    /// The value, to be changed, if it is known.
    pub fn known_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unreadable(_) | Self::Malformed(_) => None,
        }
    }

    /// Why the value is not known, in words that fit after "not known: "; `None` if it is known.
    #[must_use]
    pub fn why_unknown(&self) -> Option<&str> {
        match self {
            Self::Absent => Some("the kernel does not provide it"),
            Self::Unreadable(why) | Self::Malformed(why) => Some(why),
            Self::Known(_) => None,
        }
    }

    /// True if the thing is there but its value could not be had: never to be taken for zero, nor for absent.
    #[must_use]
    pub const fn is_trouble(&self) -> bool {
        matches!(self, Self::Unreadable(_) | Self::Malformed(_))
    }

    /// The same reading of a value made from this one.
    #[must_use]
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Absent => Reading::Absent,
            Self::Unreadable(why) => Reading::Unreadable(why),
            Self::Malformed(why) => Reading::Malformed(why),
            Self::Known(value) => Reading::Known(make(value)),
        }
    }

    /// The result of `read` on this value, which may fail too.
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
    /// The value itself, if it is known.
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
