//! The page of `-o html` in Chromium: it fits a telephone and a wide screen, in light and in dark, asks for nothing but
//! itself, logs no error, and is printed unfolded. The dashboard of the chart has data in every panel. Writes the pictures of
//! docs/pictures. `make pictures` runs this.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test states its expectation by panicking"
)]

mod browser;
mod dashboard;
mod day;
#[path = "../agent/kubelet.rs"]
#[allow(dead_code, reason = "the tests of the agent use more of it")]
mod kubelet;
#[path = "../render/samples/mod.rs"]
#[allow(dead_code, reason = "the tests of the other formats use more of them")]
mod samples;
#[path = "../agent/stage.rs"]
#[allow(dead_code, reason = "the tests of the agent use more of it")]
mod stage;
#[path = "../agent/world/mod.rs"]
#[allow(dead_code, reason = "the tests of the agent use more of it")]
mod world;

use std::path::Path;

use hugeprobe::render::{Format, Style, render};

use browser::{Browser, View};

/// The largest picture in bytes, so that a clone stays small.
const LARGEST: usize = 150 << 10;

/// Each view, and the height of its picture: the beginning of the page.
const VIEWS: [(View, u32); 4] = [
    (View { width: 360, dark: false }, 1400),
    (View { width: 360, dark: true }, 1400),
    (View { width: 1440, dark: false }, 1100),
    (View { width: 1440, dark: true }, 1100),
];

#[test]
#[ignore = "needs chromium: make pictures"]
fn the_page_fits_every_screen_and_loads_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let mut browser = Browser::start(scratch.path());
    for (name, report) in samples::all() {
        let file = scratch.path().join(format!("{name}.html"));
        let mut page = Vec::new();
        render(&report, Format::Html, &mut page, Style::default()).unwrap();
        std::fs::write(&file, page).unwrap();
        let url = format!("file://{}", file.display());
        for (view, height) in VIEWS {
            let seen = browser.open(&url, view);
            assert_eq!(seen.requests, [url.as_str()], "{name} {view:?}");
            assert_eq!(seen.messages, [""; 0], "{name} {view:?}");
            assert_eq!(seen.width, view.width, "{name} {view:?} is wider than the screen: {}", seen.widest);
            let ground = if view.dark { "rgb(20, 24, 28)" } else { "rgb(255, 255, 255)" };
            assert_eq!(seen.ground, ground, "{name} {view:?}");
            if name == "busy" {
                let scheme = if view.dark { "dark" } else { "light" };
                let clip = [0.0, 0.0, f64::from(view.width), f64::from(height)];
                keep(&format!("page-{}-{scheme}", view.width), &browser.picture(clip), LARGEST);
                if view.width == 1440 && !view.dark {
                    let clip = browser.place_of("figure:has(.exchange)");
                    keep("exchange", &browser.picture(clip), LARGEST);
                }
            }
            assert_eq!(browser.folded_in_print(), [""; 0], "{name} {view:?}");
        }
    }
}

fn keep(name: &str, picture: &[u8], largest: usize) {
    assert!(picture.len() < largest, "{name}: {} bytes", picture.len());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/pictures/{name}.png"));
    std::fs::write(path, picture).unwrap();
}

/// The test's own eyes: each fault that it looks for is seen.
#[test]
#[ignore = "needs chromium: make pictures"]
fn a_page_that_is_wrong_is_seen_to_be() {
    let scratch = tempfile::tempdir().unwrap();
    let mut browser = Browser::start(scratch.path());
    let mut open = |body: &str| {
        let file = scratch.path().join("wrong.html");
        std::fs::write(&file, format!("<!doctype html><title>t</title><link rel=icon href='data:,'>{body}"))
            .unwrap();
        browser.open(&format!("file://{}", file.display()), View { width: 360, dark: false })
    };
    let seen = open("<p>well");
    assert!(seen.requests.len() == 1 && seen.messages.is_empty() && seen.width == 360, "{seen:?}");
    assert!(open("<div style='width: 500px'>wide</div>").width > 360);
    assert_eq!(open("<img src='other.png'>").requests.len(), 2);
    assert_eq!(open("<script>console.error('a')</script>").messages, ["a"]);
    assert_eq!(open("<script>throw new Error('b')</script>").messages.len(), 1);
    open("<details><summary>s</summary><p>folded</details>");
    assert_eq!(browser.folded_in_print(), ["sfolded"]);
}
