//! The id of a check. The catalogue defines which ids exist.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The stable id of a check, such as `HP601`. The meaning of an id never changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CheckId(u16);

// === impl CheckId ===

impl CheckId {
    /// Creates the id `HP` followed by `number`. Does not check that the catalogue has it.
    #[must_use]
    pub(crate) const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Returns the number without `HP`: 601.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("HP{:03}", self.0))
    }
}

impl fmt::Debug for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<CheckId> for String {
    fn from(id: CheckId) -> Self {
        id.to_string()
    }
}
