//! Probe pods with a claim on a device of a DRA driver: tests/cluster/dra, which `CONTAINERD_VERSION=2` builds.

use std::process::Command;

use serde_json::json;

use super::context::pools::SMALL;
use super::context::{NAMESPACE, WORKLOADS, chart, daemon, kubectl, left, ovs, pods, testpmd, wait};
use super::{Case, case, users};

pub(crate) const CASES: &[Case] = &[Case {
    lacks,
    ..case("claims: a vswitch behind a claim is asked, and without its answer there is no pass", vswitch)
}];

const DRIVER: &str = "vhost.hugeprobe.io";

/// The directory of the socket on the node: `daemon start dra`.
const DIRECTORY: &str = "/run/vhost-claim";

/// The device metadata file reaches a container by CDI, which containerd has since 2.0, as user namespaces.
fn lacks() -> Option<&'static str> {
    if left("bin/dra").exists() { users::lacks() } else { Some(users::NEEDS) }
}

/// Runs the driver for as long as it lives.
struct Driver;

impl Drop for Driver {
    fn drop(&mut self) {
        daemon("stop", "dra");
    }
}

/// The device and what the probe pods claim of it.
fn offered() -> (Driver, [kubectl::Removed; 2]) {
    daemon("start", "dra");
    let driver = Driver;
    wait::until("the driver offers its device", 30, || match kubectl::list(&["resourceslices"]).len() {
        0 => Err("no ResourceSlice"),
        _ => Ok(()),
    });
    let class = kubectl::apply_for_now(&json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": DRIVER},
        "spec": {"selectors": [{"cel": {"expression": format!("device.driver == '{DRIVER}'")}}]}
    }));
    let template = kubectl::apply_for_now(&json!({
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate",
        "metadata": {"name": "vhost-port", "namespace": NAMESPACE},
        "spec": {"spec": {"devices": {"requests": [{"name": "port", "exactly": {"deviceClassName": DRIVER}}]}}}
    }));
    (driver, [class, template])
}

fn values(request: &str) -> serde_json::Value {
    json!({
        "probe": {"resourceClaims": [{"name": "vhost", "resourceClaimTemplateName": "vhost-port"}]},
        "peer": {"claim": {"name": "vhost", "request": request, "driver": DRIVER}},
    })
}

fn vswitch() {
    let offered = offered();
    // The dead socket of an earlier run: testpmd could not create its own.
    ovs::on_node(&format!("rm -f {DIRECTORY}/s")).unwrap();
    let running = kubectl::apply_for_now(&testpmd::vswitch(DIRECTORY));
    pods::running(WORKLOADS, "vswitch", 30);
    let pod = kubectl::get(&["pod", "vswitch", "--namespace", WORKLOADS]).unwrap();
    // A driver makes the socket usable for the user of the pod. The probe is not root in this profile.
    wait::until("the vswitch listens", 20, || ovs::on_node(&format!("chmod 777 {DIRECTORY}/s")));
    let changed = chart::with(&values("port"));
    wait::until("a probe has a claim of its own", 60, || {
        let claims = kubectl::list(&["resourceclaims", "--namespace", NAMESPACE]);
        claims.first().map(|claim| println!("    {}", claim["status"])).ok_or("no claim")
    });
    chart::concluded("a probe that asked the vswitch passes", SMALL, 0);
    for id in ["HP612", "HP613", "HP614"] {
        assert_eq!(chart::outcome(id, "2Mi").as_deref(), Some("pass"), "{id}");
    }
    chart::at_rest();
    chart::show_ours();

    // The socket stays in the directory, as after a crash of the vswitch.
    for pid in pods::pids(&pod) {
        drop(Command::new("kill").args(["-KILL", &pid.to_string()]).status());
    }
    ovs::on_node(&format!("test -S {DIRECTORY}/s")).unwrap();
    let due = chart::due(SMALL);
    let published = chart::published("no pass with the dead socket, and why", 120, |published| {
        published.labels.get("hugepages-2Mi").is_some_and(|verdict| verdict == "fail")
    });
    println!("    {:?}", published.annotation("check.HP612.2Mi"));
    assert!(published.annotation("check.HP612.2Mi").is_some_and(|text| text.starts_with("fail")));
    drop((due, changed));

    let changed = chart::with(&values("other"));
    let published =
        chart::published("unknown with the file of a request that the claim has not", 120, |published| {
            published.annotation("check.HP612.2Mi").is_some_and(|text| text.starts_with("unknown"))
        });
    println!("    {:?}", published.annotation("check.HP612.2Mi"));
    assert!(!published.passes_for("2Mi"), "{published:#?}");
    drop((changed, running, offered));
}
