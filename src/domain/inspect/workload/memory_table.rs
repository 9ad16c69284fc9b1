//! HP412: whether the frontend's memory has few enough files for a memory table.

use super::super::super::catalogue::HP412;
use super::super::super::check::{Because, Finding, Outcome};
use super::super::super::request::Program;
use super::super::common::count;
use super::Judge;

/// The most regions, and so the most files, that net_virtio_user sends: VHOST_MEMORY_MAX_NREGIONS in
/// `drivers/net/virtio/virtio_user/vhost_user.c`, the number that every backend accepts
/// (vhost-user specification, VHOST_USER_SET_MEM_TABLE).
const REGIONS: u64 = 8;

impl Judge<'_> {
    pub(super) fn memory_table(&self) -> Finding {
        let pages = self.request.frontend_need.iter().map(|need| need.pages).fold(0, u64::saturating_add);
        // Open vSwitch is a backend: it sends no memory table.
        let is_frontend =
            self.request.workload.has_file_per_page() && self.request.workload.program() != Program::Ovs;
        if !is_frontend || pages == 0 {
            return Finding::pass(HP412, None, "no frontend with a file for each page");
        }
        if pages <= REGIONS {
            return Finding::pass(HP412, None, format!("the frontend has {}", count(pages, "file")));
        }
        let expected = format!("{} or fewer: a region of the memory table is a file", count(REGIONS, "file"));
        let because = Because::new(expected, format!("{}, one for each page", count(pages, "file")))
            .remedy("start the frontend with --single-file-segments, or give it larger pages");
        let summary = format!("the frontend has {}; a memory table takes {REGIONS}", count(pages, "file"));
        Finding::not_pass(HP412, None, Outcome::Fail, summary, because)
    }
}
