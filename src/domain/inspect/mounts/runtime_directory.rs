//! HP307: the directory in which DPDK keeps its configuration, the tables of its memory and its sockets.

use super::super::super::catalogue::HP307;
use super::super::super::check::{Because, Finding, Outcome};
use super::super::super::inventory::{DirectoryKind, FreeSpace, Inventory, Pool, RuntimeDirectory};
use super::super::super::reading::Reading;
use super::super::super::request::{Program, Request, Workload};
use super::super::super::size::{PageSize, human_bytes};
use super::super::common::count;

/// What a DPDK process needs there, as measured (docs/reference/workloads.md). With `--in-memory` it has only sockets.
const FILES: u64 = 3;
const FILES_WITH_DIR: u64 = 11;
/// The files of every DPDK process without `--in-memory`, in bytes: `config`, `fbarray_memzone` and `hugepage_info`.
const BYTES: u64 = 228 << 10;
/// One memory segment in the table of a memseg list, and the rest of that table, in bytes.
const SEGMENT: u64 = 48;
const TABLE: u64 = 4 << 10;
/// One page in `hugepage_data`, which `--legacy-mem` writes for each page of the pool, in bytes.
const LEGACY_PAGE: u64 = 4160;
/// RTE_MAX_MEMSEG_PER_LIST, RTE_MAX_MEM_MB_PER_LIST and RTE_MAX_MEMSEG_PER_TYPE in `config/rte_config.h` of DPDK.
const PAGES_PER_LIST: u64 = 8192;
const BYTES_PER_LIST: u64 = 32 << 30;
const PAGES_PER_TYPE: u64 = 32768;
const BYTES_PER_TYPE: u64 = 64 << 30;

/// Returns the finding of HP307.
#[must_use]
pub fn inspect(inventory: &Inventory, request: &Request) -> Finding {
    let skip = |why: &str| Finding::skip(HP307, None, why);
    if !request.workload.uses_dpdk() {
        return skip("QEMU needs no runtime directory of DPDK");
    }
    if inventory.privileges.host_pids != Reading::Known(true) {
        return skip("in a container: the workload may have other files");
    }
    let Some(directory) = &inventory.runtime_directory else {
        return skip("a captured tree does not show it");
    };
    let path = &directory.path;
    if let Some(answer) = &directory.refused {
        let summary = format!("DPDK cannot use its runtime directory {path}");
        let expected = "DPDK keeps its configuration and its telemetry socket there";
        return Finding::not_pass(HP307, None, Outcome::Fail, summary, Because::new(expected, answer));
    }
    match directory.space.and_then(|space| shortage(space, inventory, request)) {
        Some(because) => full(directory, because),
        None => Finding::pass(HP307, None, format!("{path} can be created or written to")),
    }
}

fn full(directory: &RuntimeDirectory, because: Because) -> Finding {
    let summary = format!("the file system of DPDK's runtime directory {} is full", directory.path);
    let because = because.remedy(
        "remove files from that file system or enlarge it (/run is often a tmpfs), or set RUNTIME_DIRECTORY to a \
         directory of another one",
    );
    Finding::not_pass(HP307, None, Outcome::Fail, summary, because)
}

/// Returns what is needed and what is free, if that is less.
fn shortage(space: FreeSpace, inventory: &Inventory, request: &Request) -> Option<Because> {
    // Open vSwitch runs with --in-memory.
    let with_directory = request.workload.program() == Program::Dpdk && request.directory.is_some();
    let both = !request.frontend_need.is_empty() && !request.backend_need.is_empty();
    let processes = if both { 2 } else { 1 };
    let files = processes * if with_directory { FILES_WITH_DIR } else { FILES };
    let bytes = if with_directory { bytes(inventory, request).saturating_mul(processes) } else { 0 };
    let short = |free: Option<u64>, needed: u64| free.filter(|free| *free < needed);
    let told = |needed: String, free: String| {
        Because::new(
            format!("space for {needed} of {}", count(processes, "DPDK process")),
            format!("space for {free}"),
        )
    };
    let of_bytes = short(space.bytes, bytes).map(|free| told(human_bytes(bytes), human_bytes(free)));
    of_bytes.or_else(|| short(space.files, files).map(|free| told(count(files, "file"), count(free, "file"))))
}

/// Returns the bytes of the files of one process with `--huge-dir`.
fn bytes(inventory: &Inventory, request: &Request) -> u64 {
    let kind = inventory.directory.as_ref().and_then(|directory| directory.kind.known());
    let Some(DirectoryKind::Hugetlbfs { size, .. }) = kind else { return BYTES };
    let pages = (BYTES_PER_LIST / size.bytes()).clamp(1, PAGES_PER_LIST);
    let list = pages.saturating_mul(SEGMENT).saturating_add(TABLE);
    let more = if request.workload == Workload::DpdkLegacyMem {
        let pool = inventory.pool(*size).and_then(Pool::available).unwrap_or(0);
        list.saturating_add(pool.saturating_mul(LEGACY_PAGE))
    } else {
        list.saturating_mul(lists(*size)).saturating_mul(nodes(inventory))
    };
    BYTES.saturating_add(more)
}

/// Returns the number of memseg lists of a page size on one NUMA node.
fn lists(size: PageSize) -> u64 {
    let of_type = (BYTES_PER_TYPE / size.bytes()).clamp(1, PAGES_PER_TYPE);
    let of_list = (BYTES_PER_LIST / size.bytes()).clamp(1, PAGES_PER_LIST);
    of_type.div_ceil(of_list)
}

/// Returns the number of NUMA nodes that DPDK knows: those with a CPU.
fn nodes(inventory: &Inventory) -> u64 {
    let nodes = inventory.nodes.known().into_iter().flatten();
    let with_cpu = nodes.filter(|node| node.cpus.known().is_some_and(|cpus| !cpus.is_empty()));
    (with_cpu.count() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Directory, Privileges, WriteAttempt};

    const DIR: &str = "/dev/hugepages";

    fn of_2mi() -> Directory {
        let size = "2Mi".parse().unwrap();
        Directory {
            path: DIR.into(),
            real_path: None,
            device: None,
            kind: Reading::Known(DirectoryKind::Hugetlbfs { size, pages: None, inodes: None }),
            writable: Reading::Known(WriteAttempt::Allowed),
            listing: Reading::Known(()),
        }
    }

    #[test]
    fn the_lists_are_those_that_were_seen() {
        assert_eq!(lists("2Mi".parse().unwrap()), 4);
        assert_eq!(lists("1Gi".parse().unwrap()), 2);
    }

    #[test]
    fn only_dpdk_on_the_host_needs_a_runtime_directory() {
        let judged = |refused: Option<&str>, host: bool, directory: Option<&str>, workload| {
            let path = "/var/run/dpdk/rte".to_owned();
            let inventory = Inventory {
                runtime_directory: Some(RuntimeDirectory {
                    path,
                    refused: refused.map(str::to_owned),
                    space: None,
                }),
                privileges: Privileges { host_pids: Reading::Known(host), ..Privileges::default() },
                ..Inventory::default()
            };
            let directory = directory.map(str::to_owned);
            inspect(&inventory, &Request { directory, workload, ..Request::default() }).outcome
        };
        let refused = Some("access of /var/run: EROFS");
        assert_eq!(judged(refused, true, Some(DIR), Workload::Dpdk), Outcome::Fail);
        assert_eq!(judged(None, true, Some(DIR), Workload::DpdkLegacyMem), Outcome::Pass);
        assert_eq!(judged(refused, false, Some(DIR), Workload::Dpdk), Outcome::Skip);
        assert_eq!(judged(refused, true, None, Workload::Dpdk), Outcome::Fail);
        assert_eq!(judged(refused, true, Some(DIR), Workload::Qemu), Outcome::Skip);
        assert_eq!(judged(refused, true, None, Workload::Ovs), Outcome::Fail);
    }

    #[test]
    fn only_dpdk_with_a_directory_needs_space_for_its_runtime_files() {
        let judged = |bytes: Option<u64>, files: Option<u64>, directory: Option<&str>| {
            let path = "/var/run/dpdk/rte".to_owned();
            let space = Some(FreeSpace { bytes, files });
            let inventory = Inventory {
                runtime_directory: Some(RuntimeDirectory { path, refused: None, space }),
                directory: Some(of_2mi()),
                privileges: Privileges { host_pids: Reading::Known(true), ..Privileges::default() },
                ..Inventory::default()
            };
            let request = Request { directory: directory.map(str::to_owned), ..Request::default() };
            inspect(&inventory, &request).outcome
        };
        // 1780 KiB and 11 files were seen with which testpmd just started with --huge-dir, and 3 files with --in-memory.
        const BYTES: u64 = 1780 << 10;
        for (bytes, files, with_directory, in_memory) in [
            (None, None, Outcome::Pass, Outcome::Pass),
            (Some(BYTES), Some(11), Outcome::Pass, Outcome::Pass),
            (Some(BYTES - 1), None, Outcome::Fail, Outcome::Pass),
            (None, Some(10), Outcome::Fail, Outcome::Pass),
            (Some(0), Some(3), Outcome::Fail, Outcome::Pass),
            (None, Some(2), Outcome::Fail, Outcome::Fail),
        ] {
            assert_eq!(judged(bytes, files, Some(DIR)), with_directory, "{bytes:?} {files:?}");
            assert_eq!(judged(bytes, files, None), in_memory, "{bytes:?} {files:?}");
        }
    }
}
