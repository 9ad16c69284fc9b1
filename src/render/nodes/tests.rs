//! Tests the forms of `nodes`.

use std::collections::BTreeMap;

use super::*;
use hugeprobe_domain::published::{Published, PublishedPool, VerdictState};

const BOOT: &str = "6a1d2c3e-0000-4fff-8abc-0123456789ab";

fn node(name: &str, verdict: Verdict, boot: &str) -> FleetNode {
    let published = Published {
        verdict: Some(verdict),
        boot_id: Some(BOOT.into()),
        checked_at: Some("2026-11-23T05:00:00Z".parse().unwrap()),
        valid_until: Some("2026-11-23T06:00:00Z".parse().unwrap()),
        summary: "2Mi 8/8".into(),
        sizes: BTreeMap::from([("2Mi".parse().unwrap(), verdict)]),
        ..Published::default()
    };
    let state = published.state(boot, now());
    FleetNode { name: name.into(), boot_id: boot.into(), published, state }
}

fn now() -> Timestamp {
    "2026-11-23T05:03:00Z".parse().unwrap()
}

fn fleet() -> Fleet {
    let mut broken = node("node-b", Verdict::Fail, BOOT);
    broken.published.checks.insert(
        ("HP105".parse().unwrap(), Some("1Gi".parse().unwrap())),
        "no free page: 14 of 16 are held\u{1b}[2J by nobody".into(),
    );
    let missing = FleetNode {
        name: "node-d".into(),
        boot_id: BOOT.into(),
        published: Published::default(),
        state: VerdictState::Missing,
    };
    let nodes =
        vec![node("node-a", Verdict::Pass, BOOT), broken, node("node-c", Verdict::Pass, "x"), missing];
    Fleet { at: now(), nodes }
}

const TABLE: View = View::Table(TableView::of(true));

fn shown(fleet: &Fleet, view: View) -> String {
    let mut out = Vec::new();
    render(fleet, view, &mut out, Style::default()).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_table_says_at_a_glance_who_is_well_and_why_the_others_are_not() {
    assert_eq!(
        shown(&fleet(), TABLE),
        "\
NODE    VERDICT  2Mi      CHECKED
node-a  pass     pass     3 min ago
node-b  fail     fail     3 min ago
  1Gi HP105 no free page: 14 of 16 are held\\u{1b}[2J by nobody
node-c  stale    unknown  3 min ago
  the verdict is from another boot
node-d  missing  -        -
  no verdict: no agent runs on the node, or it has not reported yet

verdict  fail     4 nodes: 1 fail, 1 missing, 1 pass, 1 stale
"
    );
}

#[test]
fn a_cause_has_a_line_with_its_count_and_three_nodes() {
    let mut fleet = fleet();
    fleet.nodes.extend(["e", "f", "g"].map(|name| node(&format!("node-{name}"), Verdict::Pass, "x")));
    assert_eq!(
        shown(&fleet, View::Causes { headers: true }),
        "\
COUNT  CAUSE
    4  stale: the verdict is from another boot
       node-c, node-e, node-f and 1 more
    1  HP105 1Gi no free page: 14 of 16 are held\\u{1b}[2J by nobody
       node-b
    1  missing: no verdict: no agent runs on the node, or it has not reported yet
       node-d
"
    );
    assert!(!shown(&fleet, View::Causes { headers: false }).contains("COUNT"));
    let good = Fleet { at: now(), nodes: vec![node("node-a", Verdict::Pass, BOOT)] };
    assert!(shown(&good, View::Causes { headers: true }).starts_with("no node has a cause"));
}

#[test]
fn nodes_that_pass_are_left_out_and_so_are_headers() {
    let failing = fleet().failing();
    assert_eq!(shown(&failing, View::Name), "node/node-b\nnode/node-c\nnode/node-d\n");
    let table = shown(&failing, View::Table(TableView::of(false)));
    assert!(table.starts_with("node-b") && !table.contains("verdict  "), "{table}");
}

#[test]
fn the_short_form_has_a_line_per_node() {
    assert_eq!(
        shown(&fleet(), View::Short),
        "\
all verdict fail
node-a pass 2Mi=pass checked=2026-11-23T05:00:00Z valid=2026-11-23T06:00:00Z
node-b fail 2Mi=fail checked=2026-11-23T05:00:00Z valid=2026-11-23T06:00:00Z
node-c stale 2Mi=unknown checked=2026-11-23T05:00:00Z valid=2026-11-23T06:00:00Z
node-d missing checked=- valid=-
"
    );
}

#[test]
fn json_carries_what_the_verdict_rests_on() {
    let json: serde_json::Value = serde_json::from_str(&shown(&fleet(), View::Json)).unwrap();
    assert_eq!(json["schema"], "hugeprobe.io/nodes/v1");
    assert_eq!(json["verdict"], "fail");
    assert_eq!(json["nodes"][2]["verdict"], "unknown");
    assert_eq!(json["nodes"][2]["standing"], "stale");
    assert_eq!(json["nodes"][2]["bootId"], BOOT);
    assert_eq!(json["nodes"][2]["nodeBootId"], "x");
    assert_eq!(json["nodes"][1]["checks"][0]["id"], "HP105");
    assert!(!shown(&fleet(), View::Json).contains('\u{1b}'));
}

#[test]
fn nobody_there_is_said_in_words() {
    assert_eq!(shown(&Fleet { at: now(), nodes: Vec::new() }, TABLE), "no node matches\n");
}

#[test]
fn ages_are_told_in_the_unit_that_says_most() {
    for (second, text) in [
        (-1, "in the future"),
        (0, "0 s ago"),
        (119, "119 s ago"),
        (120, "2 min ago"),
        (7200, "2 h ago"),
        (200_000, "2 d ago"),
    ] {
        let at = Timestamp::from_second(now().as_second() - second).unwrap();
        assert_eq!(ago(at, now()), text);
    }
}

#[test]
fn the_wide_table_has_the_pages_of_each_numa_node_and_the_agent() {
    let mut fleet = fleet();
    fleet.nodes.truncate(2);
    let published = &mut fleet.nodes[0].published;
    let pool = PublishedPool { total: Some(512), numa: [(0, Some(256)), (1, None)].into() };
    published.pools.insert("2Mi".parse().unwrap(), pool);
    (published.profile, published.version) = ("restricted".into(), "0.1.0".into());
    let view = TableView { is_wide: true, ..TableView::of(true) };
    assert_eq!(
        shown(&fleet, View::Table(view)),
        "\
NODE    VERDICT  2Mi   CHECKED    2Mi PAGES                      VALID UNTIL           PROFILE     VERSION
node-a  pass     pass  3 min ago  512 pages: numa0 256, numa1 ?  2026-11-23T06:00:00Z  restricted  0.1.0
node-b  fail     fail  3 min ago  -                              2026-11-23T06:00:00Z  -           -
  1Gi HP105 no free page: 14 of 16 are held\\u{1b}[2J by nobody

verdict  fail     2 nodes: 1 fail, 1 pass
"
    );
}

#[test]
#[cfg(feature = "kubectl")]
fn a_line_that_is_written_later_has_the_columns_of_the_table() {
    let fleet = fleet();
    let text = watched(Each::table(TableView::of(true), Style::default()), &fleet);
    assert!(text.ends_with("\nn       pass     pass     3 min ago\n"), "{text}");
    assert!(!text.contains("verdict  "), "{text}");
}

/// What a watch writes of the nodes that are there, and of another that is new.
#[cfg(feature = "kubectl")]
fn watched(mut each: Each, fleet: &Fleet) -> String {
    let mut out = Vec::new();
    each.first(fleet, fleet, &mut out).unwrap();
    each.node(&node("n", Verdict::Pass, BOOT), fleet.at, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
#[cfg(feature = "kubectl")]
fn each_form_of_a_watch_has_one_node_after_another_and_no_list() {
    let mut fleet = fleet();
    fleet.nodes.truncate(1);
    fleet.nodes[0].state = VerdictState::Deleted;
    let times = "checked=2026-11-23T05:00:00Z valid=2026-11-23T06:00:00Z";
    let expected = format!("node-a deleted 2Mi=unknown {times}\nn pass 2Mi=pass {times}\n");
    assert_eq!(watched(Each::Short, &fleet), expected);
    assert_eq!(watched(Each::Name, &fleet), "node/node-a\nnode/n\n");
    let template = crate::jsonpath::Template::parse("{.name} {.standing};").unwrap();
    assert_eq!(watched(Each::JsonPath(template), &fleet), "node-a deleted;n pass;");

    let json = watched(Each::Json, &fleet);
    let objects = serde_json::Deserializer::from_str(&json).into_iter::<serde_json::Value>();
    let objects: Vec<_> = objects.map(Result::unwrap).collect();
    let yaml = watched(Each::Yaml, &fleet);
    let documents = yaml.split("---\n").skip(1).map(|text| serde_saphyr::from_str(text).unwrap());
    assert_eq!(documents.collect::<Vec<serde_json::Value>>(), objects);
    let names = [&objects[0]["name"], &objects[1]["name"], &objects[0]["why"]];
    assert_eq!(names, ["node-a", "n", "the Node was deleted, or its labels no longer match"]);
}
