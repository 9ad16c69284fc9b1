//! Tests that the probe pod has the shape that the admission policy requires of every agent.

use serde_json::{Value, json};

use super::*;

fn asked() -> Asked {
    Asked {
        size: "2Mi".parse().unwrap(),
        pages: 4,
        limit: PageLimit::Containers,
        need: Vec::new(),
        memory_pays: false,
    }
}

fn pod(more: &str, asked: &Asked) -> Value {
    let config =
        Config::parse(&format!(r#"{{"probe": {{"image": "repo/hugeprobe@sha256:1"}} {more}}}"#)).unwrap();
    pod_of(&config, asked)
}

fn pod_of(config: &Config, asked: &Asked) -> Value {
    let [node, pod, pod_uid, namespace] = ["node-a", "agent-x", "uid-x", "hugeprobe"].map(str::to_owned);
    serde_json::to_value(probe_pod(&Identity { node, pod, pod_uid, namespace }, config, asked)).unwrap()
}

#[test]
fn it_is_pinned_to_its_node_by_the_scheduler_and_owned_by_its_agent() {
    let pod = pod("", &asked());
    let metadata = &pod["metadata"];
    assert_eq!(metadata["name"], "hugeprobe-2mi-node-a");
    assert_eq!(metadata["namespace"], "hugeprobe");
    assert_eq!(
        metadata["labels"],
        json!({"app.kubernetes.io/name": "hugeprobe", "app.kubernetes.io/component": "probe",
               "hugeprobe.io/size": "2Mi", "hugeprobe.io/node": "node-a"})
    );
    assert_eq!(
        metadata["ownerReferences"],
        json!([{"apiVersion": "v1", "kind": "Pod", "name": "agent-x", "uid": "uid-x", "controller": true, "blockOwnerDeletion": false}])
    );
    let spec = &pod["spec"];
    assert_eq!(spec.get("nodeName"), None);
    assert_eq!(
        spec["affinity"],
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-a"]}]}]}}})
    );
    assert_eq!(spec["tolerations"], json!([{"operator": "Exists"}]));
    assert_eq!(spec["priorityClassName"], "hugeprobe-probe");
}

#[test]
fn it_runs_once_without_a_token_and_gives_up_in_time() {
    let spec = &pod("", &asked())["spec"];
    assert_eq!(spec["restartPolicy"], "Never");
    assert_eq!(
        (&spec["activeDeadlineSeconds"], &spec["terminationGracePeriodSeconds"]),
        (&json!(60), &json!(5))
    );
    assert_eq!(spec["serviceAccountName"], "hugeprobe-probe");
    assert_eq!(
        (&spec["automountServiceAccountToken"], &spec["enableServiceLinks"]),
        (&json!(false), &json!(false))
    );
}

#[test]
fn each_container_has_its_own_limit_and_both_see_the_same_directories() {
    let spec = &pod("", &asked())["spec"];
    assert_eq!(
        spec["volumes"],
        json!([{"name": "hugepages", "emptyDir": {"medium": "HugePages-2Mi"}},
               {"name": "run", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}])
    );
    let containers = spec["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 2);
    for (container, name) in containers.iter().zip(["frontend", "backend"]) {
        assert_eq!(container["name"], name);
        assert_eq!(container["command"], json!(["/hugeprobe"]));
        let args: Vec<_> =
            container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        assert_eq!(
            args.join(" "),
            format!(
                "container {name} --size 2Mi --pages 4 --dir /hugepages --rendezvous /run/hugeprobe --run $(POD_UID) \
                     --report /dev/termination-log --workload dpdk --seconds 55"
            )
        );
        let amounts = json!({"cpu": "200m", "memory": "32Mi", "hugepages-2Mi": "8Mi"});
        assert_eq!(container["resources"], json!({"requests": amounts, "limits": amounts}));
        assert_eq!(
            container["volumeMounts"],
            json!([{"name": "hugepages", "mountPath": "/hugepages"}, {"name": "run", "mountPath": "/run/hugeprobe"}])
        );
        assert_eq!(
            container["env"],
            json!([{"name": "POD_UID", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}}])
        );
        assert_eq!(container["terminationMessagePolicy"], "File");
    }
}

#[test]
fn it_is_restricted_by_pod_security() {
    let spec = &pod("", &asked())["spec"];
    let ids = json!({"runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532, "runAsNonRoot": true,
                     "seccompProfile": {"type": "RuntimeDefault"}});
    assert_eq!(spec["securityContext"], ids);
    for container in spec["containers"].as_array().unwrap() {
        assert_eq!(
            container["securityContext"],
            json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
                   "runAsUser": 65532, "runAsGroup": 65532, "capabilities": {"drop": ["ALL"]},
                   "seccompProfile": {"type": "RuntimeDefault"}})
        );
    }
    for host in ["hostNetwork", "hostPID", "hostIPC", "hostUsers", "initContainers"] {
        assert_eq!(spec.get(host), None, "{host}");
    }
}

#[test]
fn it_has_a_user_namespace_of_its_own_if_the_workload_has() {
    let config = Config::parse(r#"{"probe": {"image": "x", "hostUsers": false}}"#).unwrap();
    assert_eq!(pod_of(&config, &asked())["spec"]["hostUsers"], false);
}

#[test]
fn on_openshift_the_ids_are_left_to_the_cluster() {
    let mut config =
        Config::parse(r#"{"probe": {"image": "x", "runAsUser": null, "runAsGroup": null, "fsGroup": null}}"#)
            .unwrap();
    config.probe.image_pull_secrets = vec!["pull".to_owned()];
    config.probe.runtime_class_name = Some("kata".to_owned());
    let spec = &pod_of(&config, &asked())["spec"];
    assert_eq!(
        spec["securityContext"],
        json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}})
    );
    assert_eq!(spec["containers"][0]["securityContext"].get("runAsUser"), None);
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "pull"}]));
    assert_eq!(spec["runtimeClassName"], "kata");
}

#[test]
fn the_privileged_profile_may_bind_and_lock_and_no_more() {
    let spec = &pod(r#", "profile": "privileged", "workloadSeccomp": "RuntimeDefault""#, &asked())["spec"];
    let container = &spec["containers"][0];
    assert_eq!(
        container["securityContext"]["capabilities"],
        json!({"drop": ["ALL"], "add": ["SYS_NICE", "IPC_LOCK"]})
    );
    assert_eq!(container["securityContext"]["runAsUser"], 0);
    assert_eq!(container["securityContext"].get("privileged"), None);
    assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "Unconfined");
    assert!(
        !container["args"].as_array().unwrap().contains(&json!("--judge-syscalls")),
        "it runs under another profile"
    );
}

#[test]
fn the_nodes_vswitch_is_seen_by_the_frontend_alone() {
    for (listen, read_only, args) in
        [(false, json!(true), "--peer /peer/vhu0"), (true, Value::Null, "--peer /peer/vhu0 --peer-listen")]
    {
        let peer = json!({"hostPath": "/run/openvswitch/vhu0", "listen": listen});
        let spec = &pod(&format!(r#", "profile": "privileged", "peer": {peer}"#), &asked())["spec"];
        assert_eq!(
            spec["volumes"][2],
            json!({"name": "peer", "hostPath": {"path": "/run/openvswitch", "type": "Directory"}})
        );
        let [frontend, backend] = [0, 1].map(|side| &spec["containers"][side]);
        let mount = &frontend["volumeMounts"][2];
        assert_eq!((&mount["name"], &mount["mountPath"]), (&json!("peer"), &json!("/peer")));
        assert_eq!(mount.get("readOnly").cloned().unwrap_or_default(), read_only);
        assert_eq!(backend["volumeMounts"].as_array().unwrap().len(), 2);
        for side in [frontend, backend] {
            let words: Vec<_> =
                side["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
            assert!(words.join(" ").ends_with(args), "{words:?}: both have the same plan");
        }
    }
}

#[test]
fn claims_are_those_of_both_containers_and_the_vswitch_may_be_behind_one() {
    let claim = r#"{"name": "vhost", "resourceClaimTemplateName": "port"}"#;
    let peer = r#"{"claim": {"name": "vhost", "request": "r", "driver": "d.example.com"}, "listen": true}"#;
    let config = format!(r#"{{"probe": {{"image": "x", "resourceClaims": [{claim}]}}, "peer": {peer}}}"#);
    let spec = &pod_of(&Config::parse(&config).unwrap(), &asked())["spec"];
    assert_eq!(spec["resourceClaims"], json!([{"name": "vhost", "resourceClaimTemplateName": "port"}]));
    assert_eq!(spec["volumes"].as_array().unwrap().len(), 2, "the driver mounts the socket");
    let args = "--peer /var/run/kubernetes.io/dra-device-attributes/resourceclaimtemplates/vhost/r/\
                d.example.com-metadata.json --peer-listen";
    for container in spec["containers"].as_array().unwrap() {
        assert_eq!(container["resources"]["claims"], json!([{"name": "vhost"}]));
        assert_eq!(container["volumeMounts"].as_array().unwrap().len(), 2);
        let words: Vec<_> =
            container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        assert!(words.join(" ").ends_with(args), "{words:?}");
    }
    let without = pod("", &asked());
    assert_eq!(without["spec"].get("resourceClaims"), None);
    assert_eq!(without["spec"]["containers"][0]["resources"].get("claims"), None);
}

#[test]
fn needs_are_the_frontends_to_pay_and_seccomp_is_judged_where_it_is_the_same() {
    let asked = Asked { need: vec!["2Mi=8".parse().unwrap(), "2Mi=2@numa0".parse().unwrap()], ..asked() };
    let pod = pod(r#", "workloadSeccomp": "RuntimeDefault", "workload": "qemu""#, &asked);
    let containers = pod["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers[0]["resources"]["limits"]["hugepages-2Mi"], "20Mi");
    assert_eq!(containers[1]["resources"]["limits"]["hugepages-2Mi"], "8Mi");
    let args = containers[1]["args"].to_string();
    assert!(args.contains(r#""--workload","qemu""#), "{args}");
    assert!(args.ends_with(r#""--need","2Mi=8","--need","2Mi=2@numa0","--judge-syscalls"]"#), "{args}");
}

/// With cgroup v2 mounted with `memory_hugetlb_accounting`, a container with a memory limit of 32Mi cannot get a page
/// of 1Gi.
#[test]
fn pages_that_count_against_memory_are_added_to_its_limit() {
    let asked = Asked { need: vec!["2Mi=8".parse().unwrap()], memory_pays: true, ..asked() };
    for (memory, frontend, backend) in
        [("32Mi", "48Mi", "40Mi"), ("1G", "1016777216", "1008388608"), ("1e3", "1e3", "1e3")]
    {
        let mut config = Config::parse(r#"{"probe": {"image": "x"}}"#).unwrap();
        config.probe.memory = memory.to_owned();
        let pod = pod_of(&config, &asked);
        for (side, expected) in [(0, frontend), (1, backend)] {
            let resources = &pod["spec"]["containers"][side]["resources"];
            assert_eq!(resources["limits"]["memory"], expected, "{memory}");
            assert_eq!(resources["limits"], resources["requests"]);
        }
    }
}

#[test]
fn labels_annotations_and_selinux_options_are_those_of_the_configuration() {
    let config = Config::parse(
        r#"{"probe": {"image": "x", "labels": {"team": "nfv", "hugeprobe.io/node": "node-b"},
            "annotations": {"sidecar.istio.io/inject": "false"}, "seLinuxOptions": {"type": "spc_t"}}}"#,
    )
    .unwrap();
    let pod = pod_of(&config, &asked());
    assert_eq!(pod["metadata"]["labels"]["team"], "nfv");
    assert_eq!(pod["metadata"]["labels"]["hugeprobe.io/node"], "node-a", "its own labels stay");
    assert_eq!(pod["metadata"]["annotations"], json!({"sidecar.istio.io/inject": "false"}));
    assert_eq!(pod["spec"]["securityContext"]["seLinuxOptions"], json!({"type": "spc_t"}));
}
