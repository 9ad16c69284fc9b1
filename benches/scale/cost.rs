//! What a scenario cost, by the API server's audit log and etcd's write-ahead log, and whether that is within the aims.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

/// The user names of agents begin with this.
const AGENT: &str = "system:serviceaccount:hugeprobe:hugeprobe-agent";
/// The user agents of the scheduler and of kwok begin with these.
const SCHEDULER: &str = "kube-scheduler/";
const KWOK: &str = "kwok/";
/// The aims: writes of Nodes in a second at [`AIMED_AT`] nodes, writes in the second with the most, and the time until every
/// Node shows what it should.
const STEADY: f64 = 3.0;
const AIMED_AT: f64 = 5000.0;
const BURST: u64 = 100;
const CONVERGED: Duration = Duration::from_secs(600);
/// `renewMinutes` of the chart, in seconds.
const RENEW: f64 = 30.0 * 60.0;

/// A scenario.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    pub(crate) took: Duration,
    /// The time for which everything else here was counted. `took` may begin later.
    pub(crate) span: Duration,
    /// What etcd wrote to its log, in bytes.
    pub(crate) bytes: u64,
    /// The texts of the events of type Warning about Nodes.
    pub(crate) warnings: Vec<String>,
    /// The most probe pods at once.
    pub(crate) most_pods: usize,
    /// Nodes whose verdict was taken away or changed.
    pub(crate) changed: usize,
    /// Requests of agents by verb, resource and status, such as `patch nodes/status 200`.
    pub(crate) requests: BTreeMap<String, u64>,
    /// Writes of agents that were accepted, in each second.
    pub(crate) writes: BTreeMap<i64, u64>,
    /// How long requests of agents took, except watches, in milliseconds.
    pub(crate) latencies: Vec<f64>,
    /// Writes of pods and events by the scheduler and kwok, of Nodes and Leases by kwok, and of the quota's status by the API
    /// server and the controller manager.
    pub(crate) kubelet: u64,
    pub(crate) beats: u64,
    pub(crate) quota: u64,
    /// The CPU time of kwok and of the API server, in seconds.
    pub(crate) cpu: [f64; 2],
}

impl Cost {
    /// Adds the lines of the audit log from `offset` on, and moves `offset` to their end.
    pub(crate) fn read(&mut self, offset: &mut u64) {
        let mut file = BufReader::new(File::open("audit.log").unwrap());
        file.seek(SeekFrom::Start(*offset)).unwrap();
        let mut text = String::new();
        while file.read_line(&mut text).unwrap() > 0 && text.ends_with('\n') {
            *offset += text.len() as u64;
            self.add(&serde_json::from_str(&text).unwrap());
            text.clear();
        }
    }

    fn add(&mut self, line: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (verb, object) = (text(&line["verb"]), &line["objectRef"]);
        let code = line["responseStatus"]["code"].as_u64().unwrap_or(0);
        let wrote = !["get", "list", "watch"].contains(&verb.as_str()) && (200..300).contains(&code);
        // The cleanup is sent by an administrator here, and by an account of its own in a cluster.
        let wrote_as =
            |name| wrote && line["userAgent"].as_str().is_some_and(|agent| agent.starts_with(name));
        let is_cleanup = wrote_as("hugeprobe/");
        if line["user"]["username"] != AGENT && !is_cleanup {
            // Neither the Leases of the API server nor what the bench prepares is counted.
            let is_of_pod = ["pods", "events"].iter().any(|kind| object["resource"] == *kind);
            self.kubelet += u64::from(is_of_pod && (wrote_as(SCHEDULER) || wrote_as(KWOK)));
            self.beats += u64::from(!is_of_pod && wrote_as(KWOK));
            self.quota += u64::from(wrote && object["resource"] == "resourcequotas");
            return;
        }
        let part = object["subresource"].as_str().map_or(String::new(), |part| format!("/{part}"));
        let what = format!("{verb} {}{part} {code}", text(&object["resource"]));
        *self.requests.entry(what).or_default() += 1;
        let time = |key: &str| text(&line[key]).parse::<Timestamp>().unwrap();
        let received = time("requestReceivedTimestamp");
        *self.writes.entry(received.as_second()).or_default() += u64::from(wrote);
        if verb != "watch" {
            let took = time("stageTimestamp").duration_since(received);
            self.latencies.push(took.as_secs_f64() * 1000.0);
        }
    }

    /// Requests of agents that begin with one of `verbs` and have a status that begins with `code`.
    fn of(&self, verbs: &[&str], code: &str) -> u64 {
        let counts = |what: &str| verbs.iter().any(|verb| what.starts_with(verb)) && what.contains(code);
        self.requests.iter().filter(|(what, _)| counts(what)).map(|(_, count)| count).sum()
    }

    /// Prints a line of the table, and a line for each kind of request that was not answered as expected and for each aim that
    /// is missed. Returns whether none is. `changed` verdicts and `warnings` are right.
    pub(crate) fn print(&mut self, name: &str, changed: usize, warnings: usize) -> bool {
        self.latencies.sort_by(f64::total_cmp);
        let p99 = self.latencies.get(self.latencies.len() * 99 / 100).copied().unwrap_or(0.0);
        let (seconds, burst) = (self.took.as_secs(), self.writes.values().copied().max().unwrap_or(0));
        println!(
            "{name:20}{seconds:>6}{:>6}{:>6}{:>7}{:>8}{:>6}{:>6}{burst:>6}{p99:>7.0} |{:>8}{:>6}{:>6}{:>7.1}{:>6}{:>6}{:>9}{:>7.0}{:>5.0}",
            self.of(&["patch nodes/status"], " 200"),
            self.of(&["create pods", "delete pods"], " 20"),
            self.of(&["create events"], " 201"),
            self.of(&[""], " 403"),
            self.of(&["get ", "list "], ""),
            self.of(&["watch "], ""),
            self.kubelet,
            self.beats,
            self.quota,
            self.bytes as f64 / 1e6,
            self.most_pods,
            self.warnings.len(),
            self.changed,
            self.cpu[0],
            self.cpu[1],
        );
        let odd = |what: &&String| !["200", "201", "403"].iter().any(|code| what.ends_with(code));
        for (what, count) in self.requests.iter().filter(|(what, _)| odd(what)) {
            println!("    of them {count}: {what}");
        }
        let missed = [
            (burst > BURST).then(|| format!("{burst} writes in a second, aim {BURST}")),
            (self.took > CONVERGED).then(|| format!("{seconds} s, aim {}", CONVERGED.as_secs())),
            (self.changed != changed).then(|| format!("{} verdicts changed, aim {changed}", self.changed)),
            (self.warnings.len() != warnings).then(|| {
                format!("{} warnings, aim {warnings}: {:?}", self.warnings.len(), self.warnings.last())
            }),
        ];
        missed.iter().flatten().for_each(|text| println!("    NOT MET: {text}"));
        missed.iter().all(Option::is_none)
    }

    /// Prints the rates in steady state if `nodes` agents were renewed once each, without what `nothing` cost in its time: the
    /// heartbeats. Returns whether the aim is met.
    pub(crate) fn print_rates(&self, nodes: usize, nothing: &Self) -> bool {
        let each = |count: u64| count as f64 / nodes as f64 / RENEW;
        let of_node = each(self.of(&["patch nodes/status"], " 200"));
        let all = of_node + each(self.of(&["create", "delete"], " 20") + self.kubelet + self.quota);
        for nodes in [AIMED_AT, 15_000.0] {
            let of_heartbeats = nothing.bytes as f64 * self.span.as_secs_f64() / nothing.span.as_secs_f64();
            let bytes = each(self.bytes.saturating_sub(of_heartbeats as u64)) * nodes / 1e3;
            println!(
                "    {nodes} nodes: {:.2} writes/s of Nodes, {:.1} of all kinds, {bytes:.0} kB/s in etcd",
                of_node * nodes,
                all * nodes
            );
        }
        of_node * AIMED_AT <= STEADY
    }
}

/// The head of the table.
pub(crate) const HEAD: &str = "\
\x20                               of agents                                     | of others
                         s  Node   pod  event refused reads watch writes p99ms | kubelet beats quota     MB  pods  warn verdicts   CPU s of
                           apply  +, -                             max/s        |                      etcd  most  ings  changed   kwok  API";

/// The bytes that etcd has written to its log.
pub(crate) fn etcd_bytes() -> u64 {
    let mut stream = TcpStream::connect("127.0.0.1:2379").unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("etcd_disk_wal_write_bytes_total "));
    line.map_or(0, |number| number.parse::<f64>().unwrap() as u64)
}
