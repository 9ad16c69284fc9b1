//! The configuration file is parsed, and invalid values are refused with an explanation.

use proptest::prelude::*;

use super::*;

const WHOLE: &str = r#"{
 "profile": "privileged", "mode": "probePods", "workload": "qemu", "workloadSeccomp": "RuntimeDefault",
 "watchNode": false, "tickSeconds": 5, "renewMinutes": 60, "sizes": ["2Mi", "1Gi"],
 "expectations": [
   {"nodeSelector": {"pool": "nfv"}, "expect": ["1Gi@numa0>=4"], "need": ["2Mi=8"]},
   {"nodeSelector": {"pool": "nfv", "row": "3"}, "expect": ["1Gi@numa0>=4", "2Mi>=512"], "need": ["2Mi=4", "1Gi=2"]},
   {"nodeSelector": {"pool": "web"}, "expect": ["2Mi=0"]}
 ],
 "podAccounting": true,
 "probe": {
   "image": "repo/hugeprobe@sha256:1", "imagePullPolicy": "Never", "imagePullSecrets": ["pull"],
   "priorityClassName": "p", "serviceAccountName": "s", "pages": {"2Mi": 8}, "runAsUser": null, "runAsGroup": null,
   "fsGroup": null, "runtimeClassName": "kata", "hostUsers": false,
   "resourceClaims": [{"name": "vhost", "resourceClaimTemplateName": "port"}], "cpu": "1", "memory": "64Mi", "deadlineSeconds": 90, "pendingSeconds": 10
 },
 "peer": {"hostPath": "/run/openvswitch/vhu.0", "listen": true},
 "resident": {"directory": "/run/x"}
}"#;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_whole_file_is_read() {
    let config = Config::parse(WHOLE).unwrap();
    assert_eq!(
        (config.profile, config.mode, config.watch_node),
        (Profile::Privileged, Mode::ProbePods, false)
    );
    assert_eq!(config.probe.run_as_user, None);
    assert_eq!(config.probe.pages("2Mi".parse().unwrap()), 8);
    assert_eq!(config.probe.pages("1Gi".parse().unwrap()), 2);
    assert_eq!(config.probe.runtime_class_name.as_deref(), Some("kata"));
    assert!(!config.probe.host_users);
    let peer = config.peer.unwrap();
    assert_eq!((peer.source, peer.listen), (PeerSource::HostPath("/run/openvswitch/vhu.0".to_owned()), true));
    let claims =
        [ResourceClaim { name: "vhost".to_owned(), resource_claim_template_name: "port".to_owned() }];
    assert_eq!(config.probe.resource_claims, claims);
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = Config::parse(r#"{"probe": {"image": "x"}}"#).unwrap();
    assert_eq!(
        config,
        Config { probe: ProbeConfig { image: "x".into(), ..ProbeConfig::default() }, ..Config::default() }
    );
    assert_eq!(config.probe.pages("2Mi".parse().unwrap()), 4);
    assert_eq!((config.tick_seconds, config.renew_minutes), (10, 30));
}

/// During an upgrade, agents of the old version read the configuration of the new version.
#[test]
fn keys_of_another_version_are_ignored_and_named() {
    let next = r#"{"next": {"a": 1}, "probe": {"image": "x", "cpus": 1}, "resident": {"b": null},
        "expectations": [{}, {"c": []}], "profile": "privileged", "peer": {"hostPath": "/run/o/v", "d": "e"}}"#;
    let config = Config::parse(next).unwrap();
    assert_eq!(config.unknown_keys(), ["next", "probe.cpus", "resident.b", "peer.d", "expectations[1].c"]);
    assert_eq!(Config::parse(WHOLE).unwrap().unknown_keys(), [""; 0]);
}

#[test]
fn all_entries_that_match_add_up() {
    let config = Config::parse(WHOLE).unwrap();
    let asked = |pairs: &[(&str, &str)]| {
        let request = config.request(&labels(pairs));
        let expect: Vec<_> = request.expect.iter().map(ToString::to_string).collect();
        let need: Vec<_> = request.need.iter().map(ToString::to_string).collect();
        (expect.join(" "), need.join(" "))
    };
    assert_eq!(asked(&[("pool", "nfv")]), ("1Gi@numa0>=4".into(), "2Mi=8".into()));
    assert_eq!(
        asked(&[("pool", "nfv"), ("row", "3")]),
        ("1Gi@numa0>=4 2Mi>=512".into(), "2Mi=8 1Gi=2".into())
    );
    assert_eq!(asked(&[("pool", "web"), ("row", "3")]), ("2Mi=0".into(), String::new()));
    assert_eq!(asked(&[]), (String::new(), String::new()));
}

#[test]
fn what_makes_no_sense_is_refused_with_a_sentence() {
    for (text, why) in [
        ("", "cannot be parsed"),
        ("{}", "probe.image '' is empty"),
        (r#"{"probe": {"image": "x", "busyHours": 0}}"#, "probe.busyHours is 0, but must be from 1 to 8760"),
        (r#"{"probe": {"image": "x y"}}"#, "probe.image 'x y' is empty or contains white space"),
        (r#"{"tickSeconds": 0, "probe": {"image": "x"}}"#, "tickSeconds is 0, but must be from 1 to 3600"),
        (r#"{"renewMinutes": 100000, "probe": {"image": "x"}}"#, "renewMinutes is 100000"),
        (r#"{"profile": "root", "probe": {"image": "x"}}"#, "unknown variant `root`"),
        (r#"{"sizes": ["3Mi"], "probe": {"image": "x"}}"#, "not a power of two"),
        (r#"{"probe": {"image": "x", "pages": {"2Mi": 0}}}"#, "probe.pages.2Mi is 0"),
        (r#"{"probe": {"image": "x", "pages": {"huge": 1}}}"#, "invalid huge page size"),
        (r#"{"probe": {"image": "x", "runAsUser": 0}}"#, "0 is root"),
        (r#"{"probe": {"image": "x", "fsGroup": -1}}"#, "probe.fsGroup -1 is not a valid id"),
        (
            r#"{"expectations": [{"expect": ["1Gi=x"]}], "probe": {"image": "x"}}"#,
            "invalid expectation '1Gi=x'",
        ),
        (
            r#"{"sizes": ["2Mi"], "expectations": [{"need": ["1Gi=1"]}], "probe": {"image": "x"}}"#,
            "expectations[0] --need 1Gi=1",
        ),
        (
            r#"{"expectations": [{}, {"expect": ["1Gi=1", "1Gi>=2"]}], "probe": {"image": "x"}}"#,
            "expectations[1] --expect",
        ),
        (
            r#"{"peer": {"hostPath": "/run/o/v"}, "probe": {"image": "x"}}"#,
            "peer requires profile privileged",
        ),
        (
            r#"{"profile": "privileged", "mode": "resident", "peer": {"hostPath": "/run/o/v"}}"#,
            "peer requires profile privileged and mode probePods",
        ),
        (
            r#"{"profile": "privileged", "peer": {"hostPath": "/v"}, "probe": {"image": "x"}}"#,
            "'/v' is not the path",
        ),
        (
            r#"{"profile": "privileged", "peer": {"hostPath": "r/v"}, "probe": {"image": "x"}}"#,
            "'r/v' is not the path",
        ),
        (
            r#"{"profile": "privileged", "peer": {"hostPath": "/r/../v"}, "probe": {"image": "x"}}"#,
            "is not the path",
        ),
        (
            r#"{"profile": "privileged", "peer": {"hostPath": "/r//v"}, "probe": {"image": "x"}}"#,
            "is not the path",
        ),
        (r#"{"peer": {"listen": true}, "probe": {"image": "x"}}"#, "cannot be parsed"),
        (
            r#"{"peer": {"claim": {"name": "a", "request": "b", "driver": "c"}}, "probe": {"image": "x"}}"#,
            "peer.claim.name 'a' is not a claim of probe.resourceClaims",
        ),
        (
            r#"{"peer": {"claim": {"name": "a", "request": "b c", "driver": "d"}}, "probe": {"image": "x"}}"#,
            "peer.claim.request 'b c' is not a name",
        ),
        (
            r#"{"mode": "resident", "peer": {"claim": {"name": "a", "request": "b", "driver": "c"}}}"#,
            "peer claim requires mode probePods",
        ),
        (r#"{"mode": "resident", "resident": {"directory": "run"}}"#, "'run' is not an absolute path"),
    ] {
        let error = Config::parse(text).unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    assert!(Config::parse(r#"{"mode": "resident"}"#).is_ok());
    assert!(Config::parse(r#"{"profile": "privileged", "probe": {"image": "x", "runAsUser": 0}}"#).is_ok());
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = Config::parse(&text);
    }
}
