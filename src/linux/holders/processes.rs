//! The processes: what each maps and has open of huge pages.

use std::fs;
use std::io;
use std::path::Path;

use nix::fcntl::readlinkat;
use nix::libc::ESRCH;

use super::FileId;
use super::effort::Budget;
use super::files::huge_file;
use super::filesystems::Filesystems;
use super::ledger::{Ledger, Tallies};
use super::smaps::{Area, parse_maps, parse_smaps};
use super::status::parse_status;
use crate::domain::reading::Reading;
use crate::linux::root::HostRoot;

/// A process that has memory, and so may hold pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Its name, as its status has it.
    pub(super) name: String,
    /// `/proc/PID`; of a thread, if the first one has ended before the others.
    pub(super) directory: String,
    /// Whether huge pages are in its page tables, or may be.
    pub(super) maps_huge_pages: bool,
}

/// Every process that has memory, by pid.
pub(super) fn list(root: &HostRoot, ledger: &mut Ledger) -> Vec<Process> {
    let names = match root.names("/proc") {
        Reading::Known(names) => names,
        Reading::Absent => Vec::new(),
        Reading::Unreadable(why) | Reading::Malformed(why) => {
            ledger.blind(why);
            Vec::new()
        }
    };
    let mut pids: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    pids.sort_unstable();
    pids.into_iter().filter_map(|pid| find(root, pid)).collect()
}

/// `None` if it has no memory, or has ended meanwhile.
fn find(root: &HostRoot, pid: u32) -> Option<Process> {
    let process = |directory: String| {
        let status = parse_status(root.table(format!("{directory}/status")).known()?);
        let maps_huge_pages = status.huge_kilobytes != Some(0);
        Some((Process { pid, name: status.name.clone(), directory, maps_huge_pages }, status))
    };
    let (first, status) = process(format!("/proc/{pid}"))?;
    if status.has_memory {
        return Some(first);
    }
    // The first thread may end before the others: they hold what it seems not to have.
    if !status.has_ended || status.threads < 2 {
        return None;
    }
    let threads = root.names(format!("/proc/{pid}/task"));
    let threads = threads.known().map(Vec::as_slice).unwrap_or_default();
    threads
        .iter()
        .filter_map(|thread| process(format!("/proc/{pid}/task/{thread}")))
        .find_map(|(process, status)| status.has_memory.then_some(process))
}

/// Enters what a process maps and has open.
pub(super) fn look_at(
    root: &HostRoot,
    process: &Process,
    filesystems: &Filesystems,
    budget: &mut Budget,
    ledger: &mut Ledger,
) {
    if !budget.has_time() {
        return;
    }
    let mut held = Tallies::new();
    if process.maps_huge_pages {
        mapped(root, process, ledger, &mut held);
    }
    // The links of a captured tree lead nowhere.
    if root.is_live() {
        open(root, process, filesystems, budget, ledger, &mut held);
    }
    ledger.enter(process.pid, &process.name, held);
}

/// Notes the files that a process maps without having touched a huge page: they are in use all the same.
pub(super) fn note_mapped_files(
    root: &HostRoot,
    process: &Process,
    budget: &mut Budget,
    ledger: &mut Ledger,
) {
    if process.maps_huge_pages || !budget.has_time() {
        return;
    }
    match root.table(format!("{}/maps", process.directory)) {
        Reading::Known(text) => parse_maps(&text).for_each(|file| ledger.note(file)),
        Reading::Absent => {}
        Reading::Unreadable(_) | Reading::Malformed(_) => process.blind(root, "mappings of", ledger),
    }
}

fn mapped(root: &HostRoot, process: &Process, ledger: &mut Ledger, held: &mut Tallies) {
    let text = match root.table(format!("{}/smaps", process.directory)) {
        Reading::Known(text) => text,
        Reading::Absent => return,
        Reading::Unreadable(_) | Reading::Malformed(_) => return process.blind(root, "mappings of", ledger),
    };
    for area in parse_smaps(&text) {
        let file = FileId { namespace: ipc_namespace(root, process, &area), ..area.file };
        let is_new = !held.contains_key(&(file, area.is_private));
        held.entry((file, area.is_private)).or_default().area(&area);
        if is_new && !area.is_private && root.is_live() {
            // Pages of the file that others have touched stay allocated for this mapping too.
            let link = root.path(format!("{}/map_files/{}", process.directory, area.range));
            if let Ok(Some((_, size, pages))) = huge_file(&link) {
                held.entry((file, false)).or_default().file(size, pages);
            }
        }
    }
}

fn open(
    root: &HostRoot,
    process: &Process,
    filesystems: &Filesystems,
    budget: &mut Budget,
    ledger: &mut Ledger,
    held: &mut Tallies,
) {
    let path = root.path(format!("{}/fd", process.directory));
    let (directory, links) = match fs::File::open(&path).and_then(|file| Ok((file, fs::read_dir(&path)?))) {
        Ok(both) => both,
        Err(error) => return process.trouble(root, "descriptors of", &error, ledger),
    };
    for link in links.flatten() {
        if !budget.descriptor() {
            return;
        }
        // By its name within the directory: a machine may have a million of them, and each look-up from / costs.
        let found = match readlinkat(&directory, link.file_name().as_os_str()) {
            Ok(target) if filesystems.may_have(Path::new(&target)) => huge_file(&link.path()),
            Ok(_) => continue,
            Err(error) => Err(error.into()),
        };
        match found {
            Ok(Some((file, size, pages))) => held.entry((file, false)).or_default().file(size, pages),
            Ok(None) => {}
            Err(error) => {
                process.trouble(root, "descriptors of", &error, ledger);
                // One that may not be seen is as good as all: they are not counted.
                if error.kind() == io::ErrorKind::PermissionDenied {
                    return;
                }
            }
        }
    }
}

/// 0 but for a SysV segment.
fn ipc_namespace(root: &HostRoot, process: &Process, area: &Area) -> u64 {
    let link = || fs::read_link(root.path(format!("{}/ns/ipc", process.directory))).ok();
    let number = |link: &Path| link.to_str()?.strip_prefix("ipc:[")?.strip_suffix(']')?.parse().ok();
    if area.is_sysv { link().as_deref().and_then(number).unwrap_or(0) } else { 0 }
}

// === impl Process ===

impl Process {
    /// Notes that `what` of the process could not be seen, unless what was there has gone: processes end, descriptors are
    /// closed.
    pub(super) fn trouble(
        &self,
        root: &HostRoot,
        what: &'static str,
        error: &io::Error,
        ledger: &mut Ledger,
    ) {
        let gone = error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH);
        if !gone {
            self.blind(root, what, ledger);
        }
    }

    fn blind(&self, root: &HostRoot, what: &'static str, ledger: &mut Ledger) {
        if root.path(&self.directory).exists() {
            ledger.blind_about(what, &format!("pid {} ({})", self.pid, self.name));
        }
    }
}
