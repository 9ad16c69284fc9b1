//! Finds the huge pages that a process maps or has open.

use std::fs;
use std::io;
use std::path::Path;

use nix::fcntl::readlinkat;

use super::FileId;
use super::budget::Budget;
use super::files::huge_file;
use super::filesystems::Filesystems;
use super::owners::{Held, Owners};
use super::process::Process;
use super::smaps::{Area, parse_maps, parse_smaps};
use crate::root::HostRoot;
use hugeprobe_domain::reading::Reading;

/// Adds what a process maps and has open to `owners`.
pub(super) fn enter(
    root: &HostRoot,
    process: &Process,
    filesystems: &Filesystems,
    budget: &mut Budget,
    owners: &mut Owners,
) {
    if !budget.has_time() {
        return;
    }
    let mut held = Held::new();
    if process.maps_huge_pages {
        mapped(root, process, owners, &mut held);
    }
    // In a captured tree, the links of descriptors lead nowhere.
    if root.is_live() {
        open(root, process, filesystems, budget, owners, &mut held);
    }
    owners.enter(process.pid, &process.name, held);
}

/// Notes the files that a process maps without having touched a huge page, because they are in use as well.
pub(super) fn note_mapped_files(
    root: &HostRoot,
    process: &Process,
    budget: &mut Budget,
    owners: &mut Owners,
) {
    if process.maps_huge_pages || !budget.has_time() {
        return;
    }
    match root.table(format!("{}/maps", process.directory)) {
        Reading::Known(text) => parse_maps(&text).for_each(|file| owners.note(file)),
        Reading::Absent => {}
        Reading::Unreadable(_) | Reading::Malformed(_) => process.not_seen(root, "mappings of", owners),
    }
}

fn mapped(root: &HostRoot, process: &Process, owners: &mut Owners, held: &mut Held) {
    let text = match root.table(format!("{}/smaps", process.directory)) {
        Reading::Known(text) => text,
        Reading::Absent => return,
        Reading::Unreadable(_) | Reading::Malformed(_) => {
            return process.not_seen(root, "mappings of", owners);
        }
    };
    for area in parse_smaps(&text) {
        let file = FileId { namespace: ipc_namespace(root, process, &area), ..area.file };
        let is_new = !held.contains_key(&(file, area.is_private));
        held.entry((file, area.is_private)).or_default().area(&area);
        if is_new && !area.is_private && root.is_live() {
            // Pages of the file that other processes touched stay allocated because of this mapping too.
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
    owners: &mut Owners,
    held: &mut Held,
) {
    let path = root.path(format!("{}/fd", process.directory));
    let (directory, links) = match fs::File::open(&path).and_then(|file| Ok((file, fs::read_dir(&path)?))) {
        Ok(both) => both,
        Err(error) => return process.not_seen_unless_gone(root, "descriptors of", &error, owners),
    };
    for link in links.flatten() {
        if !budget.descriptor() {
            return;
        }
        // Use the name relative to the directory: a machine may have a million descriptors, and lookups from / are
        // slow.
        let found = match readlinkat(&directory, link.file_name().as_os_str()) {
            Ok(target) if filesystems.may_have(Path::new(&target)) => huge_file(&link.path()),
            Ok(_) => continue,
            Err(error) => Err(error.into()),
        };
        match found {
            Ok(Some((file, size, pages))) => held.entry((file, false)).or_default().file(size, pages),
            Ok(None) => {}
            Err(error) => {
                process.not_seen_unless_gone(root, "descriptors of", &error, owners);
                // Stop after one permission error: the other descriptors would fail too, and they are not counted.
                if error.kind() == io::ErrorKind::PermissionDenied {
                    return;
                }
            }
        }
    }
}

/// Returns the IPC namespace of a SysV segment; 0 for anything else.
fn ipc_namespace(root: &HostRoot, process: &Process, area: &Area) -> u64 {
    let link = || root.link(format!("{}/ns/ipc", process.directory)).ok();
    let number = |link: &Path| link.to_str()?.strip_prefix("ipc:[")?.strip_suffix(']')?.parse().ok();
    if area.is_sysv { link().as_deref().and_then(number).unwrap_or(0) } else { 0 }
}
