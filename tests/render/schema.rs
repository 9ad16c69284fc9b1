//! docs/reference/report.schema.json describes every report, and nothing but reports.

use jsonschema::Validator;
use serde_json::{Value, json};

use super::samples::all;

fn schema() -> Value {
    serde_json::from_str(include_str!("../../docs/reference/report.schema.json")).unwrap()
}

fn validator() -> Validator {
    let schema = schema();
    jsonschema::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

/// The sample `name`, as JSON.
fn sample(name: &str) -> Value {
    let report = all().into_iter().find(|(its, _)| *its == name).unwrap().1;
    serde_json::to_value(report).unwrap()
}

#[test]
fn every_report_is_described() {
    let validator = validator();
    for (name, report) in all() {
        let value = serde_json::to_value(&report).unwrap();
        let errors: Vec<_> = validator
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

#[test]
fn every_kind_of_reading_occurs_in_the_samples() {
    let text: String = all().iter().map(|(_, report)| serde_json::to_string(report).unwrap()).collect();
    for part in
        [r#""free":{"unreadable":"#, r#""overcommit":{"malformed":"#, r#""reserved":null"#, r#""boot_id":{"#]
    {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn what_is_no_report_is_refused() {
    let validator = validator();
    // In the sample: check 0 passes, check 5 warns; pool 0 has two NUMA nodes.
    for (pointer, value) in [
        ("/schema", json!("hugeprobe.io/report/v2")),
        ("/version", json!("one")),
        ("/time", json!("2026-01-31")),
        ("/time", json!(1_769_860_800)),
        ("/request", json!({})),
        ("/request/workload", json!("ovs")),
        ("/request/need", json!([])),
        ("/request/need", json!(["2Mi=0"])),
        ("/request/size", json!(["3Mi"])),
        ("/request/measure", json!(false)),
        ("/request/peer", json!({"socket": "/run/vhost"})),
        ("/request/only", json!(["HP1"])),
        ("/verdict", json!("passed")),
        ("/verdict", json!("skip")),
        ("/only", json!([])),
        ("/only", json!(["HP99"])),
        ("/host", json!("node-a")),
        ("/host/boot_id", json!(4)),
        ("/host/boot_id", json!({"unreadable": "x", "malformed": "y"})),
        ("/host/extra", json!(1)),
        ("/profile", json!("")),
        ("/duration_ms", json!(-1)),
        ("/duration_ms", json!(0.5)),
        ("/sizes/0/size", json!("3Mi")),
        ("/sizes/0/size", json!("2MB")),
        ("/sizes/0/size", json!("1024Mi")),
        ("/sizes/0/verdict", json!(null)),
        ("/sizes/0/extra", json!(1)),
        ("/pools/0/free", json!(-1)),
        ("/pools/0/free", json!("508")),
        ("/pools/0/free", json!({})),
        ("/pools/0/free", json!({"unknown": "x"})),
        ("/pools/0/free", json!({"unreadable": 13})),
        ("/pools/0/numa/0/node", json!(-1)),
        ("/pools/0/numa/0/reserved", json!(0)),
        ("/pools/0/extra", json!(0)),
        ("/checks/0/id", json!("HP1")),
        ("/checks/0/id", json!("hp101")),
        ("/checks/0/reason", json!("pool missing")),
        ("/checks/0/reason", json!("")),
        ("/checks/0/size", json!("all")),
        ("/checks/0/outcome", json!("none")),
        ("/checks/0/outcome", json!("fail")),
        ("/checks/0/remedy", json!("a pass needs none")),
        ("/checks/0/evidence", json!([])),
        ("/checks/0/extra", json!(1)),
        ("/checks/5/outcome", json!("pass")),
        ("/checks/5/seen", json!("")),
        ("/measurements", json!(null)),
        ("/replayed", json!([])),
        ("/replayed", json!([{"run": "7-a", "given": []}])),
        ("/replayed", json!([{"run": "7-a", "given": [{"size": "2Mi", "pages": -1}], "problems": []}])),
        ("/extra", json!(1)),
    ] {
        let mut report = sample("design");
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        report.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value.clone());
        assert!(!validator.is_valid(&report), "{pointer} = {value}");
    }
}

#[test]
fn no_field_may_be_missing() {
    let validator = validator();
    let whole = sample("design");
    assert!(validator.is_valid(&whole));
    for parent in
        ["", "/request", "/host", "/sizes/0", "/pools/0", "/pools/0/numa/0", "/checks/0", "/checks/5"]
    {
        let keys: Vec<_> = whole.pointer(parent).unwrap().as_object().unwrap().keys().cloned().collect();
        for key in keys {
            let mut report = whole.clone();
            report.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(&key);
            assert!(!validator.is_valid(&report), "{parent}/{key}");
        }
    }
}

/// A reader is told what each field means, in which unit.
#[test]
fn every_field_is_described_in_words() {
    fn look(at: &str, value: &Value, is_field: bool) {
        if let Some(object) = value.as_object() {
            assert!(!is_field || object.contains_key("description") || object.contains_key("const"), "{at}");
            for (key, inner) in object {
                match key.as_str() {
                    "properties" | "$defs" => {
                        for (name, field) in inner.as_object().unwrap() {
                            look(&format!("{at}/{name}"), field, true);
                        }
                    }
                    "items" => look(at, inner, false),
                    "oneOf" => inner.as_array().unwrap().iter().for_each(|one| look(at, one, false)),
                    _ => {}
                }
            }
        }
    }
    look("", &schema(), true);
}
