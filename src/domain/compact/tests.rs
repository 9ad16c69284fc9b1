//! The compact form: it survives itself, it fits whatever happens, and nothing but itself is taken for it.

use proptest::prelude::*;
use serde_json::json;

use super::super::catalogue::{HP407, HP501, HP601};
use super::super::check::Because;
use super::super::part::PartError;
use super::*;

const SIZE: PageSize = match PageSize::from_bytes(2 << 20) {
    Some(size) => size,
    None => panic!(),
};

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
        size: Some(SIZE).filter(|_| role != Role::Syscalls),
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

fn parse(text: &str, container: Container) -> Result<Message, CompactError> {
    Message::parse(text, container, SIZE, &run())
}

#[test]
fn what_is_written_reads_like_this() {
    let mut message = message(Container::Backend, Outcome::Pass, &Ending::Exited(0), true, "fine");
    message.findings = vec![finding(HP401, Outcome::Fail, "this cgroup may use no page")];
    message.workers.truncate(2);
    let text = message.write();
    let digest = sum::digest(&json!({ "device": 1, "text": "fine" }));
    let main: Vec<_> = Session::FrontendFirst.checks().iter().map(|id| format!("{id}p~{digest}")).collect();
    let expected = format!(
        "hugeprobe/1 backend 2Mi {}\nself HP401f\n HP401 this cgroup may use no page\tthis cgroup may use no page seen\t\
         this cgroup may use no page expected\tthis cgroup may use no page remedy\nbackend:frontend-first exit:0+ {}\n\
         backend:backend-first exit:0+ HP606p~{digest}\nverdict fail crc32 ",
        run(),
        main.join(" "),
    );
    assert!(text.starts_with(&expected), "{text}");
    assert_eq!(text.len(), expected.len() + 9);
}

#[test]
fn what_is_read_merges_as_what_was_written() {
    for container in Container::ALL {
        for outcome in [Outcome::Pass, Outcome::Skip, Outcome::Warn, Outcome::Unknown, Outcome::Fail] {
            let mut message = message(container, outcome, &Ending::Exited(0), true, "short");
            // The texts of all that fails do not fit; those of some do.
            message.workers.retain(|worker| worker.role.checks().len() < 3);
            let read = parse(&message.write(), container).unwrap();
            assert_eq!(read.verdict(), message.verdict());
            assert_eq!(read.workers.len(), message.workers.len());
            for (read, written) in read.workers.iter().zip(&message.workers) {
                assert_eq!(
                    (read.role, read.size, &read.ending),
                    (written.role, written.size, &written.ending)
                );
                let (read, written) = (read.part.as_ref().unwrap(), written.part.as_ref().unwrap());
                assert_eq!(read.ended, written.ended);
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
        for outcome in [Outcome::Pass, Outcome::Skip, Outcome::Warn, Outcome::Unknown, Outcome::Fail] {
            for ending in &endings {
                for text in ["", "x", &"long text ".repeat(200), &"\u{1f600}\t\n".repeat(300)] {
                    let mut message = message(container, outcome, ending, false, text);
                    message.run = "x".repeat(64).parse().unwrap();
                    let written = message.write();
                    assert!(written.len() <= MESSAGE_LIMIT, "{} bytes: {written}", written.len());
                    let read = Message::parse(&written, container, SIZE, &message.run).unwrap();
                    assert_eq!(read.verdict(), message.verdict());
                    // Whatever is no pass has some words to it, if it had any.
                    if outcome > Outcome::Pass && text.len() > 100 {
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
fn what_a_worker_has_not_to_report_makes_its_part_invalid() {
    let mut message = message(Container::Frontend, Outcome::Pass, &Ending::Exited(0), true, "fine");
    message.workers[0].part.as_mut().unwrap().findings.push(finding(HP601, Outcome::Pass, "fine"));
    message.workers[1].part = Err(PartError::Twice(HP501));
    let read = parse(&message.write(), Container::Frontend).unwrap();
    assert_eq!(
        read.workers[0].part,
        Err(PartError::Told("HP601 was reported, which was not asked for".to_owned()))
    );
    assert_eq!(read.workers[1].part, Err(PartError::Told("HP501 is reported twice".to_owned())));
    assert_eq!(read.verdict(), Outcome::Unknown);
}

#[test]
fn what_is_meant_for_others_is_refused() {
    let text = message(Container::Frontend, Outcome::Pass, &Ending::Exited(0), true, "fine").write();
    let large = PageSize::from_bytes(1 << 30).unwrap();
    let other: Run = "another".parse().unwrap();
    assert_eq!(Message::parse(&text, Container::Backend, SIZE, &run()), Err(CompactError::Other));
    assert_eq!(Message::parse(&text, Container::Frontend, large, &run()), Err(CompactError::Other));
    assert_eq!(Message::parse(&text, Container::Frontend, SIZE, &other), Err(CompactError::OtherRun));
    assert!(parse(&text, Container::Frontend).is_ok());
    assert!(parse(text.trim_end(), Container::Frontend).is_ok());
    for run in ["", "a b", "a\n", "\u{e9}", &"x".repeat(65)] {
        assert_eq!(run.parse::<Run>(), Err(RunError));
    }
}

/// A forger who knows how the sum is made.
fn sealed(lines: &[&str]) -> String {
    let body = format!("hugeprobe/1 frontend 2Mi {}\n{}crc32 ", run(), lines.join("\n"));
    format!("{body}{:08x}\n", sum::crc32(body.as_bytes()))
}

#[test]
fn a_forger_can_say_only_what_a_container_says() {
    use CompactError::{Line, Spelling};
    assert!(
        parse(&sealed(&["self HP301p", "memfd exit:0+ HP501p", "verdict pass "]), Container::Frontend)
            .is_ok()
    );
    for (lines, error) in [
        ("verdict pass", Spelling),
        ("self\nverdict pass", Spelling),
        ("self HP301p\nself HP302p\nverdict pass", Line(3)),
        ("self HP105p\nverdict pass", Line(2)),
        ("self HP999p\nverdict pass", Line(2)),
        ("self HP301p HP301p\nverdict pass", Spelling),
        ("self HP302p HP301p\nverdict pass", Spelling),
        ("self  HP301p\nverdict pass", Spelling),
        ("self hp301p\nverdict pass", Spelling),
        ("self HP301x\nverdict pass", Line(2)),
        ("self HP301p~0123456789abcdeF\nverdict pass", Line(2)),
        ("self HP301f~0123456789abcdef\nverdict fail", Line(2)),
        ("self HP301f\nverdict pass", Spelling),
        ("self HP301p\n HP301 words\nverdict pass", Line(3)),
        ("self HP301f\n HP302 words\nverdict fail", Line(3)),
        ("self HP301f\n HP301 w\u{1b}ords\nverdict fail", Spelling),
        ("self HP301f\n HP301 one\n HP301 two\nverdict fail", Spelling),
        ("self HP301p\nverdict fail \nverdict pass", Spelling),
        ("self\n\nverdict unknown", Line(3)),
        ("self\nbackend:small exit:0+ HP609p\nverdict pass", Line(3)),
        ("self\nmeasure exit:0+ HP701p\nverdict pass", Line(3)),
        ("self\nmemfd exit:0+ HP601p\nverdict pass", Line(3)),
        ("self\nmemfd exit:+0+ HP501p\nverdict pass", Spelling),
        ("self\nmemfd done HP501p\nverdict pass", Line(3)),
        ("self\nmemfd exit:0? HP501p\nverdict unknown", Spelling),
        ("self\nmemfd exit:0+ HP501p\n ! why\nverdict pass", Line(4)),
        ("self\nmemfd exit:0+ HP501p\n ? why\nverdict pass", Line(4)),
        ("self\nmemfd exit:0+ HP501p\n @HP501 a step\nverdict pass", Spelling),
        ("self\nmemfd exit:0+ HP501p\nmemfd exit:0+ HP501p\nverdict pass", Spelling),
        ("self\nmemfd fault:SIG-BUS HP501p\nverdict unknown", Spelling),
        ("memfd exit:0+ HP501p\nself\nverdict pass", Line(3)),
    ] {
        let lines = format!("{lines} ");
        assert_eq!(parse(&sealed(&[&lines]), Container::Frontend), Err(error), "{lines}");
    }
}

#[test]
fn a_message_that_is_none_is_refused() {
    for text in [
        "",
        "\n",
        "hugeprobe/1 ",
        "hugeprobe/2 frontend 2Mi x\nverdict pass crc32 00000000",
        "verdict pass crc32 00000000",
    ] {
        assert_eq!(parse(text, Container::Frontend), Err(CompactError::Foreign), "{text}");
    }
    assert_eq!(parse(&"x".repeat(MESSAGE_LIMIT + 1), Container::Frontend), Err(CompactError::TooLong));
}

#[test]
fn system_calls_are_of_the_machine() {
    let mut message = message(Container::Frontend, Outcome::Pass, &Ending::Exited(0), true, "fine");
    message.workers.retain(|worker| worker.role == Role::Syscalls);
    let read = parse(&message.write(), Container::Frontend).unwrap();
    assert_eq!(read.workers[0].size, None);
    assert_eq!(read.workers[0].part.as_ref().unwrap().findings[0].size, None);
    assert_eq!(read.workers[0].part.as_ref().unwrap().findings[0].id, HP407);
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    (0..5_usize).prop_map(|index| {
        [Outcome::Skip, Outcome::Pass, Outcome::Warn, Outcome::Unknown, Outcome::Fail][index]
    })
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
                true => Err(PartError::Told(text)),
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
    fn no_sealed_text_panics_or_has_two_spellings(lines in "[a-z:+?~!@ HP0-9\t\n-]{0,200}") {
        let text = sealed(&[&lines]);
        if let Ok(message) = parse(&text, Container::Frontend) {
            prop_assert_eq!(message.write(), text);
        }
    }

    #[test]
    fn a_message_survives_its_own_text(message in any_message()) {
        let text = message.write();
        prop_assert!(text.len() <= MESSAGE_LIMIT);
        prop_assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n')));
        let read = parse(&text, message.container);
        prop_assert!(read.is_ok(), "{:?}: {}", read, text);
        let read = read.unwrap();
        prop_assert_eq!(read.verdict(), message.verdict());
        prop_assert_eq!(read.write(), text);
    }

    #[test]
    fn a_changed_byte_is_refused(message in any_message(), at: usize, byte: u8) {
        let text = message.write();
        let mut bytes = text.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(changed) = String::from_utf8(bytes)
            && changed != text
        {
            prop_assert!(parse(&changed, message.container).is_err());
        }
    }

    #[test]
    fn a_cut_message_is_refused(message in any_message(), from: usize, to: usize) {
        let text = message.write();
        let to = to % (text.len() - 1);
        prop_assert!(parse(&text[..to], message.container).is_err());
        let from = 1 + from % (text.len() - 1);
        prop_assert!(parse(&text[from..], message.container).is_err());
    }
}
