//! Serves `/metrics`, `/healthz` and `/readyz` over HTTP/1.1.
//!
//! Every host on the network can connect. Connections, headers and time are therefore bounded, and only the method and
//! the path of a request affect the answer.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// The maximum number of open connections. A new connection closes the oldest one.
const CONNECTIONS: usize = 16;
/// The length of the kernel's queue of pending connections.
const BACKLOG: u32 = 64;
/// The maximum size of a request's buffer, in bytes. It is the smallest that hyper allows.
const BUFFER: usize = 8192;
/// The maximum time to receive the head of a request.
const HEAD: Duration = Duration::from_secs(5);
/// The maximum duration of a connection. A scrape takes milliseconds.
const LONGEST: Duration = Duration::from_secs(15);

/// The `Content-Type` of text for people.
pub(super) const PLAIN: &str = "text/plain; charset=utf-8";

/// The page at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Whether the status is 200 (true) or 503.
    pub well: bool,
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub text: String,
}

/// Returns the page at a path; `None` if there is none.
pub type Pages = dyn Fn(&str) -> Option<Page> + Send + Sync;

/// Returns only the pages that the kubelet needs.
#[must_use]
pub fn without_metrics(pages: Arc<Pages>) -> Arc<Pages> {
    Arc::new(move |path| if path == "/metrics" { None } else { pages(path) })
}

/// Opens the port.
///
/// `[::]` accepts IPv4 and IPv6 connections. If it cannot be bound, for example because the kernel has no IPv6,
/// `0.0.0.0` is used instead.
///
/// # Errors
///
/// The address is in use, or does not belong to this machine.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let any = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    match bind(address) {
        Err(_) if any => bind((Ipv4Addr::UNSPECIFIED, address.port()).into()),
        other => other,
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Allow a restarted agent to bind the port at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections and serves `pages` until the future is dropped.
pub async fn serve(listener: TcpListener, pages: Arc<Pages>) -> Infallible {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                open.retain(|connection| !connection.is_finished());
                // A request is answered in milliseconds, so the oldest connection is most likely idle.
                if open.len() >= CONNECTIONS
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.abort();
                }
                let pages = Arc::clone(&pages);
                let connection = tokio::spawn(async move {
                    // Ignore errors and timeouts: they affect only this client.
                    let _ = timeout(LONGEST, converse(stream, pages)).await;
                });
                open.push_back(connection.abort_handle());
            }
            // Most likely there are no free file descriptors, so an immediate retry would fail as well.
            Err(_) => sleep(Duration::from_secs(1)).await,
        }
    }
}

async fn converse(stream: TcpStream, pages: Arc<Pages>) -> hyper::Result<()> {
    let service = service_fn(move |request| {
        let answer = answer(&request, &*pages);
        async { Ok::<_, Infallible>(answer) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn answer(request: &Request<Incoming>, pages: &Pages) -> Response<Full<Bytes>> {
    let (status, content_type, text) = if !matches!(*request.method(), Method::GET | Method::HEAD) {
        (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET is supported\n".to_owned())
    } else if let Some(page) = pages(request.uri().path()) {
        let status = if page.well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, page.content_type, page.text)
    } else {
        (StatusCode::NOT_FOUND, PLAIN, "not found: use /metrics, /healthz or /readyz\n".to_owned())
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn one(path: &str) -> Option<Page> {
        (path == "/metrics").then(|| Page { well: true, content_type: "text/plain", text: "1\n".into() })
    }

    async fn served() -> SocketAddr {
        let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Arc::new(one)));
        address
    }

    async fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // A refused request may end in a reset after the answer.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn the_path_alone_decides_about_the_answer() {
        let address = served().await;
        for (request, begins) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200"),
            ("GET /metrics?format=x HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200"),
            ("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200"),
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404"),
            ("GET /../metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404"),
            ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405"),
            ("\u{1}\u{2}\r\n\r\n", "HTTP/1.1 400"),
        ] {
            let answer = ask(address, request.as_bytes()).await;
            assert!(answer.starts_with(begins), "{request:?}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused_and_the_next_one_served() {
        let address = served().await;
        let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2 * BUFFER));
        let answer = ask(address, long.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer:?}");
        assert!(ask(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn the_pages_for_the_kubelet_have_no_metrics() {
        let any = |_: &str| Some(Page { well: true, content_type: PLAIN, text: String::new() });
        let pages = without_metrics(Arc::new(any));
        assert!(pages("/metrics").is_none() && pages("/healthz").is_some());
    }

    #[tokio::test]
    async fn those_who_say_nothing_keep_nobody_out() {
        let address = served().await;
        let mut silent = Vec::new();
        for _ in 0..5 * CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        // The kubelet waits for at most 5 s.
        let asked = timeout(HEAD / 2, ask(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert!(asked.unwrap().starts_with("HTTP/1.1 200"));
        // The oldest connection was closed to make room.
        let mut byte = [0];
        let closed = timeout(HEAD / 2, silent.first_mut().unwrap().read(&mut byte)).await.unwrap();
        assert!(!matches!(closed, Ok(1..)), "{closed:?}");
    }
}
