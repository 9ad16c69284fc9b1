//! The annotation of a pool: its configured pages, in total and of each NUMA node.

use std::collections::BTreeMap;
use std::fmt;

use crate::text::count;

/// The configured pages of a pool. Free pages are not published, because their number changes all the time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishedPool {
    /// The pages in total; `None` if the agent could not read them, or if the text is malformed.
    pub total: Option<u64>,
    /// The pages of each NUMA node; empty if they are not published.
    pub numa: BTreeMap<u32, Option<u64>>,
}

// === impl PublishedPool ===

impl PublishedPool {
    /// Reads `512 (numa0 256, numa1 256)`, or `512`. A `?` is a number that the agent could not read.
    pub(super) fn read(text: &str) -> Self {
        let (total, rest) = text.split_once(" (").unwrap_or((text, ""));
        let numa = rest.trim_end_matches(')').split(", ").filter_map(|part| {
            let (node, pages) = part.strip_prefix("numa")?.split_once(' ')?;
            Some((node.parse().ok()?, pages.parse().ok()))
        });
        Self { total: total.parse().ok(), numa: numa.collect() }
    }
}

impl fmt::Display for PublishedPool {
    /// Formats `8 pages: numa0 4, numa1 4`. `?` replaces a number that is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.total {
            Some(total) => f.write_str(&count(total, "page"))?,
            None => f.write_str("? pages")?,
        }
        for (index, (node, pages)) in self.numa.iter().enumerate() {
            let pages = pages.map_or_else(|| "?".to_owned(), |pages| pages.to_string());
            write!(f, "{}numa{node} {pages}", if index == 0 { ": " } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_read_as_the_agent_writes_it() {
        for (text, total, numa) in [
            ("512 (numa0 256, numa1 256)", Some(512), &[(0, Some(256)), (1, Some(256))][..]),
            ("? (numa0 ?, numa10 4)", None, &[(0, None), (10, Some(4))]),
            ("16", Some(16), &[]),
            ("", None, &[]),
            ("many (numa 1, numa-1 2, 3", None, &[]),
        ] {
            let pool = PublishedPool { total, numa: numa.iter().copied().collect() };
            assert_eq!(PublishedPool::read(text), pool, "{text}");
        }
        let shown = |text| PublishedPool::read(text).to_string();
        assert_eq!(shown("512 (numa0 256, numa1 ?)"), "512 pages: numa0 256, numa1 ?");
        assert_eq!((shown("1").as_str(), shown("").as_str()), ("1 page", "? pages"));
    }
}
