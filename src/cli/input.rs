//! Reads a file that the user names; `-` is standard input.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use hugeprobe_linux::errno::named;

use super::Trouble;

/// Returns the first `limit` bytes of the file.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| Trouble::usage(&format!("cannot read {}: {}", path.display(), named(&error))))?;
    Ok(bytes)
}
