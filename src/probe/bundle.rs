//! `bundle`: what `check --root` reads of this machine, in one file, to be looked at elsewhere.
//!
//! The machine is read as a captured tree would be, by the same code, and what was read is recorded. So there is no
//! second list of files that could differ from the first. `reduce` leaves out what the inspections do not use, and
//! [`Redactor`] replaces what identifies people and machines, before anything is written.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::gather;
use hugeprobe_domain::request::Request;
use hugeprobe_linux::limits;
use hugeprobe_linux::recording::{Recorded, Recording};
use hugeprobe_linux::root::HostRoot;

mod redact;
mod reduce;
mod unpack;

pub use redact::Redactor;
pub use unpack::{BundleError, Unpacked, open};

/// The name of the form of a bundle. A change that breaks readers gets a new name.
pub const SCHEMA: &str = "hugeprobe.io/bundle/v1";

/// The maximum number of files, and of bytes in all of them. On a server with four NUMA nodes and three page sizes it is
/// some 200 files and 100 KiB.
const MOST_FILES: usize = 20_000;
const MOST_BYTES: u64 = 32 << 20;
/// The maximum length of one file, in bytes.
const LONGEST: u64 = 4 << 20;

/// A file that is added beside the tree, with its name.
pub type Document<'a> = (&'a str, String);

/// What a bundle has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The number of files of the tree.
    pub files: usize,
    /// What exists and could not be read, with the error.
    pub unreadable: BTreeMap<PathBuf, String>,
    /// What was left out because the bundle would become too large.
    pub left_out: Vec<PathBuf>,
}

/// Reads the tree below `directory`, and returns what was read. `/` is read like a captured tree.
///
/// Does not read what an option names and a captured tree does not have: `--dir`, `--peer` and the cgroups of roles.
#[must_use]
pub fn record(directory: &Path, request: &Request) -> Recording {
    let recording = Recording::default();
    let root = HostRoot::recorded(directory, &recording);
    let request = Request { directory: None, peer: None, ..request.clone() };
    let inventory = gather::inventory(&root, &request, limits::read(&root));
    let _ = gather::holders(&root, &request, &inventory, true);
    recording
}

/// Writes a bundle: the tree that was read and `documents`, all of them redacted, below one directory of this name.
///
/// # Errors
///
/// Fails if writing to `out` fails.
pub fn write(
    name: &str,
    recording: &Recording,
    documents: &[Document<'_>],
    redactor: &mut Redactor,
    out: impl Write,
) -> io::Result<Contents> {
    let mut contents = Contents::default();
    let tree = reduce::reduce(recording.to_map(), &mut contents);
    let mut archive = Archive { builder: Builder::new(out), name: name.to_owned() };
    for (path, recorded) in &tree {
        let path = redactor.path(path);
        match recorded {
            Recorded::Text(bytes) => {
                archive.file(&path, redactor.text(&String::from_utf8_lossy(bytes)).as_bytes())?;
            }
            Recorded::Link(target) => archive.link(&path, target)?,
            // A link to itself: it exists, and whatever reads it gets an error.
            Recorded::Unreadable(_) => {
                archive.link(&path, Path::new(path.file_name().unwrap_or_default()))?;
            }
            Recorded::Names(_) => archive.directory(&path)?,
        }
    }
    for (name, text) in documents {
        archive.file(Path::new(name), redactor.text(text).as_bytes())?;
    }
    contents.files = tree.values().filter(|one| matches!(one, Recorded::Text(_))).count();
    let unreadable = contents.unreadable.iter().map(|(path, why)| (redactor.path(path), redactor.text(why)));
    let unreadable: BTreeMap<_, _> = unreadable.collect();
    let left_out: Vec<_> = contents.left_out.iter().map(|path| redactor.path(path)).collect();
    let about = json!({
        "schema": SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "unreadable": unreadable,
        "left_out": left_out,
        "replaced": redactor.counts(),
    });
    archive.file(Path::new("bundle.json"), format!("{about:#}\n").as_bytes())?;
    archive.builder.into_inner()?.flush()?;
    Ok(contents)
}

/// The archive. Each entry belongs to root and has no date, so that the same content is the same file.
struct Archive<W: Write> {
    builder: Builder<W>,
    name: String,
}

// === impl Archive ===

impl<W: Write> Archive<W> {
    fn file(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        self.builder.append_data(&mut header, Self::below(&self.name, path), bytes)
    }

    fn directory(&mut self, path: &Path) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        self.builder.append_data(&mut header, Self::below(&self.name, path), io::empty())
    }

    fn link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        self.builder.append_link(&mut header, Self::below(&self.name, path), target)
    }

    fn below(name: &str, path: &Path) -> PathBuf {
        Path::new(name).join(path.strip_prefix("/").unwrap_or(path))
    }
}
