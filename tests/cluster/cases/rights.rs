//! The agent's token, used by hand: what it may do, and that it may do no more.

use serde_json::{Value, json};

use super::context::node::Node;
use super::context::{NAMESPACE, NODE, chart, kubectl, script, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] =
    &[case("the agent's token writes its own node's verdict and nothing else", token)];

/// The token of an agent, with no certificate of an administrator beside it.
struct Token {
    secret: String,
    config: tempfile::NamedTempFile,
}

const SERVER: &str = "https://192.168.77.1:443";

fn token() {
    let agent = chart::agent();
    let token = Token::of(&agent);
    // Another node, so that there is one to attack.
    let other =
        kubectl::apply_for_now(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-b"}}));

    let status = |node: &str, patch: Value| token.patch(node, "merge-patch", &patch);
    let annotation = |key: &str, value: &str| json!({"metadata": {"annotations": {key: value}}});

    // The control: without it, denied might mean broken.
    let before = Node::read().published();
    allowed("its own prefix on its own node", status(NODE, annotation("hugeprobe.io/summary", "by hand")));
    wait::until("the agent puts it right", 60, || {
        let now = Node::read().published();
        if now.annotation("summary") == before.annotation("summary") { Ok(()) } else { Err(now) }
    });

    denied("another node", status("node-b", annotation("hugeprobe.io/summary", "by hand")));
    let recheck = annotation("hugeprobe.io/recheck", "2026-11-30T05:00:00Z");
    denied("a request for another probe in the name of an operator", status(NODE, recheck.clone()));
    denied("the same on another node", status("node-b", recheck));
    denied("another prefix", status(NODE, annotation("example.com/verdict", "pass")));
    denied(
        "another label",
        status(NODE, json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "b"}}})),
    );
    denied(
        "a prefix that only begins alike",
        status(NODE, annotation("hugeprobe.io.example.com/verdict", "pass")),
    );
    denied("capacity", status(NODE, json!({"status": {"capacity": {"hugepages-1Gi": "64Gi"}}})));
    denied("allocatable", status(NODE, json!({"status": {"allocatable": {"hugepages-1Gi": "64Gi"}}})));
    denied(
        "an address",
        status(NODE, json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.9.9.9"}]}})),
    );
    denied("an extended resource", status(NODE, json!({"status": {"capacity": {"example.com/gpu": "8"}}})));
    denied("boot id of the node", status(NODE, json!({"status": {"nodeInfo": {"bootID": "another"}}})));
    let condition = |kind: &str| {
        json!({"status": {"conditions": [{"type": kind, "status": "False", "reason": "ByHand", "message": "",
        "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
    };
    let strategic = |patch: Value| token.patch(NODE, "strategic-merge-patch", &patch);
    denied("another condition", strategic(condition("Ready")));
    denied("a condition of its own making", strategic(condition("hugeprobe.io/Other")));
    let many = |key: fn(usize) -> String, value: &str| -> Value {
        (0..200).map(|number| (format!("hugeprobe.io/{}", key(number)), json!(value))).collect()
    };
    denied(
        "annotations without end",
        status(NODE, json!({"metadata": {"annotations": many(|number| format!("a{number}"), "x")}})),
    );
    denied(
        "an annotation of a kilobyte",
        status(NODE, annotation("hugeprobe.io/summary", &"x".repeat(1000))),
    );
    denied(
        "labels without end",
        status(
            NODE,
            json!({"metadata": {"labels": many(|number| format!("hugepages-{}Mi", number + 1), "pass")}}),
        ),
    );
    denied(
        "a label for no page size",
        status(NODE, json!({"metadata": {"labels": {"hugeprobe.io/hugepages-of-mine": "pass"}}})),
    );
    let mut long = condition("hugeprobe.io/HugepagesReady");
    long["status"]["conditions"][0]["message"] = json!("x".repeat(5000));
    denied("its condition with a message without end", strategic(long));
    denied("a finalizer", status(NODE, json!({"metadata": {"finalizers": ["hugeprobe.io/stay"]}})));
    denied(
        "an owner",
        status(
            NODE,
            json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "node-b", "uid": "1"}]}}),
        ),
    );

    denied("a taint", token.kubectl(&["taint", "node", NODE, "hugeprobe.io/x=y:NoSchedule"]));
    denied(
        "a cordon",
        token.kubectl(&["patch", "node", NODE, "--patch", "{\"spec\": {\"unschedulable\": true}}"]),
    );
    // Another value than the Node has: kubectl 1.37 sends no request for a label that is there already.
    denied(
        "a label by patch of the node",
        token.kubectl(&["label", "node", NODE, "hugeprobe.io/verdict=fail", "--overwrite"]),
    );
    denied("deletion of the node", token.kubectl(&["delete", "node", "node-b"]));

    pods(&token, &agent);
    events(&token);
    for (what, arguments) in [
        ("secrets", &["get", "secrets", "--all-namespaces"][..]),
        ("pods of other namespaces", &["get", "pods", "--namespace", "kube-system"]),
        ("a token", &["create", "token", "default", "--namespace", NAMESPACE]),
        (
            "exec",
            &["exec", "--namespace", NAMESPACE, chart::meta(&agent, "name"), "--", "/hugeprobe", "--version"],
        ),
    ] {
        denied(what, token.kubectl(arguments));
    }
    drop(other);
}

fn pods(token: &Token, agent: &Value) {
    let name = chart::meta(agent, "name");
    denied("deletion of the agent's pod", token.kubectl(&["delete", "pod", name, "--namespace", NAMESPACE]));
    let pod = |spec: Value| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "by-hand", "namespace": NAMESPACE,
        "labels": {"app.kubernetes.io/name": "hugeprobe", "app.kubernetes.io/component": "probe"}}, "spec": spec})
    };
    let restricted = json!({"runAsNonRoot": true, "runAsUser": 65532, "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}});
    let shapes = [
        (
            "a pod of another image",
            json!({"containers": [{"name": "a", "image": "localhost/workload:1", "securityContext": restricted}]}),
        ),
        (
            "a pod that is a shell",
            json!({"containers": [{"name": "a", "image": "busybox", "command": ["sh"], "securityContext": restricted}]}),
        ),
        (
            "a pod put on another node by name",
            json!({"nodeName": "node-b", "containers": [{"name": "a", "image": "localhost/workload:1", "securityContext": restricted}]}),
        ),
        (
            "a pod with the agent's account",
            json!({"serviceAccountName": agent["spec"]["serviceAccountName"], "containers": [{"name": "a", "image": "localhost/workload:1", "securityContext": restricted}]}),
        ),
    ];
    for (what, spec) in shapes {
        denied(what, token.create(&pod(spec)));
    }
    // Another pod's deletion, in the one namespace where the token may delete.
    let bystander = kubectl::apply_for_now(&pod(json!({"terminationGracePeriodSeconds": 0,
        "containers": [{"name": "a", "image": "localhost/workload:1", "securityContext": restricted}]})));
    denied(
        "another pod's deletion",
        token.kubectl(&["delete", "pod", "by-hand", "--namespace", NAMESPACE, "--wait=false"]),
    );
    drop(bystander);
}

fn events(token: &Token) {
    let uid = Node::read().uid().to_owned();
    let event = |name: &str, node: &str, uid: &str| {
        json!({"apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": name, "namespace": "default"}, "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal",
        "reason": "HugepagesReady", "action": "Judge", "note": "by hand",
        "reportingController": "hugeprobe.io/agent", "reportingInstance": NODE,
        "regarding": {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid}})
    };
    denied("an event about another node", token.create(&event("by-hand.1", "node-b", "1")));
    let mut about_a_pod = event("by-hand.2", NODE, &uid);
    about_a_pod["regarding"]["kind"] = json!("Pod");
    denied("an event about a pod", token.create(&about_a_pod));
}

fn allowed(what: &str, result: Result<String, String>) {
    match result {
        Ok(_) => println!("    allowed  {what}"),
        Err(error) => panic!("{what}: should be allowed: {error}"),
    }
}

fn denied(what: &str, result: Result<String, String>) {
    match result {
        Err(error) if error.contains("orbidden") || error.contains("denied") => {
            let said = error.lines().last().unwrap_or_default();
            println!("    denied   {what}: {}", said.chars().take(180).collect::<String>());
        }
        Err(error) => panic!("{what}: refused, but for another reason: {error}"),
        Ok(text) => panic!("{what}: allowed: {text}"),
    }
}

// === impl Token ===

impl Token {
    fn of(agent: &Value) -> Self {
        let account = agent["spec"]["serviceAccountName"].as_str().unwrap();
        let token = kubectl::must(&[
            "create",
            "token",
            account,
            "--namespace",
            NAMESPACE,
            "--bound-object-kind",
            "Pod",
            "--bound-object-name",
            chart::meta(agent, "name"),
            "--bound-object-uid",
            chart::meta(agent, "uid"),
        ]);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "by-hand",
            "clusters": [{"name": "cluster", "cluster": {"server": SERVER, "certificate-authority": super::context::left("state/keys/ca.crt")}}],
            "users": [{"name": "agent", "user": {"token": token.trim()}}],
            "contexts": [{"name": "by-hand", "context": {"cluster": "cluster", "user": "agent"}}],
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), config.to_string()).unwrap();
        let token = Self { secret: token.trim().to_owned(), config: file };
        println!("    {}", token.kubectl(&["auth", "whoami"]).unwrap_or_default().replace('\n', "\n    "));
        token
    }

    /// PATCH on the status of a node, without the GET that kubectl puts before: the token has no use for that right.
    fn patch(&self, node: &str, kind: &str, body: &Value) -> Result<String, String> {
        let authority = super::context::left("state/keys/ca.crt");
        let address = format!("{SERVER}/api/v1/nodes/{node}/status?fieldManager=hugeprobe");
        let answer = kubectl::finish(
            script("inside")
                .args([
                    "curl",
                    "--silent",
                    "--show-error",
                    "--request",
                    "PATCH",
                    "--data-binary",
                    "@-",
                    "--cacert",
                ])
                .arg(authority)
                .args(["--header", &format!("Authorization: Bearer {}", self.secret)])
                .args(["--header", &format!("Content-Type: application/{kind}+json"), &address]),
            &body.to_string(),
        )?;
        let object: Value = serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))?;
        if object["kind"] == "Node" {
            Ok(answer)
        } else {
            Err(object["message"].as_str().unwrap_or(&answer).to_owned())
        }
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        kubectl::run(&[&["--kubeconfig", self.config.path().to_str().unwrap()], arguments].concat())
    }

    fn create(&self, object: &Value) -> Result<String, String> {
        kubectl::create(object, &["--kubeconfig", self.config.path().to_str().unwrap()])
    }
}
