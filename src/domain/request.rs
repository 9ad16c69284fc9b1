//! The request: page sizes, expectations, needs and reservations. Parsed here, so that the same text means the same in
//! chart values, in annotations and on the command line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::check::CheckId;
use super::digits::parse_digits;
use super::peer::Peer;
use super::size::{HugeLen, PageSize, PageSizeError};
pub use super::workload::{Program, Workload};

/// A value of `--expect`: the configured pages of the persistent pool, such as `2Mi>=512` or `1Gi@numa0=4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expectation {
    /// The page size.
    pub size: PageSize,
    /// The NUMA node; `None` for the whole machine.
    pub node: Option<u32>,
    /// How the pool is compared with `pages`.
    pub relation: Relation,
    /// The number of pages.
    pub pages: u64,
}

/// The comparison of an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `>=`
    AtLeast,
    /// `=`
    Exactly,
}

/// A value of `--need` or `--reserve`: a number of pages on one NUMA node or on any, such as `2Mi=512` or
/// `2Mi=512@numa0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PageCount {
    /// The page size.
    pub size: PageSize,
    /// The number of pages, at least one.
    pub pages: u64,
    /// The NUMA node; `None` for any.
    pub node: Option<u32>,
}

/// A value of `--only`: one check (`HP105`) or a group (`HP1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Selector {
    /// The checks of a group, by the first digit of their ids.
    Group(u16),
    /// One check.
    One(CheckId),
}

/// A check to be done, as the command line or the chart asks for it. Consistent in itself; see [`Request::validate`].
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Request {
    /// `--size`; empty for "whatever is there".
    #[serde(rename = "size", skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<PageSize>,
    /// `--expect`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expectation>,
    /// `--need`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub need: Vec<PageCount>,
    /// `--reserve`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reserve: Vec<PageCount>,
    /// `--reserve-over-half`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reserve_over_half: bool,
    /// `--workload`.
    pub workload: Workload,
    /// `--dir`.
    #[serde(rename = "dir", skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// `--only`. A report has it beside the verdict, which it limits.
    #[serde(skip)]
    pub only: Vec<Selector>,
    /// `--measure`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub measure: bool,
    /// `--frontend-cgroup`: the directory of the cgroup that the frontend joins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontend_cgroup: Option<String>,
    /// `--backend-cgroup`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_cgroup: Option<String>,
    /// `--peer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    /// `--frontend-need`: what the frontend takes, in its cgroup, beside all else that is needed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frontend_need: Vec<PageCount>,
    /// `--backend-need`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backend_need: Vec<PageCount>,
}

/// Why a text is not a valid request, or why no machine can meet the request. One sentence that names the cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The page size in it is invalid.
    #[error(transparent)]
    Size(#[from] PageSizeError),
    /// The text does not have the required form.
    #[error("invalid {what} '{text}': use {form}")]
    Form {
        /// The text as given.
        text: String,
        /// What the text is meant to be.
        what: &'static str,
        /// Examples of the required form.
        form: &'static str,
    },
    /// Two parts of the request contradict each other.
    #[error("{0}")]
    Contradiction(String),
}

// === impl Expectation ===

const EXPECT_FORM: &str = "2Mi>=512, 2Mi=512 or 1Gi@numa0>=4";
const COUNT_FORM: &str = "2Mi=512 or 2Mi=512@numa0, with at least one page";

impl Expectation {
    /// Returns whether `pages` meets the expectation.
    #[must_use]
    pub const fn met_by(&self, pages: u64) -> bool {
        match self.relation {
            Relation::AtLeast => pages >= self.pages,
            Relation::Exactly => pages == self.pages,
        }
    }
}

impl FromStr for Expectation {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let form = || malformed(text, "expectation", EXPECT_FORM);
        let (relation, subject, pages) = if let Some((subject, pages)) = text.split_once(">=") {
            (Relation::AtLeast, subject, pages)
        } else {
            let (subject, pages) = text.split_once('=').ok_or_else(form)?;
            (Relation::Exactly, subject, pages)
        };
        let (size, node) = match subject.split_once('@') {
            Some((size, node)) => (size, Some(parse_node(node).ok_or_else(form)?)),
            None => (subject, None),
        };
        Ok(Self { size: size.parse()?, node, relation, pages: parse_digits(pages).ok_or_else(form)? })
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let relation = match self.relation {
            Relation::AtLeast => ">=",
            Relation::Exactly => "=",
        };
        write!(f, "{}{}{relation}{}", self.size, OnNode(self.node), self.pages)
    }
}

// === impl PageCount ===

impl PageCount {
    /// Returns the pages as a length; `None` if they are more bytes than an address space has.
    #[must_use]
    pub fn len(&self) -> Option<HugeLen> {
        HugeLen::new(self.size, self.pages)
    }

    /// Returns whether there are no pages. A parsed count is never empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pages == 0
    }
}

impl PageCount {
    /// Returns the size of all pages together, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.pages.saturating_mul(self.size.bytes())
    }
}

impl FromStr for PageCount {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let form = || malformed(text, "number of pages", COUNT_FORM);
        let (size, rest) = text.split_once('=').ok_or_else(form)?;
        let (pages, node) = match rest.split_once('@') {
            Some((pages, node)) => (pages, Some(parse_node(node).ok_or_else(form)?)),
            None => (rest, None),
        };
        let count = Self { size: size.parse()?, pages: parse_digits(pages).ok_or_else(form)?, node };
        if count.len().is_none() { Err(form()) } else { Ok(count) }
    }
}

impl fmt::Display for PageCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}{}", self.size, self.pages, OnNode(self.node))
    }
}

struct OnNode(Option<u32>);

impl fmt::Display for OnNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |node| write!(f, "@numa{node}"))
    }
}

fn malformed(text: &str, what: &'static str, form: &'static str) -> RequestError {
    RequestError::Form { text: text.chars().take(60).collect(), what, form }
}

fn parse_node(text: &str) -> Option<u32> {
    parse_digits(text.strip_prefix("numa")?)
}

macro_rules! as_text {
    ($type:ty) => {
        impl TryFrom<String> for $type {
            type Error = RequestError;

            fn try_from(text: String) -> Result<Self, RequestError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}
as_text!(Expectation);
as_text!(PageCount);

// === impl Selector ===

impl Selector {
    /// Returns whether `id` is selected.
    #[must_use]
    pub fn selects(self, id: CheckId) -> bool {
        match self {
            Self::Group(group) => id.number() / 100 == group,
            Self::One(one) => one == id,
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(group) => write!(f, "HP{group}"),
            Self::One(id) => write!(f, "{id}"),
        }
    }
}

impl FromStr for Selector {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        if let Ok(id) = text.parse() {
            return Ok(Self::One(id));
        }
        let group = text
            .strip_prefix("HP")
            .or_else(|| text.strip_prefix("hp"))
            .map(|rest| rest.trim_end_matches('x'));
        let group = group.filter(|group| group.len() == 1).and_then(parse_digits::<u16>);
        match group {
            Some(group) if super::catalogue::CHECKS.iter().any(|check| check.id.number() / 100 == group) => {
                Ok(Self::Group(group))
            }
            _ => Err(malformed(
                text,
                "check or group of checks",
                "HP105 or HP1; `hugeprobe explain` lists them",
            )),
        }
    }
}

// === impl Request ===

impl Request {
    /// Returns whether `id` is to be reported.
    #[must_use]
    pub fn reports(&self, id: CheckId) -> bool {
        self.only.is_empty() || self.only.iter().any(|selector| selector.selects(id))
    }

    /// Returns everything that is needed at the same time: `--need`, `--frontend-need` and `--backend-need`.
    pub fn needs(&self) -> impl Iterator<Item = &PageCount> {
        self.need.iter().chain(&self.frontend_need).chain(&self.backend_need)
    }

    /// Returns every page size that an option names, sorted and without duplicates.
    #[must_use]
    pub fn named_sizes(&self) -> Vec<PageSize> {
        let mut sizes = self.sizes.clone();
        sizes.extend(self.expect.iter().map(|expectation| expectation.size));
        sizes.extend(self.needs().chain(&self.reserve).map(|count| count.size));
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// Rejects a request that no machine could meet.
    ///
    /// # Errors
    ///
    /// A page size that another option names and `--size` leaves out; expectations of the same pool that contradict
    /// each other; the same pool given twice in `--need`, `--frontend-need`, `--backend-need` or `--reserve`.
    pub fn validate(&self) -> Result<(), RequestError> {
        let contradiction = |text| Err(RequestError::Contradiction(text));
        if !self.sizes.is_empty() {
            for (option, size) in (self.expect.iter().map(|e| ("--expect", e.to_string(), e.size)))
                .chain(self.need.iter().map(|n| ("--need", n.to_string(), n.size)))
                .chain(self.frontend_need.iter().map(|n| ("--frontend-need", n.to_string(), n.size)))
                .chain(self.backend_need.iter().map(|n| ("--backend-need", n.to_string(), n.size)))
                .chain(self.reserve.iter().map(|r| ("--reserve", r.to_string(), r.size)))
                .map(|(option, text, size)| (format!("{option} {text}"), size))
            {
                if !self.sizes.contains(&size) {
                    let sizes: Vec<_> = self.sizes.iter().map(|size| format!("--size {size}")).collect();
                    return contradiction(format!("{option} names a size that {} excludes", sizes.join(" ")));
                }
            }
        }
        for (index, one) in self.expect.iter().enumerate() {
            for other in
                self.expect.iter().skip(index + 1).filter(|o| (o.size, o.node) == (one.size, one.node))
            {
                let compatible = match (one.relation, other.relation) {
                    (Relation::AtLeast, Relation::AtLeast) => true,
                    (Relation::Exactly, _) => other.met_by(one.pages),
                    (_, Relation::Exactly) => one.met_by(other.pages),
                };
                if !compatible {
                    return contradiction(format!("--expect {one} and --expect {other} cannot both be met"));
                }
            }
        }
        for (option, counts) in [
            ("--need", &self.need),
            ("--frontend-need", &self.frontend_need),
            ("--backend-need", &self.backend_need),
            ("--reserve", &self.reserve),
        ] {
            for (index, one) in counts.iter().enumerate() {
                if let Some(other) =
                    counts.iter().skip(index + 1).find(|o| (o.size, o.node) == (one.size, one.node))
                {
                    return contradiction(format!(
                        "{option} {one} and {option} {other} name the same pool: give only one"
                    ));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
