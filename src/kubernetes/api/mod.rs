//! The client for the API server.
//!
//! Each request has a deadline, an answer of bounded length, and an error that names the verb, the resource and what
//! the server answered.
//!
//! The requests are sent by kube's client, which handles TLS and renews tokens. kube's `Api` and watcher are not used,
//! because their errors lose `Retry-After` and the verb, and because they parse complete objects. Here objects are
//! reduced to the fields that are used while they are parsed.

mod call;
mod error;
mod list;
mod meter;
mod refusal;
pub mod requests;
mod watch;

use std::error::Error as _;
use std::io;
use std::path::Path;
use std::sync::Arc;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

pub use call::{ANSWER, Api};
pub use error::{ApiError, Attempt, Resource, Verb};
pub use list::ListMeta;
pub use meter::{Meter, Unmetered};
pub use watch::{Event, Watch};

/// The maximum length of an object, in bytes. etcd stores no object of more than 1.5 MiB, but its JSON may be longer.
const LONGEST: usize = 8 << 20;

/// The reason why no client could be created.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The service account's token is missing, or this process is not in a pod.
    #[error("no API server is configured: this process is not in a pod ({0})")]
    NoPod(#[source] kube::config::InClusterError),
    /// The kubeconfig is missing, cannot be read, or has no such context.
    #[error("no API server is configured: {0}")]
    Kubeconfig(#[source] kube::config::KubeconfigError),
    /// There is neither a kubeconfig nor a pod's service account.
    #[error("no API server is configured: this process is not in a pod, and {}; name a kubeconfig with --kubeconfig", without_kubeconfig(.0))]
    Neither(#[source] kube::config::InferConfigError),
    /// The certificates or the credentials cannot be used.
    #[error("cannot use the certificates or credentials for the API server: {0}")]
    Client(#[source] kube::Error),
}

/// Returns why there is no kubeconfig, without the outer layers of the error.
fn without_kubeconfig(error: &kube::config::InferConfigError) -> String {
    match error.source().and_then(|source| source.downcast_ref()) {
        Some(KubeconfigError::ReadConfig(error, path)) if error.kind() == io::ErrorKind::NotFound => {
            format!("{} does not exist", path.display())
        }
        Some(KubeconfigError::FindPath) => "the path of ~/.kube/config cannot be determined".to_owned(),
        Some(other) => other.to_string(),
        None => error.to_string(),
    }
}

/// Creates the client of a pod.
///
/// It uses the service account's token and the API server's address in the environment. The address is an IP address,
/// so no DNS lookup is needed.
///
/// # Errors
///
/// This process is not in a pod, or its service account is not mounted.
pub fn in_cluster(meter: Arc<dyn Meter>) -> Result<Api, ConnectError> {
    connect(kube::Config::incluster_env().map_err(ConnectError::NoPod)?, meter)
}

/// The options of the command line that select a cluster.
#[derive(Debug, Clone, Copy, Default)]
pub struct User<'a> {
    /// `--kubeconfig`.
    pub kubeconfig: Option<&'a Path>,
    /// `--context`.
    pub context: Option<&'a str>,
}

/// Creates the client of a user, and returns it with the user's default namespace.
///
/// The configuration is taken from the options. Without options it is taken from `KUBECONFIG`, from `~/.kube/config`,
/// or from the pod's service account, in this order.
///
/// # Errors
///
/// There is no configuration, the context does not exist, or the credentials cannot be used.
pub async fn of_user(user: &User<'_>) -> Result<(Api, String), ConnectError> {
    let User { kubeconfig, context } = user;
    let config = if kubeconfig.is_none() && context.is_none() {
        kube::Config::infer().await.map_err(ConnectError::Neither)?
    } else {
        let options = KubeConfigOptions { context: context.map(str::to_owned), ..Default::default() };
        let config = match kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(ConnectError::Kubeconfig)?;
                kube::Config::from_custom_kubeconfig(file, &options).await
            }
            None => kube::Config::from_kubeconfig(&options).await,
        };
        config.map_err(ConnectError::Kubeconfig)?
    };
    let namespace = config.default_namespace.clone();
    Ok((connect(config, Arc::new(Unmetered))?, namespace))
}

fn connect(mut config: kube::Config, meter: Arc<dyn Meter>) -> Result<Api, ConnectError> {
    // The callers decide whether to retry, and what to report meanwhile.
    config.default_retry = false;
    config.connect_timeout = Some(call::CONNECT);
    config.read_timeout = Some(watch::SILENCE);
    config.write_timeout = Some(call::ANSWER);
    Ok(Api::new(kube::Client::try_from(config).map_err(ConnectError::Client)?, meter))
}
