//! The page of `-o html`: letter by letter for a few samples, and, for reports of any kind, what a browser makes of it.

use html5ever::tendril::TendrilSink as _;
use html5ever::{ParseOpts, parse_document, tree_builder::TreeBuilderOpts};
use hugeprobe::domain::report::Report;
use hugeprobe::render::{Format, Style, render};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use proptest::prelude::*;

use super::hostile::any_report;
use super::samples::all;

/// The elements that the page may have. None of them loads or runs anything.
const ELEMENTS: [&str; 48] = [
    "html",
    "head",
    "meta",
    "link",
    "title",
    "style",
    "body",
    "header",
    "main",
    "section",
    "article",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "p",
    "ul",
    "ol",
    "li",
    "dl",
    "dt",
    "dd",
    "div",
    "span",
    "strong",
    "a",
    "code",
    "pre",
    "details",
    "summary",
    "figure",
    "figcaption",
    "table",
    "caption",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "svg",
    "defs",
    "pattern",
    "path",
    "circle",
    "rect",
    "br",
    "em",
];

/// What a browser makes of a page.
#[derive(Default)]
struct Page {
    errors: Vec<String>,
    elements: Vec<String>,
    /// Each attribute, with its value.
    attributes: Vec<(String, String)>,
    /// The text outside the style.
    text: String,
}

fn page(report: &Report) -> String {
    let mut out = Vec::new();
    render(report, Format::Html, &mut out, Style::default()).unwrap();
    String::from_utf8(out).unwrap()
}

fn parsed(text: &str) -> Page {
    let tree_builder = TreeBuilderOpts { exact_errors: true, ..TreeBuilderOpts::default() };
    let dom = parse_document(RcDom::default(), ParseOpts { tree_builder, ..ParseOpts::default() }).one(text);
    let mut page = Page::default();
    page.errors.extend(dom.errors.borrow().iter().map(ToString::to_string));
    look(&dom.document, &mut page);
    page
}

fn look(node: &Handle, page: &mut Page) {
    match &node.data {
        NodeData::Element { name, attrs, .. } => {
            page.elements.push(name.local.to_string());
            let attributes = attrs.borrow();
            page.attributes
                .extend(attributes.iter().map(|one| (one.name.local.to_string(), one.value.to_string())));
            if &*name.local == "style" {
                return;
            }
        }
        NodeData::Text { contents } => page.text.push_str(&contents.borrow()),
        NodeData::Comment { .. } | NodeData::ProcessingInstruction { .. } => {
            panic!("the page has no comments")
        }
        NodeData::Document | NodeData::Doctype { .. } => {}
    }
    node.children.borrow().iter().for_each(|child| look(child, page));
}

#[test]
fn samples_read_as_kept() {
    for (name, report) in all().iter().filter(|(name, _)| ["busy", "fresh_machine", "hostile"].contains(name))
    {
        // One element a line, so that a change is a small difference.
        let text = page(report).replace("><", ">\n<");
        // The style is compared with its file once, and not kept with each page.
        let style = include_str!("../../src/render/html/style.css");
        assert!(text.contains(style), "{name}");
        let text = text.replace(style, "(style.css)");
        super::compare(&format!("tests/render/expected/{name}.html"), &text);
    }
}

#[test]
fn the_page_has_what_a_reader_looks_for() {
    let report = all().into_iter().find(|(name, _)| *name == "busy").unwrap().1;
    let Page { text, .. } = parsed(&page(&report));
    for part in [
        "this cgroup may use 8 of the 64 pages needed",
        "24 of 256 free, 232 used, 0 surplus",
        "128 of 512 free, 384 used, 16 reserved, 32 surplus, 64 surplus allowed",
        "ovs-vswitchd",
        "/sys/fs/cgroup/kubepods.slice/kubepods-pod7.slice/cri-9.scope",
        "16 MiB",
        "the backend cannot map region 1",
        "echo 134217728 > /sys/fs/cgroup",
        "2Mi=64@numa0",
        "2026-01-31T12:00:00Z",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let at = |part: &str| text.find(part).unwrap();
    assert!(at("Verdict and first cause") < at("Request") && at("Request") < at("Pages of the pool"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn no_text_of_a_report_becomes_markup(report in any_report()) {
        let text = page(&report);
        let page = parsed(&text);
        prop_assert_eq!(&page.errors, &Vec::<String>::new(), "{}", text);
        for element in &page.elements {
            prop_assert!(ELEMENTS.contains(&element.as_str()), "<{element}> in {text}");
        }
        for (name, value) in &page.attributes {
            prop_assert!(!name.starts_with("on") && name != "src" && name != "style", "{name} in {text}");
            let is_here = value.starts_with('#') || value == "data:,";
            prop_assert!(name != "href" || is_here, "{value} in {text}");
        }
        for entry in &report.checks {
            prop_assert!(page.text.contains(&entry.id.to_string()) || entry.outcome <= hugeprobe::domain::check::Outcome::Pass, "{}", entry.id);
        }
    }
}
