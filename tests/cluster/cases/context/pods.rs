//! Pods of the cases: workloads with huge pages, and the probe pods they meet.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::pools::Size;
use super::{NAMESPACE, NODE, WORKLOAD_IMAGE, WORKLOADS, chart, kubectl, script, wait};

/// A workload that asks for pages, takes `hold` of them if that is not 0, and stays.
pub(crate) fn workload(name: &str, size: Size, pages: i64, hold: i64) -> Value {
    let quantity = size.quantity(pages);
    let arguments = if hold == 0 { json!([]) } else { json!(["hold", "-pages", hold.to_string()]) };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": WORKLOADS},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "containers": [{
                "name": "workload", "image": WORKLOAD_IMAGE, "command": ["/workload"], "args": arguments,
                // No limit of CPU: two gigabytes to clear would be paid off for minutes, in which it cannot even be killed.
                "resources": {
                    "limits": {"memory": "32Mi", size.resource(): quantity},
                    "requests": {"cpu": "10m"},
                },
                "volumeMounts": [{"name": "pages", "mountPath": "/hugepages"}],
            }],
            "volumes": [{"name": "pages", "emptyDir": {"medium": format!("HugePages-{}", size.name)}}],
        }
    })
}

/// Where workloads live: there for the whole run.
pub(crate) fn namespace() {
    kubectl::apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": WORKLOADS}}));
}

/// Waits until a pod is Running.
pub(crate) fn running(namespace: &str, name: &str, seconds: u64) {
    phase(namespace, name, "Running", seconds);
}

/// Waits until a pod is in a phase, and returns it.
pub(crate) fn phase(namespace: &str, name: &str, phase: &str, seconds: u64) -> Value {
    wait::until(&format!("pod {name} is {phase}"), seconds, || {
        let pod = kubectl::get(&["pod", name, "--namespace", namespace]).unwrap_or_default();
        if pod["status"]["phase"] == phase { Ok(pod) } else { Err(pod["status"].clone()) }
    })
}

/// The probe pods there are, whatever they do.
pub(crate) fn probes() -> Vec<Value> {
    kubectl::list(&["pods", "--namespace", NAMESPACE, "-l", "app.kubernetes.io/component=probe"])
}

/// When the program of a pod was started.
pub(crate) fn started(pod: &Value) -> Instant {
    let ticks = |pid: &i32| -> Option<f64> {
        // proc_pid_stat(5): the 22nd field, in hundredths of a second since boot; names end with the last bracket.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.rsplit_once(") ")?;
        if name.ends_with("(hugeprobe") { rest.split(' ').nth(19)?.parse().ok() } else { None }
    };
    let first = pids(pod).iter().filter_map(ticks).fold(f64::INFINITY, f64::min) / 100.0;
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let now: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    Instant::now().checked_sub(Duration::from_secs_f64(now - first)).unwrap()
}

/// Resident memory of the program of a pod, in KiB.
pub(crate) fn resident(pod: &Value) -> u64 {
    let kib = |pid: &i32| -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if field("Name:")? == "hugeprobe" { field("VmRSS:")?.split(' ').next()?.parse().ok() } else { None }
    };
    pids(pod).iter().filter_map(kib).sum()
}

/// The termination message of each container of a pod that ended.
pub(crate) fn messages(pod: &Value) -> Vec<(String, String)> {
    let statuses = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    statuses
        .iter()
        .map(|status| (text(&status["name"]), text(&status["state"]["terminated"]["message"])))
        .collect()
}

/// The image of the release is not there while this lives; what runs of it goes on.
#[derive(Debug)]
#[must_use]
pub(crate) struct ImageGone(String);

/// Takes the image of the release away.
pub(crate) fn without_image() -> ImageGone {
    let tag = chart::tag();
    images(&["rm", "--sync", &format!("localhost/hugeprobe:{tag}")]);
    ImageGone(tag)
}

/// Gives the image of the release one more tag.
pub(crate) fn tag_image(tag: &str) {
    // As `image` named it: what `install` put behind it tells builds apart.
    let built =
        chart::tag().rsplit_once('-').map(|(version, _)| format!("localhost/hugeprobe:{version}")).unwrap();
    images(&["tag", "--force", &built, &format!("localhost/hugeprobe:{tag}")]);
}

fn images(arguments: &[&str]) {
    let client =
        ["--mount", "ctr", "--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io", "images"];
    let status = script("inside").args(client).args(arguments).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "ctr images {arguments:?}: {status}");
}

impl Drop for ImageGone {
    fn drop(&mut self) {
        tag_image(&self.0);
    }
}

/// Runs a program in the mount namespace of the node, which may have a hierarchy of cgroups that the machine has not.
pub(crate) fn inside(program: &str, arguments: &[&str]) -> String {
    let output = script("inside").args(["--mount", program]).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The cgroup of a pod of the class Burstable in the hierarchy with the hugetlb controller, as the node sees it, and the name of
/// its file with the limit of pages of 2Mi.
pub(crate) fn hugetlb_cgroup(pod: &Value) -> (String, &'static str) {
    let below = format!("hugeprobe-cluster/kubepods/burstable/pod{}", chart::meta(pod, "uid"));
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        (format!("/sys/fs/cgroup/{below}"), "hugetlb.2MB.max")
    } else {
        (format!("/sys/fs/cgroup/hugetlb/{below}"), "hugetlb.2MB.limit_in_bytes")
    }
}

/// Resizes the CPU of a [`workload`] in place, and waits for the 0 that the kubelet then writes as the limit of its cgroup.
pub(crate) fn resize(pod: &Value) {
    let (group, limit) = hugetlb_cgroup(pod);
    let change =
        r#"{"spec": {"containers": [{"name": "workload", "resources": {"requests": {"cpu": "20m"}}}]}}"#;
    let name = chart::meta(pod, "name");
    let to = ["--namespace", WORKLOADS, "--subresource=resize", "--patch", change];
    kubectl::must(&[&["patch", "pod", name], &to[..]].concat());
    wait::until("the limit of the pod is 0", 30, || {
        match inside("cat", &[&format!("{group}/{limit}")]).trim() {
            "0" => Ok(()),
            limit => Err(limit.to_owned()),
        }
    });
}

/// The cgroup of the process that the first container of a pod runs: its pids, from the machine's side.
pub(crate) fn pids(pod: &Value) -> Vec<i32> {
    let found = try_pids(pod);
    assert!(!found.is_empty(), "no process of pod {} on {NODE}", chart::meta(pod, "uid"));
    found
}

/// The same of a pod that may have no process yet.
pub(crate) fn try_pids(pod: &Value) -> Vec<i32> {
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let cgroups = std::fs::read_to_string(process.path().join("cgroup")).unwrap_or_default();
        if cgroups.contains(&format!("pod{uid}")) {
            found.push(pid);
        }
    }
    found
}
