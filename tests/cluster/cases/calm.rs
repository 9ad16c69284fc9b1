//! Calm and safe: connections to the metrics do not keep the kubelet from the agent.

use serde_json::Value;

use super::context::{chart, script, wait};
use super::{Case, case};

pub(crate) const CASES: &[Case] =
    &[case("idle connections to the metrics do not make the kubelet restart the agent", idle_connections)];

fn idle_connections() {
    let agent = chart::agent();
    let restarts = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap();
    let address = agent["status"]["podIP"].as_str().unwrap().to_owned();
    // Opened again when they are closed: eighty at a time, on both ports, for as long as three liveness probes take.
    let flood = "end=$((SECONDS + 80)); while [ $SECONDS -lt $end ]; do \
                 for i in $(seq 40); do for port in 9595 9596; do exec {fd}<>/dev/tcp/$0/$port && fds+=($fd); done; done; \
                 sleep 4; for fd in ${fds[@]}; do exec {fd}>&-; done; fds=(); done";
    let mut flood = script("inside").args(["bash", "-c", flood, &address]).spawn().unwrap();
    wait::throughout("the agent is ready and is not restarted", 75, || {
        let now = chart::agent();
        let ready = now["status"]["containerStatuses"][0]["ready"] == true;
        if ready && restarts(&now) == restarts(&agent) { Ok(()) } else { Err(now["status"].clone()) }
    });
    chart::page("/metrics").unwrap();
    // It may have ended by itself.
    let _ = flood.kill();
    flood.wait().unwrap();
}
