//! The name of a check. Which ones there are, the catalogue says.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A check's stable name: `HP601`. Ids never change meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CheckId(u16);

// === impl CheckId ===

impl CheckId {
    /// Check number `number`, `HP` being understood. Whether it is in the catalogue is a matter for the catalogue's test.
    #[must_use]
    pub(crate) const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number without `HP`: 601.
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
