//! `/proc/PID/mountinfo`: the mounts that a process sees, and which of them are hidden by other mounts
//! (proc_pid_mountinfo(5)).
//!
//! Mount ids are reused, and lines can change places (`mount --move`), so neither shows which mount came later. The
//! tree of mounts shows it: each mount names the mount that it sits on, and a path lookup steps onto whatever is
//! mounted there.

use std::borrow::Cow;
use std::collections::HashMap;

use super::root::{HostRoot, quoted};
use hugeprobe_domain::reading::Reading;

/// The maximum number of directories of a path, and of mounts below a mount, that are examined. PATH_MAX (4096 bytes)
/// allows fewer, and the limit bounds the time spent on a malformed table.
const DEEPEST: usize = 2048;

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount<'a> {
    /// The mount's id, unique while it is mounted.
    pub id: u64,
    /// The id of the mount that it sits on. If that mount is outside this process's root, it is not in the table.
    pub parent: u64,
    /// `major:minor` of the file system, the same for each of its mounts.
    pub device: &'a str,
    /// The directory of the file system that is mounted, unescaped.
    pub root: Cow<'a, str>,
    /// The mount point relative to this process's root, unescaped.
    pub path: Cow<'a, str>,
    /// The options of this mount; see [`options`].
    pub mount_options: &'a str,
    /// The file system's type: `hugetlbfs`, `cgroup2`.
    pub filesystem: &'a str,
    /// The options of the file system; see [`options`].
    pub super_options: &'a str,
}

/// All mounts, in the order of the lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountTable<'a> {
    mounts: Vec<Mount<'a>>,
    by_id: HashMap<u64, usize>,
    /// Indices of mounts, by the id of the mount that they sit on and by their path.
    by_place: HashMap<(u64, Cow<'a, str>), Vec<usize>>,
}

/// Reads the mounts of the process with this directory in /proc, such as `/proc/self`, and returns what `find` returns
/// for them.
///
/// An empty file is `Malformed`, because the mount of /proc itself is always listed.
#[must_use]
pub fn read<T>(
    root: &HostRoot,
    directory: &str,
    find: impl FnOnce(&MountTable<'_>) -> Reading<T>,
) -> Reading<T> {
    let file = format!("{directory}/mountinfo");
    root.table(&file).and_then(|text| {
        if text.trim().is_empty() {
            return Reading::Malformed(format!("{file} is empty"));
        }
        match parse_mountinfo(&text) {
            Ok(table) => find(&table),
            Err(line) => Reading::Malformed(format!("{file} holds {line}")),
        }
    })
}

/// Parses the text of a mountinfo file.
///
/// # Errors
///
/// The beginning of the first line that does not have the format of mountinfo. No partial table is returned, because
/// the mount that matters could be missing from it.
pub fn parse_mountinfo(text: &str) -> Result<MountTable<'_>, String> {
    let mut table = MountTable::default();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let mount = parse_line(line).ok_or_else(|| quoted(line))?;
        let index = table.mounts.len();
        table.by_id.insert(mount.id, index);
        table.by_place.entry((mount.parent, mount.path.clone())).or_default().push(index);
        table.mounts.push(mount);
    }
    Ok(table)
}

/// Returns the options in one of mountinfo's lists. A comma within quotes (`context="…:c1,c2"`) is not a separator.
pub fn options(list: &str) -> impl Iterator<Item = &str> {
    let mut in_quotes = false;
    list.split(move |c| {
        in_quotes ^= c == '"';
        c == ',' && !in_quotes
    })
    .filter(|option| !option.is_empty())
}

/// Decodes the kernel's octal escapes (`\040` for a space). A backslash that does not begin an escape is kept.
///
/// Source: `mangle_path()` in `fs/seq_file.c` escapes space, tab, newline, backslash, and `#` in the source, all ASCII.
#[must_use]
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let escaped = after.get(..3).filter(|digits| digits.bytes().all(|b| (b'0'..=b'7').contains(&b)));
        match escaped.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(u8::is_ascii) {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

fn parse_line(line: &str) -> Option<Mount<'_>> {
    // Split at single spaces, because an empty source leaves two spaces in a row.
    let mut fields = line.split(' ');
    let id = fields.next()?.parse().ok()?;
    let parent = fields.next()?.parse().ok()?;
    let device = fields.next().filter(|device| is_device(device))?;
    let root = unescape(fields.next()?);
    let path = unescape(fields.next()?);
    let mount_options = fields.next()?;
    // Optional fields such as "shared:1", any number of them, then a single hyphen.
    fields.find(|field| *field == "-")?;
    let filesystem = fields.next().filter(|name| !name.is_empty())?;
    let _source = fields.next()?;
    let super_options = fields.next().unwrap_or_default();
    Some(Mount { id, parent, device, root, path, mount_options, filesystem, super_options })
}

fn is_device(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
}

/// Returns the parent directories of a path: `/a` and `/a/b` for `/a/b/c`. `/` is left out, because a process does not
/// step onto a mount over its own root (seen on 6.18).
fn directories_above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter(|(at, _)| *at > 0).filter_map(|(at, _)| path.get(..at)).take(DEEPEST)
}

// === impl Mount, MountTable ===

impl Mount<'_> {
    /// Returns whether the mount or its file system is read-only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        options(self.mount_options).chain(options(self.super_options)).any(|option| option == "ro")
    }

    fn shows_the_files_of(&self, other: &Mount<'_>) -> bool {
        self.device == other.device && self.root == other.root
    }
}

impl<'a> MountTable<'a> {
    /// Returns all mounts, in the order of the lines.
    pub fn iter(&self) -> impl Iterator<Item = &Mount<'a>> {
        self.mounts.iter()
    }

    /// Returns the mount that hides this one: it sits on the same path, or on a parent directory, and a lookup of the
    /// path steps onto it instead.
    ///
    /// `None` if a lookup reaches the mount at its path, or if it reaches a mount that shows the same files (a bind
    /// mount onto itself).
    #[must_use]
    pub fn hider<'t>(&'t self, mount: &'t Mount<'_>) -> Option<&'t Mount<'a>> {
        self.on_top(mount).or_else(|| self.above(mount))
    }

    fn on_top<'t>(&'t self, mount: &'t Mount<'_>) -> Option<&'t Mount<'a>> {
        let mut top = mount.id;
        // Each iteration goes one mount up the stack. The limit ends the loop if the ids form a cycle.
        for _ in 0..DEEPEST {
            let next = self.sitting_on(top, &mount.path).find(|next| next.id != top)?;
            if !next.shows_the_files_of(mount) {
                return Some(next);
            }
            top = next.id;
        }
        None
    }

    fn above<'t>(&'t self, mount: &'t Mount<'_>) -> Option<&'t Mount<'a>> {
        let (mut id, mut parent, mut path) = (mount.id, mount.parent, mount.path.as_ref());
        for _ in 0..DEEPEST {
            let hider = directories_above(path)
                .find_map(|directory| self.sitting_on(parent, directory).find(|other| other.id != id));
            if hider.is_some() {
                return hider;
            }
            let below = self.by_id.get(&parent).and_then(|index| self.mounts.get(*index))?;
            (id, parent, path) = (below.id, below.parent, below.path.as_ref());
        }
        None
    }

    fn sitting_on<'t>(&'t self, parent: u64, path: &'t str) -> impl Iterator<Item = &'t Mount<'a>> {
        let indices =
            self.by_place.get(&(parent, Cow::Borrowed(path))).map(Vec::as_slice).unwrap_or_default();
        indices.iter().filter_map(|index| self.mounts.get(*index))
    }
}

#[cfg(test)]
mod tests;
