//! HP301 to HP305: the hugetlbfs mount that `--dir` names, or all that exist.
//!
//! With `--dir`, only that directory counts. Without it no mount is needed, because memfd needs none.

mod runtime_directory;
mod used;

pub use self::runtime_directory::inspect as inspect_machine;
use self::used::{Used, mount_at_a_new_path, not_known};
use super::super::catalogue::{HP301, HP302, HP303, HP304, HP305};
use super::super::check::{Because, Finding, Outcome};
use super::super::inventory::{DirectoryKind, HugeMount, Inventory, WriteAttempt};
use super::super::reading::Reading;
use super::super::request::Request;
use super::super::size::{PageSize, human_bytes};
use super::common::count;

/// Returns the findings of HP301 to HP305 about `size`, one each.
#[must_use]
pub fn inspect(inventory: &Inventory, request: &Request, size: PageSize) -> Vec<Finding> {
    if request.directory.is_none() {
        let no_directory = |id| Finding::skip(id, size, "no --dir, so no mount is used");
        return vec![
            listed(inventory, size),
            no_directory(HP302),
            no_directory(HP303),
            no_directory(HP304),
            hidden(inventory, size, |mount| mount.size == Some(size)),
        ];
    }
    let Some(directory) = &inventory.directory else {
        return [HP301, HP302, HP303, HP304, HP305]
            .map(|id| not_known(id, size, "--dir was not examined"))
            .into();
    };
    let used = Used { inventory, request, directory, size, path: &directory.path };
    let hidden = hidden(inventory, size, |mount| used.is_at_or_below(mount));
    match directory.kind.known() {
        Some(DirectoryKind::Hugetlbfs { size: its, pages, inodes }) if *its == size => {
            vec![used.right_kind(), used.writable(), used.room(*pages), used.inodes(*inodes), hidden]
        }
        _ => {
            let skip = |id| {
                Finding::skip(
                    id,
                    size,
                    format!("{} is not known to be a hugetlbfs of {size}: see HP301", used.path),
                )
            };
            // A process that cannot reach the directory cannot write there, whatever its file system is.
            let writable = match &directory.writable {
                Reading::Known(WriteAttempt::Denied(_)) => used.writable(),
                _ => skip(HP302),
            };
            vec![used.wrong_kind(), writable, skip(HP303), skip(HP304), hidden]
        }
    }
}

/// Returns the finding of HP301 without `--dir`: which mounts exist.
fn listed(inventory: &Inventory, size: PageSize) -> Finding {
    let mounts = match known_mounts(inventory) {
        Ok(mounts) => mounts,
        Err(why) => return not_known(HP301, size, why),
    };
    let of_size: Vec<_> = mounts.iter().filter(|mount| mount.size == Some(size)).collect();
    let visible: Vec<_> = of_size.iter().filter(|mount| mount.hidden_by.is_none()).collect();
    let finding = match visible.as_slice() {
        [] if of_size.is_empty() => {
            Finding::skip(HP301, size, format!("no hugetlbfs of {size} is mounted; memfd needs none"))
        }
        [] => Finding::skip(HP301, size, format!("every hugetlbfs of {size} is hidden: see HP305")),
        [one] => {
            Finding::pass(HP301, size, format!("mounted at {}{}", one.path, options_worth_telling(one, size)))
        }
        [one, rest @ ..] => Finding::pass(
            HP301,
            size,
            format!("mounted at {} and {} more", one.path, count(rest.len() as u64, "place")),
        ),
    };
    finding.with("mounts", of_size)
}

/// Returns the finding of HP305 about the mounts that `concerns` selects.
fn hidden(inventory: &Inventory, size: PageSize, concerns: impl Fn(&HugeMount) -> bool) -> Finding {
    let mounts = match known_mounts(inventory) {
        Ok(mounts) => mounts,
        Err(why) => return not_known(HP305, size, why),
    };
    let concerned: Vec<_> = mounts.iter().filter(|mount| concerns(mount)).collect();
    let covered = concerned.iter().find_map(|mount| Some((mount, mount.hidden_by.as_ref()?)));
    match covered {
        None if concerned.is_empty() => Finding::skip(HP305, size, "no mount that could be hidden"),
        None => {
            Finding::pass(HP305, size, format!("{}, none hidden", count(concerned.len() as u64, "mount")))
        }
        Some((mount, hider)) => {
            let because = Because::new(
                format!("a lookup of {} reaches the hugetlbfs that is mounted there", mount.path),
                format!("another mount at {hider} hides it"),
            )
            .remedy(remedy_if_hidden(mount, hider, mounts));
            Finding::not_pass(
                HP305,
                size,
                Outcome::Warn,
                format!("the hugetlbfs at {} is hidden", mount.path),
                because,
            )
            .with("hidden", concerned.iter().filter(|mount| mount.hidden_by.is_some()).collect::<Vec<_>>())
        }
    }
}

/// What to do about a hidden mount. A mount above it, such as /dev, has other things that are needed.
fn remedy_if_hidden(mount: &HugeMount, hider: &str, mounts: &[HugeMount]) -> String {
    if hider == mount.path {
        return format!("run `umount {hider}` if the mount on top is not needed");
    }
    let size =
        mount.size.map_or_else(String::new, |size| format!(":\n  {}", mount_at_a_new_path(size, mounts)));
    format!("mount a hugetlbfs at a path that no other mount hides{size}")
}

fn known_mounts(inventory: &Inventory) -> Result<&[HugeMount], &str> {
    inventory.mounts.known().map(Vec::as_slice).ok_or(inventory.mounts.why_unknown().unwrap_or_default())
}

fn options_worth_telling(mount: &HugeMount, size: PageSize) -> String {
    let mut told = String::new();
    if let Some(bytes) = mount.limit_bytes {
        told.push_str(&format!(", size= {}", human_bytes(bytes)));
    }
    if let Some(bytes) = mount.min_bytes {
        told.push_str(&format!(", min_size= keeps {} for it", count(bytes / size.bytes(), "page")));
    }
    if mount.read_only {
        told.push_str(", read-only");
    }
    told
}

#[cfg(test)]
mod tests;
