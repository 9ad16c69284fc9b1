//! Reads the device metadata file of a DRA claim.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use hugeprobe_domain::device_metadata::{self, MetadataError};
use nix::fcntl::OFlag;

use super::errno::named;

/// The largest file that is read. A device has at most 32 attributes, whose values have at most 64 characters.
const LARGEST: u64 = 1 << 20;

/// Why the socket of `--peer` cannot be taken from a file. The path is last, because an annotation of the Node has no room for
/// all of it.
#[derive(Debug, thiserror::Error)]
#[error("the socket of the peer is unknown: {why}: {path}")]
pub struct PeerFileError {
    path: String,
    why: String,
}

/// Returns the socket that `--peer` means: `peer` itself, or the one that it names if it is a device metadata file.
///
/// # Errors
///
/// The file cannot be read, or names no socket.
pub fn socket_of(peer: &str) -> Result<String, PeerFileError> {
    if !device_metadata::is_named(peer) {
        return Ok(peer.to_owned());
    }
    let failed = |why: String| PeerFileError { path: peer.to_owned(), why };
    let content = read(peer).map_err(|error| failed(named(&error)))?;
    device_metadata::socket(&content).map_err(|error: MetadataError| failed(error.to_string()))
}

fn read(path: &str) -> io::Result<Vec<u8>> {
    // O_NONBLOCK: to open a FIFO that has no writer would block.
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut content = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("larger than {LARGEST} bytes")));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;

    #[test]
    fn only_a_file_of_that_name_is_read_and_only_a_small_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vhost.example.com-metadata.json");
        let name = path.to_str().unwrap();
        let error = || socket_of(name).unwrap_err().to_string();
        assert_eq!(socket_of("/run/no/such/socket").unwrap(), "/run/no/such/socket");
        assert!(error().contains("unknown: ENOENT (No such file or directory): /"), "{}", error());
        std::fs::write(&path, "{}").unwrap();
        assert!(error().contains("no DeviceMetadata of a known version"), "{}", error());
        std::fs::write(
            &path,
            r#"{"kind": "DeviceMetadata", "apiVersion": "metadata.resource.k8s.io/v1beta1", "requests":
                [{"devices": [{"attributes": {"vhost-user-path": {"string": "/run/s"}}}]}]}"#,
        )
        .unwrap();
        assert_eq!(socket_of(name).unwrap(), "/run/s");
        std::fs::write(&path, " ".repeat((1 << 20) + 1)).unwrap();
        assert!(error().contains("larger than 1048576 bytes"), "{}", error());
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert!(error().contains("not a regular file"), "{}", error());
    }
}
