//! The loop: what is seen goes into the core, what the core decides is done. One thread, no lock that is held while
//! something is waited for, and no request that keeps the next tick from coming.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedSender};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::acts::{Answer, Hands};
use super::chronicle::Chronicle;
use super::health::Health;
use super::machine::Reader;
use super::pause::random;
use super::pods::{Follower, News};
use super::usage::Accountant;
use super::{node, resident};
use crate::kubernetes::api::Api;
use crate::kubernetes::config::{Config, Mode, Profile};
use crate::kubernetes::core::{Action, Core, Done, Identity, Observation};
use crate::kubernetes::names;
use crate::linux::root::HostRoot;

/// Time for the last request: the pod's grace period is longer.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// However often the core wants to be called again.
const SOONEST: Duration = Duration::from_millis(50);
/// What waits to be taken in, of each kind; who tells more waits.
const QUEUE: usize = 8;

/// All that an agent needs.
pub struct Agent {
    /// Whom to ask.
    pub api: Api,
    /// Who it is.
    pub identity: Identity,
    /// What is wanted of it.
    pub config: Config,
    /// Where the machine's files are.
    pub root: HostRoot,
    /// Between two looks at the pools.
    pub tick: Duration,
    /// What time it is. Waits are measured otherwise.
    pub clock: Box<dyn Fn() -> Timestamp + Send>,
    /// Told how it goes.
    pub health: Arc<Health>,
}

/// The loop's own state.
struct Loop {
    core: Core,
    clock: Box<dyn Fn() -> Timestamp + Send>,
    health: Arc<Health>,
    reader: Reader,
    chronicle: Chronicle,
    accountant: Option<Accountant>,
    /// Where resident rounds are held.
    rounds: PathBuf,
    wake: Instant,
    hands: UnboundedSender<Action>,
    answers: Sender<Observation>,
    /// Whatever runs beside the loop; it ends with it.
    tasks: JoinSet<()>,
    follower: Follower,
    following: Option<AbortHandle>,
    /// The probe pods that are there, name and uid.
    pods: BTreeMap<String, String>,
    /// The newest Node that was seen: its uid and version.
    newest: Option<(String, u64)>,
}

/// Runs until `stop` is ready, then ends within two seconds.
pub async fn run(agent: Agent, stop: impl Future<Output = ()>) {
    let Agent { api, identity, config, root, tick, clock, health } = agent;
    let (todo, to_do) = mpsc::unbounded_channel();
    let (tell_nodes, mut nodes) = mpsc::channel(QUEUE);
    let (tell_pods, mut pods) = mpsc::channel(QUEUE);
    let (tell_answers, mut answers) = mpsc::channel(QUEUE);
    let (tell_others, mut others) = mpsc::channel(QUEUE);
    let follower = Follower {
        api: api.clone(),
        namespace: identity.namespace.clone(),
        selector: names::probe_pod_selector(&identity.node),
        health: Arc::clone(&health),
        tell: tell_pods,
    };
    let hands =
        Hands { api: api.clone(), identity: identity.clone(), pods: follower.clone(), health: Arc::clone(&health) };
    let last = hands.clone();
    let watcher = node::Follower {
        api: api.clone(),
        name: identity.node.clone(),
        health: Arc::clone(&health),
        tell: tell_nodes,
    };
    let privileged = config.profile == Profile::Privileged;
    let accountant = config.pod_accounting.then(|| Accountant::new(api, identity.node.clone(), Arc::clone(&health)));
    let mut tasks = JoinSet::new();
    let watch = config.watch_node;
    tasks.spawn(async move { if watch { watcher.watch().await } else { watcher.poll().await } });
    if config.mode == Mode::ProbePods {
        // What an agent before left over is seen first; nothing is decided before.
        tasks.spawn(hands.clone().list_until_known(tell_answers.clone()));
    }
    tasks.spawn(hands.work(to_do, tell_answers));
    let mut agent = Loop {
        clock,
        health,
        reader: Reader::new(root, privileged),
        chronicle: Chronicle::default(),
        accountant,
        rounds: PathBuf::from(&config.resident.directory),
        wake: Instant::now() + tick,
        hands: todo,
        answers: tell_others,
        tasks,
        follower,
        following: None,
        pods: BTreeMap::new(),
        newest: None,
        core: Core::new(identity, config),
    };
    agent.turn(tick, &mut nodes, &mut pods, &mut answers, &mut others, stop).await;
    agent.end(&last).await;
}
