//! The manifests of examples/, run as they are, with the images that this machine has.

use serde_json::Value;

use super::context::kubectl::Guard;
use super::context::ovs::{self, Ovs};
use super::context::pools::{Holder, SMALL};
use super::context::{NODE, WORKLOADS, chart, kubectl, left, pods, script, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] = &[
    case("examples: the Job is Complete on a good node, and Failed on a bad one", job),
    case(
        "examples: the Job of a ValidationRequest is Complete on a cordoned node, and Failed on a bad one",
        validation_request,
    ),
    case("examples: testpmd starts behind its preflight, and not on a bad node", testpmd_pair),
    case("examples: QEMU starts behind its preflight, and not on a bad node", qemu),
    case(
        "examples: testpmd with ports of OVS-DPDK starts behind its preflight, and not on a bad node",
        testpmd_ovs,
    ),
];

/// A manifest of examples/, created for as long as this lives.
struct Example {
    _made: Guard,
    _file: tempfile::NamedTempFile,
}

impl Example {
    fn create(name: &str) -> Self {
        Self::of(&text(name))
    }

    fn of(text: &str) -> Self {
        let image = format!("localhost/hugeprobe:{}", chart::tag());
        let text = text
            .replace("ghcr.io/hugeprobe/hugeprobe:0.1.0", &image)
            .replace("image: dpdk-testpmd:22.11", "image: localhost/testpmd:1")
            .replace("image: qemu:7.2", "image: localhost/qemu:1")
            .replace("NODE", NODE);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().to_str().unwrap();
        let made = Guard::run(
            &["create", "--namespace", WORKLOADS, "-f", path],
            &[
                "delete",
                "--namespace",
                WORKLOADS,
                "--ignore-not-found",
                "--grace-period=1",
                "--timeout=60s",
                "-f",
                path,
            ],
        );
        Self { _made: made, _file: file }
    }
}

fn text(name: &str) -> String {
    std::fs::read_to_string(format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Logs of a container of a pod or of a Job.
fn logs(of: &[&str]) -> String {
    kubectl::run(&[["logs", "--namespace", WORKLOADS].as_slice(), of].concat()).unwrap_or_default()
}

/// The frames that testpmd has received on a port.
fn received(log: &str, port: usize) -> u64 {
    let begin = format!("NIC statistics for port {port} ");
    let statistics = log.split(&begin).skip(1);
    let counts =
        statistics.filter_map(|rest| rest.split_once("RX-packets: ")?.1.split(' ').next()?.parse().ok());
    counts.max().unwrap_or(0)
}

/// A pod of examples/ with an init container `preflight` and a container that is a testpmd.
struct Workload {
    name: &'static str,
    testpmd: &'static str,
    ports: usize,
    /// How many frames must arrive on each port.
    frames: u64,
}

impl Workload {
    fn create(&self) -> Example {
        Example::create(&format!("{}.yaml", self.name))
    }

    /// Waits until enough frames have arrived on each port.
    fn passes_frames(&self) {
        let counts = wait::until("frames arrive", 60, || {
            let said = logs(&[self.name, "--container", self.testpmd]);
            let counts: Vec<_> = (0..self.ports).map(|port| received(&said, port)).collect();
            if counts.iter().all(|&count| count >= self.frames) {
                Ok(counts)
            } else {
                Err((self.preflight(), said))
            }
        });
        println!("    frames on each port: {counts:?}");
    }

    /// Creates it on a bad node: its preflight fails because of a check, and its containers are never started.
    fn is_stopped(&self, check: &str) {
        let example = self.create();
        let message = wait::until("the preflight ends the pod", 60, || {
            let ended = self.preflight();
            if ended["exitCode"] == 1 { Ok(ended["message"].clone()) } else { Err(ended) }
        });
        println!("    its termination message:");
        message.as_str().unwrap_or_default().lines().for_each(|line| println!("      {line}"));
        assert!(message.to_string().contains(check), "{message}");
        assert_eq!(logs(&[self.name, "--container", self.testpmd]), "", "testpmd was not started");
        drop(example);
    }

    /// How its preflight ended; null until then.
    fn preflight(&self) -> Value {
        let pod = kubectl::get(&["pod", self.name, "--namespace", WORKLOADS]).unwrap_or_default();
        pod["status"]["initContainerStatuses"][0]["state"]["terminated"].clone()
    }

    /// Creates it with the pages that there are, and then with none of them free.
    fn works_and_is_stopped(&self) {
        let example = self.create();
        self.passes_frames();
        drop(example);
        chart::at_rest();
        let holder = Holder::take(SMALL.free());
        self.is_stopped("HP509");
        drop(holder);
    }
}

fn job() {
    is_complete_and_failed(&format!("job/hugeprobe-check-{NODE}"), &text("preflight-job.yaml"));
}

/// The Job that NVSentinel makes of our template. NVSentinel itself is not run: no package registry has it.
fn validation_request() {
    let cordoned = Guard::run(&["cordon", NODE], &["uncordon", NODE]);
    is_complete_and_failed("job/request-hugepages", &job_of_validation_request());
    drop(cordoned);
}

/// The template of examples/nvsentinel-values.yaml, with what NVSentinel's lifecycle manager puts into it. Both NVSentinel and
/// helm render Go templates, and `quote` is all that it needs beyond Go's own functions.
fn job_of_validation_request() -> String {
    let chart = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(chart.path().join(name), text).unwrap();
    write("Chart.yaml", "{apiVersion: v2, name: nvsentinel, version: 0.0.0}");
    std::fs::create_dir(chart.path().join("templates")).unwrap();
    write(
        "templates/job.yaml",
        r#"
{{- $config := index .Values "lifecycle-manager" "config" }}
{{- $test := $config.tests.hugepages }}
{{- $provider := index $config.providers $test.provider }}
{{- $cordoned := dict "Key" "node.kubernetes.io/unschedulable" "Value" "" "Operator" "Exists" "Effect" "NoSchedule" }}
{{- tpl (index $config.templates $provider.templateFile) (dict
  "ValidationRequestName" "request" "TestGroupName" "hugepages" "Namespace" .Release.Namespace
  "TimeoutSeconds" $provider.timeoutSeconds "Nodes" (list (dict "NodeName" .Values.node))
  "Image" $test.image "Command" $test.command "Tolerations" (list $cordoned) "Template" .Template) }}
"#,
    );
    let values = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/nvsentinel-values.yaml");
    let mut helm = script("helm");
    helm.args(["template", "nvsentinel"]).arg(chart.path()).args(["--namespace", WORKLOADS]);
    helm.args(["--values", values, "--set", &format!("node={NODE}")]);
    kubectl::finish(&mut helm, "").unwrap_or_else(|error| panic!("{helm:?}: {error}"))
}

/// Creates a Job on the node as it is, and then with none of its pages free.
fn is_complete_and_failed(name: &str, manifest: &str) {
    let run = |wanted: &str| {
        let example = Example::of(manifest);
        wait::until(&format!("the Job is {wanted}"), 60, || {
            let job = kubectl::get(&[name, "--namespace", WORKLOADS]).unwrap_or_default();
            let conditions = job["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let is = |condition: &Value| condition["type"] == wanted && condition["status"] == "True";
            if conditions.iter().any(is) { Ok(()) } else { Err((job["status"].clone(), logs(&[name]))) }
        });
        let report = logs(&[name]);
        report.lines().for_each(|line| println!("    {line}"));
        drop(example);
        report
    };
    assert!(run("Complete").contains("pass"));
    chart::at_rest();
    let holder = Holder::take(SMALL.free());
    assert!(run("Failed").contains("HP509"));
    drop(holder);
}

fn testpmd_pair() {
    Workload { name: "testpmd-pair", testpmd: "backend", ports: 1, frames: 10_000 }.works_and_is_stopped();
}

fn qemu() {
    // No other case needs this image, so it is made here and not for every run of the cases.
    for command in [&mut script("qemu"), script("load").arg(left("bin/qemu.tar"))] {
        let status = command.status().unwrap();
        assert!(status.success(), "{command:?}: {status}");
    }
    // iPXE sends a request, waits for a few seconds, and sends the next.
    Workload { name: "qemu-vhost-user", testpmd: "backend", ports: 1, frames: 2 }.works_and_is_stopped();
}

fn testpmd_ovs() {
    let vswitch = Ovs::start();
    // Those that the example's comment tells the reader to run.
    let text = text("testpmd-ovs-dpdk.yaml");
    let commands = text.lines().filter_map(|line| line.strip_prefix("#   "));
    let of_node = |line: &&str| ["install ", "ovs-vsctl "].iter().any(|first| line.starts_with(first));
    let commands: Vec<_> = commands.filter(of_node).collect();
    assert_eq!(commands.len(), 4, "{commands:?}");
    ovs::on_node(&commands.join("\n")).unwrap_or_else(|error| panic!("{commands:#?}: {error}"));
    let workload = Workload { name: "testpmd-ovs-dpdk", testpmd: "testpmd", ports: 2, frames: 10_000 };
    let example = workload.create();
    workload.passes_frames();
    let pod = kubectl::get(&["pod", workload.name, "--namespace", WORKLOADS]).unwrap();
    let pids: String = pods::pids(&pod).iter().map(|pid| format!(" {pid}")).collect();
    ovs::on_node(&format!("kill -KILL{pids}")).unwrap();
    drop(example);
    assert_eq!(ovs::on_node("ls /run/openvswitch/testpmd").as_deref(), Ok("a\nb\n"), "it leaves its sockets");
    workload.works_and_is_stopped();
    vswitch.stop();
    workload.is_stopped("HP612");
    drop(vswitch);
}
