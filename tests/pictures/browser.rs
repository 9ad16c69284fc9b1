//! Chromium without a window, driven by the DevTools protocol over a pipe: JSON, each message ended by a zero byte.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A screen, and the colours that its owner prefers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) width: u32,
    pub(crate) dark: bool,
}

/// What the browser did with a page.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The address of each request.
    pub(crate) requests: Vec<String>,
    /// Errors and messages of the console.
    pub(crate) messages: Vec<String>,
    /// The width of the content, in pixels. It is that of the screen, unless something sticks out.
    pub(crate) width: u32,
    /// The element that reaches furthest to the right.
    pub(crate) widest: String,
    /// The colour behind the text.
    pub(crate) ground: String,
}

pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Value,
    next: u64,
    /// The events that came before an answer.
    events: Vec<Value>,
}

/// The tag and class of the element that reaches furthest to the right.
const WIDEST: &str = "(() => { let most = [0, '']; for (const e of document.body.querySelectorAll('*')) { \
    const right = e.getBoundingClientRect().right; \
    if (right > most[0]) most = [right, e.outerHTML.slice(0, 80)]; } return most.join(' '); })()";

impl Browser {
    /// Starts Chromium with an empty profile in `scratch`. Its pipe has the descriptors 3 and 4.
    pub(crate) fn start(scratch: &Path) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "chromium"])
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
                "--remote-debugging-pipe",
            ])
            .args(["--disable-background-networking", "--no-first-run", "--force-color-profile=srgb"])
            .arg(format!("--user-data-dir={}", scratch.join("profile").display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Self { child, to, from, session: Value::Null, next: 0, events: Vec::new() };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attached =
            browser.call("Target.attachToTarget", &json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = attached["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// Opens a page and returns what happened.
    pub(crate) fn open(&mut self, url: &str, view: View) -> Seen {
        let scheme = if view.dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"media": "", "features": features}));
        self.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": view.width, "height": 800, "deviceScaleFactor": 1, "mobile": false}),
        );
        self.events.clear();
        self.call("Page.navigate", &json!({"url": url}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.read();
            self.events.push(event);
        }
        let width = self.evaluate("document.documentElement.scrollWidth");
        let widest = self.evaluate(WIDEST);
        let ground = self.evaluate("getComputedStyle(document.body).backgroundColor");
        Seen {
            requests: self.texts_of("Network.requestWillBeSent", "/params/request/url"),
            messages: self.messages(),
            width: width.as_u64().unwrap().try_into().unwrap(),
            widest: widest.as_str().unwrap_or_default().to_owned(),
            ground: ground.as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Waits until an expression is true, for a minute at most.
    pub(crate) fn wait_for(&mut self, expression: &str) {
        let begin = Instant::now();
        while self.evaluate(expression) != json!(true) {
            assert!(begin.elapsed() < Duration::from_secs(60), "{expression}: {:#?}", self.messages());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Returns the errors and the messages of the console since the page was opened.
    pub(crate) fn messages(&self) -> Vec<String> {
        let mut messages = self.texts_of("Runtime.consoleAPICalled", "/params/args/0/value");
        messages.extend(self.texts_of("Runtime.exceptionThrown", "/params/exceptionDetails/text"));
        messages.extend(self.texts_of("Log.entryAdded", "/params/entry/text"));
        messages
    }

    fn texts_of(&self, method: &str, pointer: &str) -> Vec<String> {
        let events = self.events.iter().filter(|event| event["method"] == method);
        events
            .map(|event| event.pointer(pointer).unwrap_or(event).as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Returns the height of the page in pixels.
    pub(crate) fn height(&mut self) -> f64 {
        self.evaluate("document.documentElement.scrollHeight").as_f64().unwrap()
    }

    /// Returns the beginning of each part that would be folded on paper. Leaves the page as it is printed.
    pub(crate) fn folded_in_print(&mut self) -> Vec<String> {
        const FOLDED: &str = "[...document.querySelectorAll('details')].filter(d => \
            d.offsetHeight - d.firstElementChild.offsetHeight < 1).map(d => d.textContent.slice(0, 60)).join('\\n')";
        self.call("Emulation.setEmulatedMedia", &json!({"media": "print"}));
        let folded = self.evaluate(FOLDED);
        folded.as_str().unwrap().lines().map(str::to_owned).collect()
    }

    /// Returns where the first element is that a selector finds: x, y, width and height.
    pub(crate) fn place_of(&mut self, selector: &str) -> [f64; 4] {
        let place = format!(
            "(r => [r.x, r.y, r.width, r.height].join(' '))(document.querySelector({selector:?}).getBoundingClientRect())"
        );
        let place = self.evaluate(&place);
        let numbers: Vec<f64> =
            place.as_str().unwrap().split(' ').map(|number| number.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    }

    /// Returns a PNG of a part of the page.
    pub(crate) fn picture(&mut self, [x, y, width, height]: [f64; 4]) -> Vec<u8> {
        let clip = json!({"x": x, "y": y, "width": width, "height": height, "scale": 1});
        let shot = self.call(
            "Page.captureScreenshot",
            &json!({"format": "png", "clip": clip, "captureBeyondViewport": true}),
        );
        let mut decode =
            Command::new("base64").arg("-d").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = decode.stdin.take().unwrap();
        let text = shot["data"].as_str().unwrap().to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
        let picture = decode.wait_with_output().unwrap().stdout;
        writer.join().unwrap().unwrap();
        picture
    }

    fn evaluate(&mut self, expression: &str) -> Value {
        self.call("Runtime.evaluate", &json!({"expression": expression}))["result"]["value"].clone()
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": parameters});
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        loop {
            let answer = self.read();
            if answer["id"] == self.next {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn read(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).unwrap();
        assert_eq!(bytes.pop(), Some(0), "chromium ended");
        serde_json::from_slice(&bytes).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends when its pipe does; its helpers end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
