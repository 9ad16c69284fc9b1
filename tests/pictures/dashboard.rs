//! The chart's dashboard as a picture: a real Prometheus with a day of real agents and the chart's alerts, and Grafana's components in
//! Chromium. Grafana's server is not involved. A panel without data fails.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::browser::{Browser, View};
use super::{day, keep};

/// The largest picture in bytes. It has thin lines, which PNG does not compress as well as text.
const LARGEST: usize = 250 << 10;

/// Prometheus until this goes.
struct Prometheus {
    child: Child,
    url: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn program(name: &str) -> PathBuf {
    root().join("target/alerts").join(name)
}

impl Prometheus {
    /// Starts it on the samples of a day, in `scratch`.
    fn start(scratch: &Path, samples: &str) -> Self {
        let (openmetrics, data) = (scratch.join("day.txt"), scratch.join("data"));
        std::fs::write(&openmetrics, samples).unwrap();
        let made = Command::new(program("promtool"))
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([&openmetrics, &data])
            .output()
            .unwrap();
        assert!(made.status.success(), "promtool: {}", String::from_utf8_lossy(&made.stderr));
        std::fs::write(scratch.join("rules.yaml"), rules()).unwrap();
        let configuration = "global: {evaluation_interval: 1s}\nrule_files: [rules.yaml]\n";
        std::fs::write(scratch.join("prometheus.yaml"), configuration).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", scratch.join("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={address}"))
            // The last sample may be minutes old before the page asks for it.
            .args(["--query.lookback-delta=15m", "--log.level=warn"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, url: format!("http://{address}") }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The alerts of the chart with its default values, except that none waits before it fires: Prometheus has just started.
fn rules() -> String {
    let text = std::fs::read_to_string(root().join("charts/hugeprobe/files/alerts.yaml")).unwrap();
    let busy_hours = 168;
    let text = text.replace("BUSY_SECONDS", &(busy_hours * 3600 * 6 / 7).to_string());
    let lines =
        text.lines().filter(|line| !line.starts_with("  for: ")).map(|line| format!("      {line}\n"));
    format!("groups:\n  - name: hugeprobe\n    rules:\n{}", lines.collect::<String>())
}

#[test]
#[ignore = "needs chromium and what tests/pictures/dashboard/build makes: make pictures"]
fn every_panel_of_the_dashboard_has_data() {
    let scratch = tempfile::tempdir().unwrap();
    // Prometheus accepts no result of a rule that is older than the last sample, so none may lie in the future.
    let begin = Timestamp::now() - Duration::from_secs(60 * u64::from(day::MINUTES));
    let prometheus = Prometheus::start(scratch.path(), &day::record(begin));
    let mut browser = Browser::start(scratch.path());
    let page = root().join("target/pictures/page.html");
    let url = format!("file://{}?prometheus={}", page.display(), prometheus.url);
    for dark in [true, false] {
        let begin = Instant::now();
        loop {
            browser.open(&url, View { width: 1440, dark });
            browser.wait_for("document.title === 'drawn'");
            let messages = browser.messages();
            if messages.is_empty() {
                break;
            }
            // Prometheus answers after some seconds, and evaluates the rules a second later.
            assert!(begin.elapsed() < Duration::from_secs(60), "{messages:#?}");
            std::thread::sleep(Duration::from_secs(2));
        }
        let height = browser.height();
        let picture = browser.picture([0.0, 0.0, 1440.0, height]);
        keep(&format!("dashboard-1440-{}", if dark { "dark" } else { "light" }), &picture, LARGEST);
    }
}
