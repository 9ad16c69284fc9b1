//! The NUMA nodes that this process may use. Pages of other nodes are not available to it, however many are free.

use std::fmt;

use hugeprobe_domain::counters::Counters;
use hugeprobe_domain::reading::Reading;
use hugeprobe_linux::list::format_list;
use hugeprobe_linux::privileges;
use hugeprobe_linux::root::HostRoot;

/// The NUMA nodes whose memory this process may use, according to its cpuset.
#[derive(Debug, Clone)]
pub(super) struct AllowedNodes(Reading<Vec<u32>>);

// === impl AllowedNodes ===

impl AllowedNodes {
    pub(super) fn read(root: &HostRoot) -> Self {
        Self(privileges::read(root).mems)
    }

    /// Returns whether the node is one of them. If the list is unknown, this is true for every node, and the kernel
    /// decides.
    pub(super) fn has(&self, node: u32) -> bool {
        self.0.known().is_none_or(|nodes| nodes.contains(&node))
    }

    /// Returns the number of free pages on these nodes. The kernel reserves no more for this process
    /// (`allowed_mems_nr()` in its `mm/hugetlb.c`).
    pub(super) fn free(&self, now: &Counters) -> u64 {
        if now.numa.is_empty() {
            return now.free;
        }
        now.numa.iter().filter(|node| self.has(node.node)).map(|node| node.free).fold(0, u64::saturating_add)
    }
}

impl fmt::Display for AllowedNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.0.known().map_or_else(|| "not known".to_owned(), |nodes| format_list(nodes));
        write!(f, "Mems_allowed_list: {nodes}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hugeprobe_domain::counters::NodeCounters;

    #[test]
    fn pages_of_other_nodes_do_not_count() {
        let node = |node, free| NodeCounters { node, total: 8, free, surplus: 0 };
        let both = Counters { total: 16, free: 9, numa: vec![node(0, 8), node(1, 1)], ..Counters::default() };
        let of = |mems: Reading<Vec<u32>>, now: &Counters| AllowedNodes(mems).free(now);
        assert_eq!(of(Reading::Known(vec![1]), &both), 1);
        assert_eq!(of(Reading::Known(vec![0, 1]), &both), 9);
        assert_eq!(of(Reading::Absent, &both), 9);
        let without_numa = Counters { free: 3, ..Counters::default() };
        assert_eq!(of(Reading::Known(vec![1]), &without_numa), 3);
        assert_eq!(AllowedNodes(Reading::Known(vec![0, 1, 4])).to_string(), "Mems_allowed_list: 0-1,4");
    }
}
