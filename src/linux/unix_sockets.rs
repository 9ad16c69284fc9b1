//! Counts the connections to a Unix socket path. The source is `/proc/net/unix`, which lists only the sockets of this
//! network namespace.
//!
//! An accepted socket has the path of the listening socket (`unix_stream_connect()`), and the file shows the state of
//! each socket (`unix_seq_show()`).

use std::path::Path;

use super::root::HostRoot;
use hugeprobe_domain::reading::Reading;

/// The socket state `SS_CONNECTED`, as the file shows it.
const CONNECTED: &str = "03";
/// The number of columns before the path: address, reference count, protocol, flags, type, state, inode.
const COLUMNS: usize = 7;
const STATE: usize = 5;

/// Returns the number of accepted connections of the socket that listens at `path`.
#[must_use]
pub fn connected_at(root: &HostRoot, path: &Path) -> Reading<usize> {
    let path = path.to_string_lossy();
    root.table("/proc/net/unix").map(|table| parse_connected(&table, &path))
}

/// Does the same as [`connected_at`], from the text of the file.
#[must_use]
pub fn parse_connected(table: &str, path: &str) -> usize {
    let is_there = |line: &&str| {
        // The path is the rest of the line, because it may contain spaces.
        let mut rest = *line;
        for column in 0..COLUMNS {
            let Some((word, after)) = rest.trim_start().split_once(' ') else { return false };
            if column == STATE && word != CONNECTED {
                return false;
            }
            rest = after;
        }
        rest.trim_start() == path
    };
    table.lines().filter(is_there).count()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use proptest::prelude::*;

    use super::*;

    const TABLE: &str = "\
Num       RefCount Protocol Flags    Type St Inode Path
000000007ea33d35: 00000002 00000000 00010000 0001 01 21046 /run/vhu 0
00000000a97ae85b: 00000003 00000000 00000000 0001 03 21050 /run/vhu 0
00000000a97ae85c: 00000003 00000000 00000000 0001 03     9 /run/vhu 01
00000000c0a1b2c3: 00000003 00000000 00000000 0001 03 21051
00000000c0a1b2c4: 00000003 00000000 00000000 0001 03 21052 @abstract
";

    #[test]
    fn only_who_is_connected_at_this_very_path_counts() {
        assert_eq!(parse_connected(TABLE, "/run/vhu 0"), 1);
        assert_eq!(parse_connected(TABLE, "/run/vhu 01"), 1);
        assert_eq!(parse_connected(TABLE, "/run/vhu"), 0);
        assert_eq!(parse_connected(TABLE, ""), 0);
    }

    #[test]
    fn this_kernel_tells_of_a_connection_as_long_as_it_lasts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let count = || connected_at(&HostRoot::default(), &path);
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(count(), Reading::Known(0));
        let client = UnixStream::connect(&path).unwrap();
        let server = listener.accept().unwrap();
        assert_eq!(count(), Reading::Known(1));
        drop((client, server));
        assert_eq!(count(), Reading::Known(0));
    }

    proptest! {
        #[test]
        fn no_text_panics(table: String, path: String) {
            let _ = parse_connected(&table, &path);
        }
    }
}
