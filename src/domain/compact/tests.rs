//! Tests that a message is read as it was written, always fits, and cannot become a pass by being cut or forged.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::catalogue::{self, HP501, HP601};
use super::super::check::Because;
use super::super::part::{Part, PartError};
use super::super::sharing::{AGREED, Session};
use super::*;

const SIZE: PageSize = match PageSize::from_bytes(2 << 20) {
    Some(size) => size,
    None => panic!(),
};

const OUTCOMES: [Outcome; 5] = [Outcome::Skip, Outcome::Pass, Outcome::Warn, Outcome::Unknown, Outcome::Fail];

fn run() -> Run {
    "0b5e4f0e-6c0f-4a6c-9f49-6b8a0c0f3a51".parse().unwrap()
}

fn finding(id: CheckId, outcome: Outcome, text: &str) -> Finding {
    let size = catalogue::find(id).filter(|check| check.per_size).map(|_| SIZE);
    match outcome {
        Outcome::Pass => Finding::pass(id, size, text).with(AGREED, json!({ "device": 1, "text": text })),
        Outcome::Skip => Finding::skip(id, size, text),
        outcome => {
            let because = Because::new(format!("{text} expected"), format!("{text} seen"));
            Finding::not_pass(id, size, outcome, text, because.remedy(format!("{text} remedy")))
        }
    }
}

fn message(container: Container, outcome: Outcome, ending: &Ending, ended: bool, text: &str) -> Message {
    let all = |ids: &[CheckId]| ids.iter().map(|id| finding(*id, outcome, text)).collect::<Vec<_>>();
    let worker = |role: Role| WorkerReport {
        role,
        size: Some(SIZE).filter(|_| !role.is_about_machine()),
        part: Ok(Part {
            findings: all(role.checks()),
            last_step: Some((role.checks()[0], format!("{text} step"))),
            ended,
        }),
        ending: ending.clone(),
        log: text.repeat(3),
    };
    let workers = container.roles().map(worker).collect();
    Message { container, size: SIZE, run: run(), findings: all(container.inspections()), workers }
}

fn sound() -> Message {
    message(Container::Frontend, Outcome::Pass, &Ending::Exited(0), true, "fine")
}

fn parse(text: &str, container: Container) -> Result<Message, CompactError> {
    Message::parse(text, container, SIZE, &run())
}

fn part(message: &Message, role: Role) -> &Result<Part, PartError> {
    &message.workers.iter().find(|worker| worker.role == role).unwrap().part
}

#[test]
fn what_is_written_reads_like_this() {
    let mut message = message(Container::Backend, Outcome::Pass, &Ending::Exited(0), true, "fine");
    message.findings = vec![finding(HP401, Outcome::Fail, "no page")];
    message.workers.retain(|worker| worker.role == Role::Backend(Session::BackendFirst));
    let digest = digest::digest(&json!({ "device": 1, "text": "fine" }));
    let expected = format!(
        r#"{{"v":2,"container":"backend","size":"2Mi","run":"{}","verdict":"fail","#,
        run()
    ) + r#""checks":{"HP401":["fail",["no page","no page seen","no page expected","no page remedy"]]},"#
        + &format!(
            r#""workers":{{"backend:backend-first":{{"ending":{{"exited":0}},"ended":true,"checks":{{"HP606":["pass",["{digest}"]]}}}}}}}}"#
        );
    assert_eq!(message.write(), expected);
}

#[test]
fn what_is_written_is_read() {
    for container in Container::ALL {
        for outcome in OUTCOMES {
            let mut message = message(container, outcome, &Ending::Exited(0), true, "short");
            // If all checks fail, their texts do not fit in the message. Those of a few workers do.
            message.workers.retain(|worker| worker.role.checks().len() < 3);
            let read = parse(&message.write(), container).unwrap();
            assert_eq!(read.verdict(), message.verdict());
            assert_eq!(read.workers.len(), message.workers.len());
            for written in &message.workers {
                let read = read.workers.iter().find(|worker| worker.role == written.role).unwrap();
                assert_eq!((read.size, &read.ending), (written.size, &written.ending));
                let (read, written) = (read.part.as_ref().unwrap(), written.part.as_ref().unwrap());
                assert_eq!(read.ended, written.ended);
                assert_eq!(read.findings.len(), written.findings.len());
                for (read, written) in read.findings.iter().zip(&written.findings) {
                    assert_eq!(
                        (read.id, read.size, read.outcome),
                        (written.id, written.size, written.outcome)
                    );
                    if outcome != Outcome::Pass {
                        assert_eq!(read.summary, written.summary);
                        assert_eq!((&read.expected, &read.seen), (&written.expected, &written.seen));
                        assert_eq!(read.remedy, written.remedy);
                    }
                }
            }
        }
    }
}

#[test]
fn it_fits_whatever_happens() {
    let endings = [
        Ending::Exited(i32::MIN),
        Ending::Signalled { name: "SIGVTALRM".into(), raised_by_kernel: true },
        Ending::Signalled { name: "signal 123456789012345".into(), raised_by_kernel: false },
        Ending::Deadline,
        Ending::BrokenOff("x".repeat(5000)),
        Ending::NotStarted("\u{e9}".repeat(5000)),
    ];
    for container in Container::ALL {
        for outcome in OUTCOMES {
            for ending in &endings {
                for text in
                    ["", "x", &"long text ".repeat(200), &"\u{1f600}\t\n".repeat(300), &"\"\\".repeat(900)]
                {
                    let mut message = message(container, outcome, ending, false, text);
                    message.run = "x".repeat(64).parse().unwrap();
                    let written = message.write();
                    assert!(written.len() <= MESSAGE_LIMIT, "{} bytes: {written}", written.len());
                    let read = Message::parse(&written, container, SIZE, &message.run).unwrap();
                    assert_eq!(read.verdict(), message.verdict());
                    // A finding that is not a pass keeps at least part of its summary.
                    if outcome != Outcome::Pass && text.starts_with("long") {
                        let all =
                            read.workers.iter().flat_map(|worker| &worker.part.as_ref().unwrap().findings);
                        assert!(
                            all.chain(&read.findings).all(|finding| finding.summary.len() >= 8),
                            "{written}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn the_longest_texts_are_cut_first() {
    let mut message = sound();
    message.findings[0] = finding(HP301, Outcome::Fail, &"long ".repeat(2000));
    message.findings[1] = finding(HP302, Outcome::Fail, "a short text");
    let read = parse(&message.write(), Container::Frontend).unwrap();
    assert!((100..500).contains(&read.findings[0].summary.len()), "{}", read.findings[0].summary);
    assert!(read.findings[0].summary.ends_with("..."));
    assert_eq!(read.findings[1].summary, "a short text");
    assert_eq!(read.findings[1].seen, "a short text seen");
}

#[test]
fn what_a_worker_has_not_to_report_makes_its_part_invalid() {
    let mut message = sound();
    let [one, other] = [0, 1].map(|index: usize| message.workers[index].role);
    message.workers[0].part.as_mut().unwrap().findings.push(finding(HP601, Outcome::Pass, "fine"));
    message.workers[1].part = Err(PartError::Twice(HP501));
    let read = parse(&message.write(), Container::Frontend).unwrap();
    let told = |why: &str| Err(PartError::Reported(why.to_owned()));
    assert_eq!(*part(&read, one), told("HP601 was reported but not requested"));
    assert_eq!(*part(&read, other), told("HP501 is reported twice"));
    assert_eq!(read.verdict(), Outcome::Unknown);
}

#[test]
fn what_is_meant_for_others_is_refused() {
    let text = sound().write();
    let large = PageSize::from_bytes(1 << 30).unwrap();
    let other: Run = "another".parse().unwrap();
    assert_eq!(Message::parse(&text, Container::Backend, SIZE, &run()), Err(CompactError::Other));
    assert_eq!(Message::parse(&text, Container::Frontend, large, &run()), Err(CompactError::Other));
    assert_eq!(Message::parse(&text, Container::Frontend, SIZE, &other), Err(CompactError::OtherRun));
    assert!(parse(&text, Container::Frontend).is_ok());
    assert!(parse(&format!("{text}\n"), Container::Frontend).is_ok());
    for run in ["", "a b", "a\n", "\u{e9}", &"x".repeat(65)] {
        assert_eq!(run.parse::<Run>(), Err(RunError));
    }
}

/// Parses a valid message after `change` has modified it.
fn forged(change: impl FnOnce(&mut Value)) -> Result<Message, CompactError> {
    let mut message: Value = serde_json::from_str(&sound().write()).unwrap();
    change(&mut message);
    parse(&message.to_string(), Container::Frontend)
}

#[test]
fn a_forger_can_say_only_what_a_container_says() {
    use CompactError::{Malformed, Stray, Verdict};
    assert!(forged(|_| ()).is_ok());
    for (at, value, error) in [
        ("/v", json!(1), Malformed),
        ("/v", json!(3), Malformed),
        ("/verdict", json!("fail"), Verdict),
        ("/verdict", json!("unknown"), Verdict),
        ("/verdict", json!("good"), Malformed),
        ("/checks/HP301", json!(["fail", []]), Verdict),
        ("/checks/HP301", json!(["pass", ["words"]]), Stray),
        ("/checks/HP301", json!(["pass", ["0123456789abcdef"]]), Stray),
        ("/checks/HP301", json!(["pass"]), Malformed),
        ("/checks/HP301", json!(["pass", [], 1]), Malformed),
        ("/checks/HP301", json!(["skip", ["1", "2", "3", "4", "5"]]), Stray),
        ("/checks/HP301", json!("pass"), Malformed),
        ("/checks", json!({"HP105": ["pass", []]}), Stray),
        ("/checks", json!({"HP999": ["pass", []]}), Malformed),
        ("/checks", json!(null), Malformed),
        ("/workers", json!({"backend:small": {"ending": {"exited": 0}, "ended": true}}), Stray),
        ("/workers", json!({"measure": {"ending": {"exited": 0}, "ended": true}}), Stray),
        ("/workers", json!({"other": {"ending": {"exited": 0}, "ended": true}}), Malformed),
        ("/workers/memfd/ended", json!(false), Verdict),
        ("/workers/memfd/ending", json!({"exited": 1}), Verdict),
        ("/workers/memfd/ending", json!("deadline"), Verdict),
        ("/workers/memfd/ending", json!({"exited": "0"}), Malformed),
        ("/workers/memfd/ending", json!("done"), Malformed),
        ("/workers/memfd/checks", json!({"HP601": ["pass", []]}), Stray),
        ("/workers/memfd/checks/HP501", json!(["pass", ["0123456789abcdef"]]), Stray),
        ("/workers/frontend:small/checks/HP609", json!(["pass", ["0123456789abcdeF"]]), Stray),
        ("/workers/frontend:small/checks/HP609", json!(["fail", ["0123456789abcdef"]]), Verdict),
    ] {
        assert_eq!(
            forged(|message| *message.pointer_mut(at).unwrap() = value.clone()),
            Err(error),
            "{at} {value}"
        );
    }
    for at in ["", "/workers/memfd", "/workers/memfd/ending"] {
        let stuff = |message: &mut Value| message.pointer_mut(at).unwrap()["more"] = json!(1);
        assert_eq!(forged(stuff), Err(Malformed), "{at}");
    }
    assert_eq!(forged(|message| *message = json!({})), Err(Malformed));
}

#[test]
fn a_forgers_text_is_one_printable_line() {
    let read = forged(|message| {
        message["verdict"] = json!("unknown");
        message["checks"]["HP301"] = json!(["unknown", ["a\u{1b}[31m\nb\u{202e}"]]);
        message["workers"]["memfd"]["ending"] = json!({"not_started": "c\td\u{0}"});
        message["workers"]["memfd"]["step"] = json!(["HP501", "e\r\nf"]);
        message["workers"]["anonymous"]["invalid"] = json!("g\u{7f}");
    })
    .unwrap();
    assert_eq!(read.findings[0].summary, "a?[31m b?");
    let memfd = read.workers.iter().find(|worker| worker.role == Role::Memfd).unwrap();
    assert_eq!(memfd.ending, Ending::NotStarted("c d?".to_owned()));
    assert_eq!(memfd.part.as_ref().unwrap().last_step, Some((HP501, "e f".to_owned())));
    assert_eq!(*part(&read, Role::Anonymous), Err(PartError::Reported("g?".to_owned())));
}

#[test]
fn a_message_that_is_none_is_refused() {
    let nested = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    for text in ["", "\n", "{}", "null", "[]", "pass", "hugeprobe/1 frontend 2Mi x\nverdict pass", &nested] {
        assert_eq!(parse(text, Container::Frontend), Err(CompactError::Malformed), "{text}");
    }
    assert_eq!(parse(&" ".repeat(MESSAGE_LIMIT + 1), Container::Frontend), Err(CompactError::TooLong));
}

#[test]
fn system_calls_are_of_the_machine() {
    let mut message = sound();
    message.workers.retain(|worker| worker.role == Role::Syscalls);
    let read = parse(&message.write(), Container::Frontend).unwrap();
    assert_eq!(read.workers[0].size, None);
    let findings = &read.workers[0].part.as_ref().unwrap().findings;
    assert!(findings.iter().all(|finding| finding.size.is_none()));
    assert_eq!(findings.iter().map(|finding| finding.id).collect::<Vec<_>>(), Role::Syscalls.checks());
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    (0..OUTCOMES.len()).prop_map(|index| OUTCOMES[index])
}

fn any_ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        any::<i32>().prop_map(Ending::Exited),
        (any::<String>(), any::<bool>())
            .prop_map(|(name, raised_by_kernel)| Ending::Signalled { name, raised_by_kernel }),
        Just(Ending::Deadline),
        any::<String>().prop_map(Ending::BrokenOff),
        any::<String>().prop_map(Ending::NotStarted),
    ]
}

fn any_message() -> impl Strategy<Value = Message> {
    let worker = (any_outcome(), any_ending(), any::<bool>(), any::<bool>(), ".{0,300}");
    let workers = proptest::collection::vec(worker, 0..14);
    (any::<bool>(), any_outcome(), workers).prop_map(|(front, own, workers)| {
        let container = if front { Container::Frontend } else { Container::Backend };
        let mut message = message(container, own, &Ending::Exited(0), true, "own");
        message.workers.truncate(workers.len());
        for (worker, (outcome, ending, ended, invalid, text)) in message.workers.iter_mut().zip(workers) {
            let findings = worker.role.checks().iter().map(|id| finding(*id, outcome, &text)).collect();
            worker.ending = ending;
            worker.part = match invalid {
                true => Err(PartError::Reported(text)),
                false => Ok(Part { findings, last_step: Some((HP501, text)), ended }),
            };
        }
        message
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = parse(&text, Container::Frontend);
    }

    #[test]
    fn a_message_survives_its_own_text(message in any_message()) {
        let text = message.write();
        prop_assert!(text.len() <= MESSAGE_LIMIT);
        prop_assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let read = parse(&text, message.container);
        prop_assert!(read.is_ok(), "{:?}: {}", read, text);
        let read = read.unwrap();
        prop_assert_eq!(read.verdict(), message.verdict());
        prop_assert_eq!(read.write(), text);
    }

    #[test]
    fn a_changed_byte_never_makes_a_pass(message in any_message(), at: usize, byte: u8) {
        let text = message.write();
        let mut bytes = text.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(changed) = String::from_utf8(bytes)
            && let Ok(read) = parse(&changed, message.container)
        {
            prop_assert_eq!(read.verdict(), message.verdict());
        }
    }

    #[test]
    fn a_cut_message_is_refused(message in any_message(), from: usize, to: usize) {
        let text = message.write();
        let to = to % text.len();
        prop_assert!(parse(&text[..to], message.container).is_err());
        let from = 1 + from % (text.len() - 1);
        prop_assert!(parse(&text[from..], message.container).is_err());
    }
}
