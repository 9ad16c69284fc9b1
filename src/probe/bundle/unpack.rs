//! Opens a bundle. It comes from somebody else, so nothing in it may lead out of the directory where it is unpacked.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use tar::{Archive, Entry, EntryType};
use tempfile::TempDir;

use super::{LONGEST, MOST_BYTES, MOST_FILES};

/// A tree that was unpacked, and is removed with this value.
#[derive(Debug)]
pub struct Unpacked {
    directory: TempDir,
    /// The one directory that a bundle has at its top.
    top: PathBuf,
}

/// The error of a file that is not a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file cannot be read, or its content cannot be written to the temporary directory.
    #[error("cannot unpack {}: {source}", .path.display())]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// An entry that no bundle has.
    #[error("{} is not a bundle of hugeprobe: {why}", .path.display())]
    Content {
        /// The path of the file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Unpacks the bundle in the file at `path` into a temporary directory.
///
/// # Errors
///
/// See [`BundleError`].
pub fn open(path: &Path) -> Result<Unpacked, BundleError> {
    let failed = |source| BundleError::Io { path: path.to_owned(), source };
    let content = |why: String| BundleError::Content { path: path.to_owned(), why };
    let directory = tempfile::Builder::new().prefix("hugeprobe-bundle-").tempdir().map_err(failed)?;
    let mut archive = Archive::new(File::open(path).map_err(failed)?);
    let (mut files, mut bytes, mut top) = (0, 0, None);
    // Beside the files of the tree there are a few documents.
    let most_bytes = MOST_BYTES.saturating_mul(2);
    for entry in archive.entries().map_err(failed)? {
        let mut entry = entry.map_err(|error| content(error.to_string()))?;
        let name =
            entry.path().map(std::borrow::Cow::into_owned).map_err(|error| content(error.to_string()))?;
        let length = entry.size();
        (files, bytes) = (files + 1, length.saturating_add(bytes));
        if files > MOST_FILES * 2 || bytes > most_bytes || length > LONGEST * 2 {
            return Err(content("it is larger than any bundle".to_owned()));
        }
        let Some(first) = first_of(&name) else { return Err(content(format!("it has {}", name.display()))) };
        if *top.get_or_insert_with(|| first.clone()) != first {
            return Err(content(format!("it has {} beside the directory of its first file", name.display())));
        }
        unpack(&mut entry, &directory.path().join(&name)).map_err(failed)?.map_err(content)?;
    }
    let top = top.ok_or_else(|| content("it is empty".to_owned()))?;
    Ok(Unpacked { directory, top })
}

/// Returns the first directory of a path that leads down only.
fn first_of(path: &Path) -> Option<PathBuf> {
    let mut components = path.components();
    let first = components.next()?;
    let is_down = |component: Component<'_>| matches!(component, Component::Normal(_));
    (is_down(first) && components.all(is_down)).then(|| PathBuf::from(first.as_os_str()))
}

/// Writes one entry to `path`; the inner error says what no bundle has. A path through a link of the bundle fails: its
/// links lead nowhere, because a target is a single name.
fn unpack(entry: &mut Entry<'_, File>, path: &Path) -> io::Result<Result<(), String>> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match entry.header().entry_type() {
        EntryType::Directory => fs::create_dir_all(path)?,
        EntryType::Regular => {
            let mut file = File::options().write(true).create_new(true).open(path)?;
            io::copy(&mut entry.take(LONGEST * 2), &mut file)?;
        }
        EntryType::Symlink => {
            let target = entry.link_name()?.unwrap_or_default().into_owned();
            if !is_one_name(&target) {
                return Ok(Err(format!("it has a link to {}", target.display())));
            }
            symlink(target, path)?;
        }
        kind => return Ok(Err(format!("it has an entry of the type {kind:?}"))),
    }
    Ok(Ok(()))
}

/// Returns whether a target is the name of a namespace, or the link's own name. Neither leads out of its directory.
fn is_one_name(target: &Path) -> bool {
    let mut components = target.components();
    matches!((components.next(), components.next()), (Some(Component::Normal(_)), None))
}

// === impl Unpacked ===

impl Unpacked {
    /// Returns the directory for `--root`.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.path().join(&self.top)
    }
}
