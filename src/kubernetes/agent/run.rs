//! The agent's loop: it passes observations to the reconciler and starts the actions that the reconciler returns.
//!
//! It runs on one thread, holds no lock while it waits, and starts requests in other tasks so that they do not delay
//! the next tick.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedSender};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use super::executor::{Answer, Executor};
use super::health::Health;
use super::log::say;
use super::machine::Reader;
use super::pods::{PodEvent, PodWatcher};
use super::reporter::Reporter;
use super::usage::{Usage, UsageReader};
use super::{node, resident};
use crate::api::Api;
use crate::backoff::Random;
use crate::config::{Config, Mode, Profile};
use crate::names;
use crate::reconcile::{Action, Done, Identity, Observation, Reconciler};
use hugeprobe_domain::inspect;
use hugeprobe_linux::root::HostRoot;

/// The time for the last requests. The pod's grace period is longer.
const LAST_REQUESTS: Duration = Duration::from_secs(2);
/// The minimum time until the reconciler is called again at its own request.
const SOONEST: Duration = Duration::from_millis(50);
/// The capacity of each channel to the loop. Senders wait while it is full.
const QUEUE: usize = 8;

/// Everything that an agent needs.
pub struct Agent {
    /// The API client.
    pub api: Api,
    /// The agent's node and pod.
    pub identity: Identity,
    /// The configuration.
    pub config: Config,
    /// The root of the paths at which the machine is read.
    pub root: HostRoot,
    /// The interval between two reads of the machine.
    pub tick: Duration,
    /// The wall clock, for timestamps. Delays use the monotonic clock.
    pub clock: Box<dyn Fn() -> Timestamp + Send>,
    /// The source of jitter for all delays, so that agents do not act at the same time.
    pub random: Random,
    /// Receives the state of the loop.
    pub health: Arc<Health>,
}

/// The state of the loop.
struct Loop {
    reconciler: Reconciler,
    clock: Box<dyn Fn() -> Timestamp + Send>,
    random: Random,
    health: Arc<Health>,
    reader: Reader,
    reporter: Reporter,
    usage_reader: Option<UsageReader>,
    /// The directory for the rounds of resident mode.
    rounds: PathBuf,
    wake: Instant,
    actions: UnboundedSender<Action>,
    answers: Sender<Observation>,
    /// The tasks beside the loop. They end when the loop ends.
    tasks: JoinSet<()>,
    pod_watcher: PodWatcher,
    watching: Option<AbortHandle>,
    /// The names of the probe pods that exist, with their uids.
    pods: BTreeMap<String, String>,
}

/// Runs the agent until `stop` is ready, then ends within two seconds.
pub async fn run(agent: Agent, stop: impl Future<Output = ()>) {
    let Agent { api, identity, config, root, tick, clock, random, health } = agent;
    let (actions_out, actions_in) = mpsc::unbounded_channel();
    let (tell_nodes, mut nodes) = mpsc::channel(QUEUE);
    let (tell_pods, mut pods) = mpsc::channel(QUEUE);
    let (tell_answers, mut answers) = mpsc::channel(QUEUE);
    let (tell_others, mut others) = mpsc::channel(QUEUE);
    let pod_watcher = PodWatcher {
        api: api.clone(),
        namespace: identity.namespace.clone(),
        selector: names::probe_pod_selector(&identity.node),
        health: Arc::clone(&health),
        tell: tell_pods,
        random: random.clone(),
    };
    let executor = Executor {
        api: api.clone(),
        identity: identity.clone(),
        pods: pod_watcher.clone(),
        health: Arc::clone(&health),
    };
    let last = executor.clone();
    let node_watcher = node::NodeWatcher {
        api: api.clone(),
        name: identity.node.clone(),
        health: Arc::clone(&health),
        tell: tell_nodes,
        random: random.clone(),
    };
    let privileged = config.profile == Profile::Privileged;
    let usage_reader =
        config.pod_accounting.then(|| UsageReader::new(api, identity.node.clone(), Arc::clone(&health)));
    let mut tasks = JoinSet::new();
    let watch = config.watch_node;
    tasks.spawn(async move {
        match if watch { node_watcher.watch().await } else { node_watcher.poll().await } {}
    });
    if config.mode == Mode::ProbePods {
        // The reconciler decides nothing until it has seen the probe pods that an earlier agent may have left.
        tasks.spawn(executor.clone().list_until_known(tell_answers.clone()));
    }
    tasks.spawn(executor.work(actions_in, tell_answers));
    let mut agent = Loop {
        clock,
        random,
        health,
        reader: Reader::new(root, privileged),
        reporter: Reporter::default(),
        usage_reader,
        rounds: PathBuf::from(&config.resident.directory),
        wake: Instant::now() + tick,
        actions: actions_out,
        answers: tell_others,
        tasks,
        pod_watcher,
        watching: None,
        pods: BTreeMap::new(),
        reconciler: Reconciler::new(identity, config),
    };
    agent.turn(tick, &mut nodes, &mut pods, &mut answers, &mut others, stop).await;
    agent.end(&last).await;
}

// === impl Loop ===

impl Loop {
    /// Handles events until `stop` is ready.
    async fn turn(
        &mut self,
        tick: Duration,
        nodes: &mut Receiver<Option<Box<Node>>>,
        pods: &mut Receiver<PodEvent>,
        answers: &mut Receiver<Answer>,
        others: &mut Receiver<Observation>,
        stop: impl Future<Output = ()>,
    ) {
        let mut stop = pin!(stop);
        let mut ticks = interval(tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // In this order, so that runs are reproducible. No branch starves those below it: ticks are seconds
                // apart, and messages from the API server come no faster than the network.
                biased;
                () = &mut stop => return,
                _ = ticks.tick() => self.look(),
                Some(answer) = answers.recv() => self.take_answer(answer),
                Some(other) = others.recv() => self.step(other),
                Some(event) = pods.recv() => self.see_pods(event),
                Some(node) = nodes.recv() => self.step(Observation::Node(node)),
                // Last, so that a wake time in the past does not starve the messages.
                () = sleep_until(self.wake) => self.step(Observation::Tick),
            }
        }
    }

    /// Reads the machine and passes the result to the reconciler.
    fn look(&mut self) {
        self.health.tick();
        let inventory = self.reader.read();
        if let Some(pools) = inventory.pools.known() {
            self.health.metrics.pools(pools);
            let uids = || inspect::conflicts::uids(&inventory);
            if let Some(usage) =
                self.usage_reader.as_mut().and_then(|usage_reader| usage_reader.due(pools, uids()))
            {
                let tell = self.answers.clone();
                self.tasks.spawn(async move {
                    let Some(Usage { pages, names }) = usage.await else { return };
                    // Sending fails if the receiver was dropped because the agent ends, here and below.
                    if let Some(names) = names {
                        let _ = tell.send(Observation::PodNames(names)).await;
                    }
                    let _ = tell.send(Observation::Usage(pages)).await;
                });
            }
        }
        if self.usage_reader.is_none()
            && let Some(usage) = self.reader.outside()
        {
            self.step(Observation::Usage(usage));
        }
        self.step(Observation::Machine(Box::new(inventory)));
    }

    fn see_pods(&mut self, event: PodEvent) {
        match event {
            PodEvent::Listed(pods) => self.all_pods(pods, None),
            PodEvent::Applied(pod) => {
                let (name, uid) = named(&pod.metadata);
                self.pods.insert(name, uid);
                self.step(Observation::Pod(pod));
            }
            PodEvent::Deleted(pod) => {
                let (name, uid) = named(&pod.metadata);
                self.forget(&name, &uid);
                self.step(Observation::PodGone { uid });
            }
        }
        self.watch_pods(None);
    }

    fn all_pods(&mut self, pods: Vec<Pod>, version: Option<String>) {
        self.pods = pods.iter().map(|pod| named(&pod.metadata)).collect();
        self.step(Observation::Pods(pods));
        self.watch_pods(version);
    }

    fn take_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Pods(pods, version) => self.all_pods(pods, Some(version)),
            Answer::Done(done) => {
                let mut from = None;
                if let Done::Created { result: Ok(pod), .. } = &done {
                    let (name, uid) = named(&pod.metadata);
                    self.pods.insert(name, uid);
                    from.clone_from(&pod.metadata.resource_version);
                }
                self.step(Observation::Done(done));
                self.watch_pods(from);
            }
        }
    }

    fn forget(&mut self, name: &str, uid: &str) {
        if self.pods.get(name).is_some_and(|its| its == uid) {
            self.pods.remove(name);
        }
    }

    /// Starts a watch of the probe pods, from `version` on if it is known. Stops the watch if there are no probe pods.
    fn watch_pods(&mut self, version: Option<String>) {
        if self.pods.is_empty() {
            if let Some(watching) = self.watching.take() {
                watching.abort();
            }
        } else if self.watching.is_none() {
            let watcher = self.pod_watcher.clone();
            self.watching = Some(self.tasks.spawn(async move { match watcher.watch_from(version).await {} }));
        }
    }

    /// Passes an observation to the reconciler and starts the actions that it returns.
    fn step(&mut self, observation: Observation) {
        let now = (self.clock)();
        for action in self.reconciler.step(now, self.random.next(), observation) {
            match action {
                Action::WakeAt(at) => {
                    let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
                    self.wake = Instant::now() + wait.max(SOONEST);
                }
                Action::Round { size, run, pages, seconds } => {
                    let (rounds, tell) = (self.rounds.clone(), self.answers.clone());
                    self.tasks.spawn(async move {
                        let round = resident::Round { size, run, pages, seconds };
                        let _ = tell.send(resident::hold(&rounds, round).await).await;
                    });
                }
                action => {
                    let _ = self.actions.send(action);
                }
            }
        }
        // Remove the tasks that have ended.
        while self.tasks.try_join_next().is_some() {}
        self.reporter.report(&self.reconciler.view(), &self.health);
    }

    /// Deletes the probe pods if the API server answers in time. The agent's pod owns them, so the garbage collector
    /// deletes those that are left.
    async fn end(mut self, executor: &Executor) {
        self.tasks.abort_all();
        let last = async {
            for (name, uid) in &self.pods {
                if let Err(error) = executor.delete_pod(name, uid).await
                    && !error.is_not_found()
                {
                    say(format_args!("{error}"));
                }
            }
        };
        if timeout(LAST_REQUESTS, last).await.is_err() {
            say(format_args!("the API server does not answer: probe pods are left to the garbage collector"));
        }
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("identity", &self.identity)
            .field("tick", &self.tick)
            .finish_non_exhaustive()
    }
}

fn named(metadata: &ObjectMeta) -> (String, String) {
    (metadata.name.clone().unwrap_or_default(), metadata.uid.clone().unwrap_or_default())
}
