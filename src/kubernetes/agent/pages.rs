//! Passes pages from the agent to a process that serves them, over a Unix socket.
//!
//! In the profile `privileged` the agent is root and sees the processes of the host, so it must not read what comes from
//! the network. A second container, without any privilege, does that: it asks for one of three paths at a time. Only the
//! containers of the pod can reach the socket.
//!
//! A request is a path. The answer is `1` if the page's status is 200 and `0` if it is 503, and then the text.

use std::convert::Infallible;
use std::fs::{self, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use super::http::{PLAIN, Page, Pages};
use super::metrics;

/// The maximum time for an answer. The agent's loop answers nothing while it searches for owners of pages, which takes up
/// to two seconds. The kubelet waits five seconds.
const ANSWER: Duration = Duration::from_secs(4);
/// The maximum time until the whole request is there, and until the whole answer is taken.
const EXCHANGE: Duration = Duration::from_secs(1);
/// The maximum length of a request, in bytes.
const REQUEST: usize = 16;
/// The maximum length of an answer, in bytes. The metrics have some kilobytes for each page size.
const LENGTH: u64 = 1 << 20;

/// Opens the socket. A file that an earlier agent left is replaced.
///
/// # Errors
///
/// The directory does not exist or cannot be written.
pub fn listen(socket: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    // The other container has another uid.
    fs::set_permissions(socket, Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Answers requests with `pages`, one after another, until the future is dropped.
pub async fn answer(listener: UnixListener, pages: Arc<Pages>) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Ignore errors and timeouts: the other side reports them.
                let _ = timeout(EXCHANGE, exchange(&stream, &*pages)).await;
            }
            // Most likely there are no free file descriptors.
            Err(_) => sleep(Duration::from_secs(1)).await,
        }
    }
}

async fn exchange(stream: &UnixStream, pages: &Pages) -> io::Result<()> {
    // A path is so short that one write is one read.
    let mut path = [0; REQUEST];
    let length = loop {
        stream.readable().await?;
        match stream.try_read(&mut path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => break read?,
        }
    };
    let path = path.get(..length).and_then(|path| str::from_utf8(path).ok()).unwrap_or_default();
    let page = pages(path).map_or_else(String::new, |page| format!("{}{}", u8::from(page.well), page.text));
    let mut left = page.as_bytes();
    while !left.is_empty() {
        stream.writable().await?;
        match stream.try_write(left) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => left = left.get(written?..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Returns the agent's page at `path`, or why it could not be had, as a page with the status 503. `None` for a path that
/// the agent does not have.
///
/// It blocks for at most [`ANSWER`], so use it in a process that does nothing else.
#[must_use]
pub fn ask(socket: &Path, path: &str) -> Option<Page> {
    let content_type = match path {
        "/metrics" => metrics::CONTENT_TYPE,
        "/healthz" | "/readyz" => PLAIN,
        _ => return None,
    };
    Some(request(socket, path).map_or_else(
        |error| {
            let text = format!("the agent does not answer at {}: {error}\n", socket.display());
            Page { well: false, content_type: PLAIN, text }
        },
        |(well, text)| Page { well, content_type, text },
    ))
}

fn request(socket: &Path, path: &str) -> io::Result<(bool, String)> {
    let mut stream = BlockingStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(EXCHANGE))?;
    stream.write_all(path.as_bytes())?;
    let mut answer = String::new();
    stream.take(LENGTH).read_to_string(&mut answer)?;
    match answer.split_at_checked(1) {
        Some((well @ ("0" | "1"), text)) => Ok((well == "1", text.to_owned())),
        _ => Err(io::Error::other("the answer is empty or malformed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str) -> Option<Page> {
        let well = path == "/metrics";
        (path != "/readyz").then(|| Page { well, content_type: PLAIN, text: path.repeat(100_000) })
    }

    async fn asked(socket: &Path, path: &'static str) -> Option<Page> {
        let socket = socket.to_owned();
        tokio::task::spawn_blocking(move || ask(&socket, path)).await.unwrap()
    }

    #[tokio::test]
    async fn a_page_arrives_as_it_is_and_a_socket_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        drop(listen(&socket).unwrap());
        let server = tokio::spawn(answer(listen(&socket).unwrap(), Arc::new(page)));
        let metrics = asked(&socket, "/metrics").await.unwrap();
        let expected =
            Page { well: true, content_type: metrics::CONTENT_TYPE, text: "/metrics".repeat(100_000) };
        assert!(metrics == expected, "{} bytes", metrics.text.len());
        assert!(!asked(&socket, "/healthz").await.unwrap().well);
        assert_eq!(asked(&socket, "/other").await, None);
        // The agent has no such page: nothing may look well because of it.
        assert!(!asked(&socket, "/readyz").await.unwrap().well);
        // A client that sends nothing delays other clients only for this time.
        let silent = BlockingStream::connect(&socket).unwrap();
        assert!(asked(&socket, "/metrics").await.unwrap().well);
        drop(silent);
        server.abort();
        let gone = asked(&directory.path().join("gone"), "/healthz").await.unwrap();
        assert!(!gone.well && gone.text.contains("gone: No such file"), "{gone:?}");
    }
}
