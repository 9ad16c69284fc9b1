//! `hugeprobe agent`: the single-threaded runtime around the pure reconciler.
//!
//! ```text
//!   machine  (sysfs, every tick)         --+                         +--> executor (pods, nodes/status, events) --+
//!   node     (watch of the own Node)     --+--> run --> Reconciler --+                                            |
//!   pods     (watch while a probe runs)  --+     ^                   +--> resident (rounds)                       |
//!   usage    (podAccounting)             --+     +------------------------ results <------------------------------+
//!                                                |
//!                                             reporter --> health, metrics <-- http (/metrics, /healthz, /readyz)
//!                                                                          or: <-- pages <-- http, in another process
//! ```

pub mod executor;
pub mod health;
pub mod http;
pub mod log;
pub mod machine;
pub mod metrics;
pub mod node;
pub mod pages;
pub mod pods;
pub mod reporter;
pub mod resident;
pub mod run;
pub mod usage;

use std::env;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use self::health::Health;
use self::log::say;
use super::api::{self, ConnectError};
use super::backoff::Random;
use super::config::{Config, ConfigError};
use super::reconcile::Identity;
use hugeprobe_linux::root::HostRoot;

/// The reason why the agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The configuration cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The path of the configuration.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The configuration is invalid.
    #[error("{}: {source}", path.display())]
    Config {
        /// The path of the configuration.
        path: PathBuf,
        /// The cause.
        source: ConfigError,
    },
    /// An environment variable that identifies the pod is not set.
    #[error("{0} is not set: the DaemonSet has to set it through the downward API")]
    Variable(&'static str),
    /// The API client cannot be created.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The port cannot be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address and port.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The socket cannot be opened.
    #[error("cannot listen on {}: {source}", path.display())]
    Socket {
        /// The path of the socket.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The signal handlers cannot be installed.
    #[error("cannot wait for signals: {0}")]
    Signals(#[source] io::Error),
}

/// Where the pages of the agent are served.
#[derive(Debug, Clone, Copy)]
pub enum Serve<'a> {
    /// On the network.
    Network(Listen),
    /// At a Unix socket, for [`serve_pages`].
    Socket(&'a Path),
}

/// Addresses for HTTP.
#[derive(Debug, Clone, Copy)]
pub struct Listen {
    /// Serves all pages.
    pub all: SocketAddr,
    /// Serves health too, so that clients of `all` cannot use up the connections that the kubelet needs.
    pub health: Option<SocketAddr>,
}

/// Serves the pages of the agent whose socket is at `socket` until SIGTERM or SIGINT.
///
/// # Errors
///
/// The process cannot start. After the start, no error ends it.
pub async fn serve_pages(socket: &Path, listen: Listen) -> Result<(), AgentError> {
    let stop = stop()?;
    let socket = socket.to_owned();
    serve_http(listen, Arc::new(move |path: &str| pages::ask(&socket, path)))?;
    stop.await;
    Ok(())
}

fn serve_http(listen: Listen, pages: Arc<http::Pages>) -> Result<(), AgentError> {
    let open = |address| http::listen(address).map_err(|source| AgentError::Listen { address, source });
    let listener = open(listen.all)?;
    if let Some(health) = listen.health.map(open).transpose()? {
        tokio::spawn(http::serve(health, http::without_metrics(Arc::clone(&pages))));
    }
    tokio::spawn(http::serve(listener, pages));
    Ok(())
}

/// Returns a future that is ready after SIGTERM or SIGINT.
fn stop() -> Result<impl Future<Output = ()>, AgentError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(AgentError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(AgentError::Signals)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Runs the agent with the configuration in `file` until SIGTERM or SIGINT.
///
/// # Errors
///
/// The agent cannot start. After the start, no error ends it.
pub async fn main(file: &Path, serve: Serve<'_>) -> Result<(), AgentError> {
    let config = read(file)?;
    let identity = Identity {
        node: variable("NODE_NAME")?,
        pod: variable("POD_NAME")?,
        pod_uid: variable("POD_UID")?,
        namespace: variable("POD_NAMESPACE")?,
    };
    let tick = Duration::from_secs(config.tick_seconds);
    let health = Arc::new(Health::new(tick));
    let api = api::in_cluster(Arc::<Health>::clone(&health))?;
    let stop = stop()?;
    let all = Arc::clone(&health);
    let pages = Arc::new(move |path: &str| all.page(path));
    match serve {
        Serve::Network(listen) => serve_http(listen, pages)?,
        Serve::Socket(path) => {
            let failed = |source| AgentError::Socket { path: path.to_owned(), source };
            tokio::spawn(pages::answer(pages::listen(path).map_err(failed)?, pages));
        }
    }
    say(format_args!("hugeprobe {} on node {}", env!("CARGO_PKG_VERSION"), identity.node));
    for key in config.unknown_keys() {
        say(format_args!("the configuration's {key} is not known to this version, and ignored"));
    }
    let agent = run::Agent {
        api,
        identity,
        config,
        root: HostRoot::default(),
        tick,
        clock: Box::new(Timestamp::now),
        random: Random::of_process(),
        health,
    };
    run::run(agent, stop).await;
    say(format_args!("received a signal to terminate"));
    Ok(())
}

fn read(path: &Path) -> Result<Config, AgentError> {
    let text =
        fs::read_to_string(path).map_err(|source| AgentError::Read { path: path.to_owned(), source })?;
    Config::parse(&text).map_err(|source| AgentError::Config { path: path.to_owned(), source })
}

fn variable(name: &'static str) -> Result<String, AgentError> {
    env::var(name).ok().filter(|value| !value.is_empty()).ok_or(AgentError::Variable(name))
}
