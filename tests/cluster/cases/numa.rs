//! A second node of the cluster: an emulated machine with two NUMA nodes and cgroup v2, under a kubelet with the Memory Manager
//! `Static`, the CPU manager `static` and the Topology Manager `single-numa-node`.
//!
//! `make numa` prepares the machine and runs these cases, as a part of `make nightly`. They take too long for .ci/run. Run them on an
//! idle machine: the processors are emulated, and the probe has time limits that no value of the chart raises.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::context::machine::{Boot, Machine, NAME, PATIENCE};
use super::context::node::{Node, Published};
use super::context::pools::SMALL;
use super::context::testpmd::{HEALTHY, LARGE_PAGE, Pair};
use super::context::{NAMESPACE, WORKLOADS, chart, kubectl, left, pods, script, wait};
use super::{Case, machine_case};

mod reboot;

pub(crate) const CASES: &[Case] = &[
    machine_case("numa: a node with pages on both NUMA nodes passes", healthy),
    machine_case("numa: a node with pages on one NUMA node passes, and says where they are", one_node),
    machine_case("numa: a pod that the topology manager refuses though pages are free", refused),
    machine_case("numa: CPUs on one NUMA node and pages on the other", apart),
    machine_case("numa: a hugetlb limit of the cgroup of all pods", parent_limit),
    machine_case("numa: a reboot", reboot::without_policy),
    machine_case("numa: a reboot with the reboot policy", reboot::with_policy),
    machine_case("numa: a node whose huge pages count as memory passes", accounting),
    machine_case("numa: where 1Gi passes, testpmd's frames arrive, and a limit of 0 fails both", gigantic),
];

const BOTH: Boot = Boot { pages: [32, 32], cgroup: "rw", gigantic: 0 };

/// The machine of the case before.
static MACHINE: Mutex<Option<Machine>> = Mutex::new(None);

/// Runs a case on a machine that booted like this. A case that fails takes its machine with it.
fn on(boot: Boot, values: &Value, run: impl FnOnce(&mut Machine)) {
    let is_alike = |earlier: Boot| (earlier.cgroup, earlier.gigantic) == (boot.cgroup, boot.gigantic);
    let earlier = MACHINE.lock().unwrap().take().filter(|machine| is_alike(machine.boot()));
    if earlier.is_none() {
        Machine::forget();
    }
    release(values);
    let mut machine = earlier.unwrap_or_else(|| Machine::join(boot));
    if machine.boot().pages != boot.pages {
        machine.repool(boot.pages);
    }
    run(&mut machine);
    *MACHINE.lock().unwrap() = Some(machine);
}

/// Installs the chart with these values, and with times for a slow machine.
fn release(values: &Value) {
    let mut all = json!({
        "image": {"repository": "localhost/hugeprobe", "tag": chart::tag()},
        // The cases are about the machine alone.
        "nodeSelector": {"kubernetes.io/hostname": NAME},
        "tickSeconds": 2,
        "probe": {"cpu": "900m", "deadlineSeconds": 600, "pendingSeconds": 300},
        "livenessProbe": {"initialDelaySeconds": 300, "timeoutSeconds": 60},
        "readinessProbe": {"timeoutSeconds": 60},
    });
    for (key, value) in values.as_object().unwrap() {
        all[key] = value.clone();
    }
    if chart::values().ok().as_ref() == Some(&all) {
        return;
    }
    let path = chart::path();
    let upgrade =
        ["upgrade", "hugeprobe", &path, "--namespace", NAMESPACE, "--reset-values", "--values", "-"];
    let wait = ["--wait", "--timeout", "15m"];
    chart::helm(&[&upgrade[..], &wait[..]].concat(), &all.to_string()).unwrap();
}

/// Waits until what is published about the machine satisfies `holds`.
fn published(what: &str, holds: impl Fn(&Published) -> bool) -> Published {
    wait::until(what, PATIENCE, || {
        let published = Node::named(NAME).published();
        if holds(&published) { Ok(published) } else { Err(published) }
    })
}

fn show(published: &Published) {
    println!("    {:?} {:?}", published.labels, published.condition);
    for (key, value) in &published.annotations {
        println!("    {key}: {value}");
    }
}

/// Waits until a probe has passed with the pages that the NUMA nodes have, and nothing is in its way.
fn passes(pages: [u32; 2]) -> Published {
    let [first, second] = pages;
    let pool = format!("numa0 {first}, numa1 {second}");
    let passed = published(&format!("2Mi passes with {pool}"), |published| {
        published.passes_for("2Mi")
            && published.annotation("pool.2Mi").is_some_and(|one| one.contains(&pool))
            && !published.annotations.contains_key("probe")
    });
    show(&passed);
    passed
}

/// Runs a verb of the plugin, and returns what it prints, whatever its exit code is.
fn hugeprobe(arguments: &[&str]) -> String {
    let config = format!("KUBECONFIG={}", left("state/admin.conf").display());
    let mut command = script("inside");
    command.args(["env", &config, env!("CARGO_BIN_EXE_hugeprobe")]).args(arguments);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    println!(
        "    $ kubectl hugeprobe {}  # exit code {}",
        arguments.join(" "),
        output.status.code().unwrap()
    );
    text.lines().for_each(|line| println!("    {line}"));
    text
}

/// A Guaranteed pod for the machine. It is of interest where it is placed, so it takes no page.
fn guaranteed(name: &str, pages: i64, cpu: &str) -> Value {
    let mut pod = pods::workload(name, SMALL, pages, 0);
    pod["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": NAME});
    pod["spec"]["containers"][0]["resources"] =
        json!({"limits": {"cpu": cpu, "memory": "32Mi", "hugepages-2Mi": SMALL.quantity(pages)}});
    pod
}

/// The answer of `fits` for a pod.
fn fits(pod: &Value, arguments: &[&str]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pod.to_string()).unwrap();
    let of = ["fits", "-l", "kubernetes.io/hostname=node-n", "-f", file.path().to_str().unwrap()];
    hugeprobe(&[&of[..], arguments].concat())
}

/// With these reasons a kubelet refuses a pod for its NUMA nodes. Without a pod beside it, it is the first. The second is the Memory
/// Manager's, if a pod with pages is bound to one of the NUMA nodes: no group of both has hints then.
const REFUSALS: [&str; 2] = ["TopologyAffinityError", "UnexpectedAdmissionError"];

/// The kubelet refuses the pod, and `why` has the cause.
fn is_refused(pod: &Value) {
    let name = chart::meta(pod, "name").to_owned();
    let made = kubectl::apply_for_now(pod);
    let refused = wait::until("the kubelet refuses the pod", PATIENCE, || {
        let pod = kubectl::get(&["pod", &name, "--namespace", WORKLOADS]).unwrap_or_default();
        if pod["status"]["phase"] == "Failed" { Ok(pod) } else { Err(pod["status"].clone()) }
    });
    let status = &refused["status"];
    assert!(REFUSALS.contains(&status["reason"].as_str().unwrap_or_default()), "{status}");
    let why = hugeprobe(&["why", &format!("pod/{name}"), "-n", WORKLOADS]);
    assert!(why.contains("cause") && why.contains("NUMA"), "{why}");
    drop(made);
}

fn healthy() {
    on(BOTH, &json!({}), |machine| {
        passes(BOTH.pages);
        // The cases are about a kubelet that places pods by NUMA node: this one binds them to one.
        let pod = guaranteed("bound", 4, "100m");
        let made = kubectl::apply_for_now(&pod);
        pods::running(WORKLOADS, "bound", PATIENCE);
        let uid = kubectl::must(&["get", "pod", "bound", "-n", WORKLOADS, "-o", "jsonpath={.metadata.uid}"]);
        let nodes = machine.must(&format!("cat /sys/fs/cgroup/pods/kubepods/pod{uid}/*/cpuset.mems"));
        println!("    cpuset.mems of its containers: {nodes:?}");
        assert!(nodes.lines().any(|line| line == "0" || line == "1"), "{nodes}");
        drop(made);
    });
}

fn one_node() {
    on(Boot { pages: [0, 32], ..BOTH }, &json!({}), |_| {
        passes([0, 32]);
    });
}

fn refused() {
    on(BOTH, &json!({}), |_| {
        passes(BOTH.pages);
        let pod = guaranteed("refused", 40, "100m");
        assert!(fits(&pod, &[]).contains("a Topology Manager may refuse the pod"));
        assert!(fits(&pod, &["--same-numa"]).contains("no NUMA node has as many"));
        is_refused(&pod);
        // An agent that knows the need says it on the Node before any workload asks.
        let need = json!({"expectations": [{"nodeSelector": {}, "need": ["2Mi=40"]}]});
        release(&need);
        let prevented = published("the Node says that no NUMA node has the pages", |published| {
            published.annotation("probe").is_some_and(|probe| probe.contains("pages asked of one NUMA node"))
        });
        show(&prevented);
        assert!(prevented.annotation("probe").unwrap().starts_with("prevented since"), "{prevented:#?}");
        release(&json!({}));
        passes(BOTH.pages);
    });
}

fn apart() {
    // One of the two CPUs of the first NUMA node is reserved, so it has none for a pod that asks for two.
    on(Boot { pages: [32, 0], ..BOTH }, &json!({}), |_| {
        passes([32, 0]);
        let pod = guaranteed("apart", 4, "2");
        // Nobody compares CPUs with NUMA nodes before the kubelet does, so a probe has to ask for them as the workload will.
        assert!(fits(&pod, &["--same-numa"]).contains("not compared: CPU"));
        is_refused(&pod);
        release(&json!({"probe": {"cpu": "1", "deadlineSeconds": 600, "pendingSeconds": 300}}));
        let busy = published("the Node says that the CPUs are elsewhere", |published| {
            published.annotation("probe").is_some_and(|probe| probe.contains("too little CPU or memory"))
        });
        show(&busy);
        release(&json!({}));
        passes([32, 0]);
    });
}

fn parent_limit() {
    on(BOTH, &json!({}), |machine| {
        passes(BOTH.pages);
        // A limit of `kubepods` does not last: the kubelet writes its own each minute and before each pod
        // (`setHugePagesUnbounded` in pkg/kubelet/cm/qos_container_manager_linux.go).
        let limit = "/sys/fs/cgroup/pods/hugetlb.2MB.max";
        machine.must(&format!("echo 2M >{limit}"));
        hugeprobe(&["recheck", NAME]);
        let failed = published("2Mi does not pass", |published| !published.passes_for("2Mi"));
        show(&failed);
        // A container does not see the cgroups above its own, so the agent says what happened, and the node's own check says where.
        assert!(failed.annotation("summary").unwrap().contains("refused"), "{failed:#?}");
        let check = "hugeprobe check --only HP401 --frontend-cgroup /sys/fs/cgroup/pods/kubepods --frontend-need 2Mi=4";
        let report = machine.run(check).text;
        println!("{report}");
        assert!(report.contains(&format!("{limit} is 2 MiB")), "{report}");
        machine.must(&format!("echo max >{limit}"));
        hugeprobe(&["recheck", NAME]);
        passes(BOTH.pages);
    });
}

fn accounting() {
    on(Boot { cgroup: "memory_hugetlb_accounting", ..BOTH }, &json!({}), |machine| {
        let mounts = machine.must("grep cgroup2 /proc/mounts");
        assert!(mounts.contains("memory_hugetlb_accounting"), "{mounts}");
        passes(BOTH.pages);
        // The probe passes because its memory limit has room for its pages.
        hugeprobe(&["recheck", NAME]);
        let probe = wait::until("a probe is there", PATIENCE, || pods::probes().pop().ok_or("no probe"));
        let limits = &probe["spec"]["containers"][0]["resources"]["limits"];
        println!("    limits of the probe: {limits}");
        assert_eq!((&limits["memory"], &limits["hugepages-2Mi"]), (&json!("40Mi"), &json!("8Mi")));
    });
}

fn gigantic() {
    // A page for each container of the probe, and for each testpmd.
    on(Boot { gigantic: 2, ..BOTH }, &json!({}), |machine| {
        let passes = || published("1Gi passes", |published| published.passes_for("1Gi"));
        show(&passes());
        let pair = Pair { memory: LARGE_PAGE, on_machine: true, ..HEALTHY };
        let outcome = pair.run();
        assert!(outcome.works, "{outcome}");
        let limit = "/sys/fs/cgroup/pods/hugetlb.1GB.max";
        machine.must(&format!("echo 0 >{limit}"));
        hugeprobe(&["recheck", NAME]);
        show(&published("1Gi does not pass", |published| !published.passes_for("1Gi")));
        let outcome = pair.run();
        assert!(!outcome.works, "{outcome}");
        machine.must(&format!("echo max >{limit}"));
        hugeprobe(&["recheck", NAME]);
        passes();
    });
}
