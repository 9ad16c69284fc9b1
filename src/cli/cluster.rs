//! `hugeprobe agent`, `nodes`, `cleanup` and `policies`: the verbs that call the Kubernetes API. Each starts a single-threaded
//! async runtime; other verbs start none.

use std::cmp::Reverse;
use std::env;
use std::io::{self, Write as _};

use tokio::runtime::{Builder, Runtime};

use super::args::cluster::{
    self as args, Agent, Cleanup, Cluster, Nodes, NodesForm, Pages, Policies, SortBy,
};
use super::exit::Exit;
use super::{Trouble, print, terminal};
use hugeprobe_domain::published::Fleet;
use hugeprobe_kubernetes::agent::{self, AgentError, Serve};
use hugeprobe_kubernetes::api::{Api, User, of_user};
use hugeprobe_kubernetes::cleanup::{self, Scope};
use hugeprobe_kubernetes::nodes as fleet;
use hugeprobe_kubernetes::policies;
use hugeprobe_render::nodes::{TableView, View};

/// Runs the agent until a signal stops it.
pub(super) fn agent(options: &Agent) -> Result<Exit, Trouble> {
    let Agent { config, listen, pages } = options;
    let serve = pages.as_ref().map_or(Serve::Network(addresses(listen)), |socket| Serve::Socket(socket));
    runtime()?.block_on(agent::main(config, serve)).map_err(|error| match error {
        AgentError::Read { .. } | AgentError::Config { .. } | AgentError::Variable(_) => {
            Trouble::usage(&error)
        }
        error => Trouble::unknown(&error),
    })?;
    Ok(Exit::Pass)
}

/// Serves the pages of an agent until a signal stops it.
pub(super) fn pages(options: &Pages) -> Result<Exit, Trouble> {
    let Pages { socket, listen } = options;
    let served = runtime()?.block_on(agent::serve_pages(socket, addresses(listen)));
    served.map_err(|error| Trouble::unknown(&error))?;
    Ok(Exit::Pass)
}

fn addresses(listen: &args::Listen) -> agent::Listen {
    agent::Listen { all: listen.listen, health: listen.listen_health }
}

/// Shows the verdict of each node of a cluster.
pub(super) fn nodes(options: &Nodes) -> Result<Exit, Trouble> {
    let write = writer(options)?;
    let selector = options.selector.as_deref();
    #[cfg(feature = "kubectl")]
    let order = super::sort::Order::of(options)?;
    let read = runtime()?.block_on(async {
        let (api, _) = connect(&options.cluster).await?;
        let read = if options.wait {
            fleet::wait(&api, selector, options.timeout, awaited(options), tell).await
        } else {
            fleet::read(&api, selector).await
        };
        let read = read.map_err(|error| Trouble::unknown(&error))?;
        #[cfg(feature = "kubectl")]
        let read = match order {
            Some(order) => order.read(&api, selector).await?.sorted(read),
            None => read,
        };
        Ok(read)
    })?;
    // The exit code is about all nodes, whichever are shown.
    let exit = Exit::of(read.verdict(), false);
    let shown = chosen(read, options);
    print(|out| write(&shown, out))?;
    Ok(exit)
}

/// Returns the nodes that are shown, in their order.
pub(super) fn chosen(read: Fleet, options: &Nodes) -> Fleet {
    let mut shown = if options.failing { read.failing() } else { read };
    match options.sort_by {
        SortBy::Name => {}
        // `sort` has done that: it needs the API.
        #[cfg(feature = "kubectl")]
        SortBy::Field(_) => {}
        SortBy::Verdict => shown.nodes.sort_by_key(|node| Reverse(node.state.verdict())),
        SortBy::Age => shown.nodes.sort_by_key(|node| node.published.checked_at),
    }
    shown
}

/// Returns what `--wait` waits for.
fn awaited(options: &Nodes) -> fn(&Fleet) -> bool {
    #[cfg(feature = "kubectl")]
    if options.until == args::Until::Pass {
        return Fleet::passes;
    }
    let _ = options;
    Fleet::is_told
}

type FleetWriter = Box<dyn Fn(&Fleet, &mut dyn io::Write) -> io::Result<()>>;

/// Returns what writes the nodes in the form of `-o`.
fn writer(options: &Nodes) -> Result<FleetWriter, Trouble> {
    let headers = !options.no_headers;
    let table = TableView::of(headers);
    let view = match &options.output {
        NodesForm::Table if options.by_cause => View::Causes { headers },
        NodesForm::Table => View::Table(table),
        NodesForm::Short => View::Short,
        NodesForm::Json => View::Json,
        NodesForm::Name => View::Name,
        #[cfg(feature = "kubectl")]
        NodesForm::Wide => View::Table(TableView { is_wide: true, ..table }),
        #[cfg(feature = "kubectl")]
        NodesForm::Yaml => return Ok(Box::new(|fleet, out| hugeprobe_render::yaml::value(fleet, out))),
        #[cfg(feature = "kubectl")]
        NodesForm::JsonPath(text) => {
            let template = hugeprobe_render::jsonpath::Template::parse(text);
            let template = template.map_err(|error| Trouble::usage(&error))?;
            return Ok(Box::new(move |fleet, out| template.write(fleet, out)));
        }
    };
    Ok(Box::new(move |fleet, out| hugeprobe_render::nodes::render(fleet, view, out, terminal::style())))
}

/// Removes what hugeprobe wrote on Nodes, and its probe pods.
pub(super) fn cleanup(options: &Cleanup) -> Result<Exit, Trouble> {
    let Cleanup { cluster, all_nodes, namespace } = options;
    let scope = match (all_nodes, variable("NODE_NAME")) {
        (true, _) => Scope::AllNodes,
        (false, Some(name)) => Scope::Node(name),
        (false, None) => {
            return Err(Trouble::usage(
                &"no node given: use --all-nodes, or set NODE_NAME to the node to be cleaned",
            ));
        }
    };
    let done = runtime()?.block_on(async {
        let (api, default_namespace) = connect(cluster).await?;
        let namespace = namespace.clone().or_else(|| variable("POD_NAMESPACE")).unwrap_or(default_namespace);
        cleanup::run(&api, &scope, &namespace, &mut io::stdout())
            .await
            .map_err(|error| Trouble::unknown(&error))
    })?;
    Ok(if done.failures == 0 { Exit::Pass } else { Exit::Unknown })
}

/// Shows by dry runs that the admission policies restrict the account of this pod to the Node that it runs on.
pub(super) fn policies(options: &Policies) -> Result<Exit, Trouble> {
    let Some(node) = variable("NODE_NAME") else {
        return Err(Trouble::usage(&"NODE_NAME is not set: set it to the Node that this pod runs on"));
    };
    let tried = runtime()?.block_on(async {
        let (api, _) = connect(&options.cluster).await?;
        policies::try_all(&api, &node).await.map_err(|error| Trouble::unknown(&error))
    })?;
    print(|out| tried.iter().try_for_each(|one| writeln!(out, "{one}")))?;
    Ok(if tried.iter().all(policies::Tried::is_as_expected) { Exit::Pass } else { Exit::Fail })
}

pub(super) async fn connect(cluster: &Cluster) -> Result<(Api, String), Trouble> {
    let Cluster { kubeconfig, context } = cluster;
    let user = User { kubeconfig: kubeconfig.as_deref(), context: context.as_deref() };
    of_user(&user).await.map_err(|error| Trouble::usage(&error))
}

/// Writes a line to standard error while waiting, even if it is not a terminal, because the line is most useful in a
/// pipeline's log.
fn tell(fleet: &Fleet) {
    let counts: Vec<_> = fleet.counts().into_iter().map(|(word, count)| format!("{count} {word}")).collect();
    // Standard error may be closed; the wait continues.
    let _ = writeln!(io::stderr(), "waiting for {} nodes: {}", fleet.nodes.len(), counts.join(", "));
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

pub(super) fn runtime() -> Result<Runtime, Trouble> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Trouble::unknown(&format!("cannot start: {error}")))
}
