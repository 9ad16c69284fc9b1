//! The verbs of the kubectl plugin that only people use, and that the image is built without: `fits`, `why` and `node`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::args::kubectl::{Fits, FitsForm, Node, Why};
use super::cluster::{connect, runtime};
use super::exit::Exit;
use super::{Trouble, print, terminal};
use hugeprobe_kubernetes::fits::{self, Workload};
use hugeprobe_kubernetes::node_report;
use hugeprobe_kubernetes::quantity::in_pages;
use hugeprobe_kubernetes::why;
use hugeprobe_linux::errno::named;
use hugeprobe_render::fits::View;

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
        FitsForm::Table => View::Table,
        FitsForm::Short => View::Short,
        FitsForm::Json => View::Json,
        FitsForm::Name => View::Name,
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

/// Shows what is known of one node.
pub(super) fn node(options: &Node) -> Result<Exit, Trouble> {
    let Node { cluster, node } = options;
    let report = runtime()?.block_on(async {
        let (api, _) = connect(cluster).await?;
        node_report::read(&api, node).await.map_err(|error| {
            if error.is_not_found() {
                Trouble::usage(&format!("there is no node {node}; `hugeprobe nodes` lists them"))
            } else {
                Trouble::unknown(&error)
            }
        })
    })?;
    print(|out| hugeprobe_render::node::render(&report, out, terminal::style()))?;
    Ok(Exit::of(report.node.state.verdict(), false))
}

fn manifest(path: &Path) -> Result<Workload, Trouble> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(MANIFEST_LIMIT).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(MANIFEST_LIMIT).read_to_string(&mut text))
    };
    let path = path.display();
    read.map_err(|error| Trouble::usage(&format!("cannot read {path}: {}", named(&error))))?;
    Workload::read(&text).map_err(|error| Trouble::usage(&format!("{path}: {error}")))
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
