//! Tests which texts are accepted, and that an error names the text that it rejects.

use super::*;
use proptest::prelude::*;

fn request(sizes: &[&str], expect: &[&str], need: &[&str]) -> Request {
    Request {
        sizes: sizes.iter().map(|text| text.parse().unwrap()).collect(),
        expect: expect.iter().map(|text| text.parse().unwrap()).collect(),
        need: need.iter().map(|text| text.parse().unwrap()).collect(),
        ..Request::default()
    }
}

#[test]
fn expectations_read_as_they_print() {
    for text in ["2Mi>=512", "2Mi=0", "1Gi@numa0>=4", "1Gi@numa12=4", "64Ki>=1"] {
        assert_eq!(text.parse::<Expectation>().unwrap().to_string(), text);
    }
    assert_eq!("hugepages-2048kB>=1".parse::<Expectation>().unwrap().to_string(), "2Mi>=1");
}

#[test]
fn counts_read_as_they_print() {
    for text in ["2Mi=512", "1Gi=2@numa1"] {
        assert_eq!(text.parse::<PageCount>().unwrap().to_string(), text);
    }
}

#[test]
fn what_is_neither_is_refused_by_name() {
    for text in [
        "",
        "2Mi",
        "2Mi>=",
        "2Mi>=-1",
        "2Mi>=+1",
        "2Mi>=1.5",
        "2Mi@0>=1",
        "2Mi@numa>=1",
        "2Mi@numax=1",
        "2Mi<4",
        "=4",
        "3Mi=4",
    ] {
        let error = text.parse::<Expectation>().unwrap_err().to_string();
        assert!(
            text.is_empty() || error.contains(text.split(['>', '=', '@']).next().unwrap()),
            "{text}: {error}"
        );
    }
    for text in [
        "2Mi=0",
        "2Mi",
        "2Mi=16@node0",
        "2Mi=16@numa-1",
        "1Gi=9000000000",
        "2Mi=99999999999999999999",
        "2Mi>=4",
    ] {
        assert!(text.parse::<PageCount>().is_err(), "{text}");
    }
}

#[test]
fn selectors_name_checks_or_groups_of_the_catalogue() {
    assert_eq!("HP5".parse(), Ok(Selector::Group(5)));
    assert_eq!("hp1xx".parse(), Ok(Selector::Group(1)));
    assert!(matches!("HP601".parse(), Ok(Selector::One(_))));
    for text in ["HP", "HP9", "HP999", "HP12", "5", "HP5 ", "XP5", ""] {
        assert!(text.parse::<Selector>().is_err(), "{text}");
    }
}

#[test]
fn contradictions_are_named() {
    for (request, part) in [
        (request(&["2Mi"], &["1Gi>=1"], &[]), "--expect 1Gi>=1"),
        (request(&["2Mi"], &[], &["1Gi=1"]), "--need 1Gi=1"),
        (request(&[], &["2Mi=4", "2Mi=5"], &[]), "cannot both"),
        (request(&[], &["2Mi=4", "2Mi>=5"], &[]), "cannot both"),
        (request(&[], &["2Mi>=5", "2Mi=4"], &[]), "cannot both"),
        (request(&[], &[], &["2Mi=4", "2Mi=5"]), "same pool"),
    ] {
        let error = request.validate().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    for request in [
        request(&["2Mi"], &["2Mi>=1", "2Mi=4", "2Mi@numa0=1"], &["2Mi=4", "2Mi=4@numa1"]),
        request(&[], &["2Mi>=1", "2Mi>=2"], &["1Gi=4"]),
    ] {
        assert_eq!(request.validate(), Ok(()));
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = text.parse::<Expectation>();
        let _ = text.parse::<PageCount>();
        let _ = text.parse::<Selector>();
    }

    #[test]
    fn every_expectation_survives_its_own_text(shift in 13_u32..=40, node: Option<u32>, pages: u64, exact: bool) {
        let relation = if exact { Relation::Exactly } else { Relation::AtLeast };
        let one = Expectation { size: PageSize::from_bytes(1 << shift).unwrap(), node, relation, pages };
        prop_assert_eq!(one.to_string().parse(), Ok(one));
    }
}
