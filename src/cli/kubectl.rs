//! The verbs of the kubectl plugin that only people use, and that the image is built without: `fits`, `why`, `node`, `who`,
//! `recheck`, and `nodes --watch`.

use std::cell::RefCell;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

use super::args::cluster::{Nodes, NodesForm};
use super::args::kubectl::{Fits, FitsForm, Node, Recheck, Who, Why};
use super::cluster::{chosen, connect, runtime};
use super::exit::Exit;
use super::sort::Order;
use super::{Trouble, input, print, terminal};
use hugeprobe_domain::published::{Fleet, FleetNode, VerdictState};
use hugeprobe_domain::text::count;
use hugeprobe_kubernetes::api::{Api, ApiError};
use hugeprobe_kubernetes::fits::{self, Workload};
use hugeprobe_kubernetes::follow;
use hugeprobe_kubernetes::nodes::{self, Which};
use hugeprobe_kubernetes::quantity::in_pages;
use hugeprobe_kubernetes::{node_report, recheck, who, why};
use hugeprobe_render::fits::View as FitsView;
use hugeprobe_render::jsonpath::Template;
use hugeprobe_render::nodes::{Each, TableView, View};

/// The maximum number of bytes read from a manifest.
const MANIFEST_LIMIT: u64 = 4 << 20;

/// Shows on which nodes a pod would work now.
pub(super) fn fits(options: &Fits) -> Result<Exit, Trouble> {
    let Fits { cluster, filename, hugepages_1gi, hugepages_2mi, same_numa, selector, output } = options;
    let workload = match filename {
        Some(path) => manifest(path)?,
        None => amounts([("hugepages-1Gi", hugepages_1gi), ("hugepages-2Mi", hugepages_2mi)])?,
    };
    if workload.pages.is_empty() {
        return Err(Trouble::usage(
            &"the pod requests no huge pages: set hugepages-2Mi or hugepages-1Gi in its limits",
        ));
    }
    let fit = runtime()?.block_on(async {
        let (api, _) = connect(cluster).await?;
        let read = fits::read(&api, selector.as_deref(), &workload, *same_numa).await;
        read.map_err(|error| Trouble::unknown(&error))
    })?;
    let view = match output {
        FitsForm::Table => FitsView::Table,
        FitsForm::Short => FitsView::Short,
        FitsForm::Json => FitsView::Json,
        FitsForm::Name => FitsView::Name,
    };
    print(|out| hugeprobe_render::fits::render(&fit, view, out, terminal::style()))?;
    Ok(Exit::of(fit.verdict(), false))
}

/// Shows why a pod does not run.
pub(super) fn why(options: &Why) -> Result<Exit, Trouble> {
    let Why { cluster, pod, namespace } = options;
    let report = runtime()?.block_on(async {
        let (api, default_namespace) = connect(cluster).await?;
        let namespace = namespace.as_deref().unwrap_or(&default_namespace);
        why::read(&api, namespace, pod).await.map_err(|error| {
            if error.is_not_found() {
                Trouble::usage(&format!(
                    "there is no pod {pod} in the namespace {namespace}: use -n to name another one"
                ))
            } else {
                Trouble::unknown(&error)
            }
        })
    })?;
    print(|out| hugeprobe_render::why::render(&report, out, terminal::style()))?;
    if report.is_well || report.has_cause() {
        return Ok(Exit::Pass);
    }
    Err(Trouble::unknown(
        &"no cause is known; look at the log of the containers with `hugeprobe explain --log`",
    ))
}

/// Shows who holds the pages of a node.
pub(super) fn who(options: &Who) -> Result<Exit, Trouble> {
    let Who { cluster, node } = options;
    let holdings = runtime()?.block_on(async {
        let (api, _) = connect(cluster).await?;
        who::read(&api, node).await.map_err(|error| about_node(node, &error))
    })?;
    print(|out| hugeprobe_render::who::render(&holdings, out, terminal::style()))?;
    Ok(Exit::Pass)
}

/// Asks the agents of nodes for another probe.
pub(super) fn recheck(options: &Recheck) -> Result<Exit, Trouble> {
    let Recheck { cluster, nodes, selector, wait, timeout, .. } = options;
    let value = recheck::value();
    runtime()?.block_on(async {
        let (api, _) = connect(cluster).await?;
        let names = if nodes.is_empty() { with_agent(&api, selector.as_deref()).await? } else { nodes.clone() };
        let mut asked = Vec::new();
        for name in &names {
            match recheck::request(&api, name, &value).await {
                Ok(()) => {
                    print(|out| writeln!(out, "node/{name} asked for another probe"))?;
                    asked.push(name.clone());
                }
                Err(error) if names.len() == 1 => return Err(about_node(name, &error)),
                Err(error) => note(&about_node(name, &error).text),
            }
        }
        let all = if asked.len() == names.len() { Exit::Pass } else { Exit::Unknown };
        if !wait {
            return Ok(all);
        }
        let told = |node: &FleetNode| note(&format!("node/{} answered: {}", node.name, node.state.word()));
        let waited = recheck::wait(&api, selector.as_deref(), &asked, &value, *timeout, told).await;
        let (fleet, silent) = waited.map_err(|error| Trouble::unknown(&error))?;
        print(|out| {
            let view = View::Table(TableView::of(true));
            hugeprobe_render::nodes::render(&fleet, view, out, terminal::style())
        })?;
        if !silent.is_empty() {
            return Err(Trouble::unknown(&format!(
                "no answer within {} s from the agents of {}: `hugeprobe node NODE` shows what the last probe waits for",
                timeout.as_secs(),
                silent.join(", ")
            )));
        }
        Ok(if all == Exit::Pass { Exit::of(fleet.verdict(), false) } else { all })
    })
}

/// Returns the names of the nodes on which an agent has published a verdict.
async fn with_agent(api: &Api, selector: Option<&str>) -> Result<Vec<String>, Trouble> {
    let fleet = nodes::read(api, selector).await.map_err(|error| Trouble::unknown(&error))?;
    let (with, without): (Vec<_>, Vec<_>) =
        fleet.nodes.into_iter().partition(|node| node.state != VerdictState::Missing);
    if !without.is_empty() {
        note(&format!("{} without a verdict of an agent are left out", count(without.len(), "node")));
    }
    if with.is_empty() {
        return Err(Trouble::usage(
            &"no node with a verdict of an agent matches; `hugeprobe nodes` lists all",
        ));
    }
    Ok(with.into_iter().map(|node| node.name).collect())
}

/// Shows the nodes, and then each again when it changes.
pub(super) fn watch(options: &Nodes) -> Result<Exit, Trouble> {
    let view = TableView::of(!options.no_headers);
    let each = match &options.output {
        NodesForm::Table => Each::table(view, terminal::style()),
        NodesForm::Wide => Each::table(TableView { is_wide: true, ..view }, terminal::style()),
        NodesForm::Short => Each::Short,
        NodesForm::Json => Each::Json,
        NodesForm::Yaml => Each::Yaml,
        NodesForm::Name => Each::Name,
        NodesForm::JsonPath(text) => {
            Each::JsonPath(Template::parse(text).map_err(|error| Trouble::usage(&error))?)
        }
    };
    let each = RefCell::new(each);
    let order = Order::of(options)?;
    runtime()?.block_on(async {
        let (api, _) = connect(&options.cluster).await?;
        let order = match order {
            Some(order) => Some(order.read(&api, options.selector.as_deref()).await?),
            None => None,
        };
        let begin = |fleet: &Fleet| {
            let shown = match &order {
                Some(order) => order.sorted(fleet.clone()),
                None => fleet.clone(),
            };
            let shown = chosen(shown, options);
            print_now(|out| each.borrow_mut().first(fleet, &shown, out))
        };
        let changed = |node: &FleetNode, now| print_now(|out| each.borrow().node(node, now, out));
        let followed = follow::follow(&api, Which::Labels(options.selector.as_deref()), begin, changed).await;
        followed.map_err(|error| Trouble::unknown(&error))
    })?;
    Ok(Exit::Pass)
}

/// Writes to standard output at once. Breaks if it is closed.
fn print_now(show: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> ControlFlow<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match show(&mut out).and_then(|()| out.flush()) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

/// Writes a line to standard error.
fn note(text: &str) {
    // Standard error may be closed.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Returns the error of a request about one node.
fn about_node(node: &str, error: &ApiError) -> Trouble {
    if error.is_not_found() {
        Trouble::usage(&format!("there is no node {node}; `hugeprobe nodes` lists them"))
    } else {
        Trouble::unknown(error)
    }
}

/// Shows what is known of one node.
pub(super) fn node(options: &Node) -> Result<Exit, Trouble> {
    let Node { cluster, node } = options;
    let report = runtime()?.block_on(async {
        let (api, _) = connect(cluster).await?;
        node_report::read(&api, node).await.map_err(|error| about_node(node, &error))
    })?;
    print(|out| hugeprobe_render::node::render(&report, out, terminal::style()))?;
    Ok(Exit::of(report.node.state.verdict(), false))
}

fn manifest(path: &Path) -> Result<Workload, Trouble> {
    let bytes = input::read(path, MANIFEST_LIMIT)?;
    let about = |error: &dyn std::fmt::Display| Trouble::usage(&format!("{}: {error}", path.display()));
    let text = std::str::from_utf8(&bytes).map_err(|error| about(&error))?;
    Workload::read(text).map_err(|error| about(&error))
}

fn amounts(given: [(&str, &Option<String>); 2]) -> Result<Workload, Trouble> {
    let mut workload = Workload::default();
    for (name, amount) in given {
        let Some(amount) = amount else { continue };
        let pages = in_pages(name, amount).and_then(|(size, pages)| Some((size, pages.get()?)));
        let Some((size, pages)) = pages else {
            return Err(Trouble::usage(&format!("--{name}: '{amount}' is not a whole number of pages")));
        };
        if pages > 0 {
            workload.pages.insert(size, pages);
        }
    }
    Ok(workload)
}
