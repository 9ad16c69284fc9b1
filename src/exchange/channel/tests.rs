//! What a peer may send instead of a message, and the resulting errors.

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use super::super::message::feature;
use super::*;

fn pair() -> (UnixStream, Channel) {
    let (peer, ours) = UnixStream::pair().unwrap();
    (peer, Channel::new(ours.into()))
}

/// A deadline that a test expects to pass.
fn soon() -> Instant {
    Instant::now() + Duration::from_millis(30)
}

/// A deadline that no test reaches, however busy the machine is.
fn late() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn set_features() -> Message {
    Message::request(Request::SetFeatures, Payload::U64(feature::VERSION_1))
}

#[test]
fn a_message_arrives_whole_however_it_is_cut() {
    let bytes = set_features().to_bytes();
    for cut in 1..bytes.len() {
        let (mut peer, mut ours) = pair();
        peer.write_all(&bytes[..cut]).unwrap();
        assert!(ours.try_receive().unwrap().is_none(), "cut at {cut}");
        peer.write_all(&bytes[cut..]).unwrap();
        assert_eq!(ours.try_receive().unwrap().unwrap().message, set_features(), "cut at {cut}");
    }
}

#[test]
fn two_messages_at_once_are_two_and_keep_their_descriptors() {
    let (peer, mut ours) = pair();
    let peer = Channel::new(peer.into());
    let kick = Message::request(Request::SetVringKick, Payload::U64(0));
    let fd = io::stderr();
    peer.send(&set_features(), &[], late()).unwrap();
    peer.send(&kick, &[fd.as_fd()], late()).unwrap();
    peer.send(&set_features(), &[], late()).unwrap();
    let received: Vec<_> = (0..3).map(|_| ours.receive("", late()).unwrap()).collect();
    assert_eq!(received.iter().map(|one| one.fds.len()).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(received[1].message, kick);
}

#[test]
fn descriptors_with_the_second_half_belong_to_the_message_too() {
    let (peer, mut ours) = pair();
    let bytes = set_features().to_bytes();
    let fd = io::stderr();
    rights::send(peer.as_fd(), &bytes[..5], &[fd.as_fd()]).unwrap();
    rights::send(peer.as_fd(), &bytes[5..], &[fd.as_fd()]).unwrap();
    assert_eq!(ours.receive("", late()).unwrap().fds.len(), 2);
}

#[test]
fn what_is_no_message_has_its_own_error() {
    let with_fds = |count: usize| {
        move |peer: UnixStream| {
            rights::send(peer.as_fd(), &set_features().to_bytes(), &vec![io::stderr().as_fd(); count])
                .unwrap();
        }
    };
    let with_bytes = |bytes: Vec<u8>| move |mut peer: UnixStream| peer.write_all(&bytes).unwrap();
    type Script = Box<dyn Fn(UnixStream)>;
    let rows: Vec<(&str, Script)> = vec![
        ("the peer closed the connection", Box::new(drop)),
        ("closed the connection after 3 bytes", Box::new(with_bytes(vec![1, 2, 3]))),
        (
            "closed the connection after 19 bytes",
            Box::new(with_bytes(set_features().to_bytes()[..19].to_vec())),
        ),
        ("9 descriptors in one message", Box::new(with_fds(9))),
        ("253 descriptors in one message", Box::new(with_fds(253))),
        ("version 3 instead of 1", Box::new(with_bytes([1_u32, 7, 0].map(u32::to_le_bytes).concat()))),
        (
            "announces 4294967295 bytes",
            Box::new(with_bytes([1_u32, 1, u32::MAX].map(u32::to_le_bytes).concat())),
        ),
    ];
    for (why, script) in rows {
        let (peer, mut ours) = pair();
        script(peer);
        let error = ours.receive("a message", late()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}, not {why}");
    }
}

#[test]
fn silence_ends_at_the_deadline() {
    let (_peer, mut ours) = pair();
    let began = Instant::now();
    let error = ours.receive("its features", soon()).unwrap_err();
    assert!(matches!(error, ChannelError::Silent(..)), "{error}");
    assert!(error.to_string().contains("waited for its features"));
    assert!(began.elapsed() >= Duration::from_millis(30));
}

#[test]
fn a_peer_that_stops_within_a_message_is_found_out_before_the_deadline() {
    let (mut peer, mut ours) = pair();
    peer.write_all(&[1, 0, 0]).unwrap();
    let error = ours.receive("", Instant::now() + PATIENCE * 60).unwrap_err();
    // `PATIENCE` ended the wait: the deadline is 60 times as far away.
    assert!(matches!(error, ChannelError::Stalled(3)), "{error}");
}

#[test]
fn a_message_that_comes_byte_by_byte_is_called_slow_and_not_stopped() {
    for deadline in [Duration::from_millis(200), PATIENCE * 60] {
        let (mut peer, mut ours) = pair();
        let slow = std::thread::spawn(move || {
            for byte in set_features().to_bytes() {
                if peer.write_all(&[byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(70));
            }
        });
        let error = ours.receive("", Instant::now() + deadline).unwrap_err().to_string();
        assert!(error.contains("sent only") && error.contains("bytes of a message in"), "{error}");
        drop(ours);
        slow.join().unwrap();
    }
}

#[test]
fn nothing_is_waited_for_after_the_deadline_of_the_conversation() {
    let (peer, mut ours) = pair();
    let mut peer = Channel::new(peer.into());
    ours.set_deadline(Instant::now() + Duration::from_millis(300));
    let slow = std::thread::spawn(move || {
        while let Ok(question) = peer.receive("", late()) {
            std::thread::sleep(Duration::from_millis(80));
            let answer = Message::reply(question.message.request, Payload::U64(1));
            if peer.send(&answer, &[], late()).is_err() {
                return;
            }
        }
    });
    let ask = Message::request(Request::GetFeatures, Payload::None);
    let error = (0..50).find_map(|_| ours.ask(&ask, &[], late()).err()).map(|error| error.to_string());
    let error = error.unwrap_or_default();
    for fact in ["the session's deadline passed", "the answer to GET_FEATURES", "the slowest answer"] {
        assert!(error.contains(fact), "{error}");
    }
    drop(ours);
    slow.join().unwrap();
}

#[test]
fn a_peer_that_does_not_read_is_found_out() {
    let (_peer, ours) = pair();
    let deadline = soon();
    let error = std::iter::repeat_with(|| ours.send(&set_features(), &[], deadline)).find_map(Result::err);
    assert!(matches!(error, Some(ChannelError::NotReading(Request::SetFeatures))), "{error:?}");
}

#[test]
fn only_the_answer_is_an_answer() {
    let ask = Message::request(Request::GetFeatures, Payload::None);
    let answer = |request| Message::reply(request, Payload::U64(1));
    for (message, count, why) in [
        (answer(Request::GetQueueNum), 0, "received the answer to GET_QUEUE_NUM"),
        (set_features(), 0, "received the request SET_FEATURES"),
        (answer(Request::GetFeatures), 1, "received that, with 1 descriptors"),
    ] {
        let (peer, mut ours) = pair();
        let stderr = io::stderr();
        Channel::new(peer.try_clone().unwrap().into())
            .send(&message, &vec![stderr.as_fd(); count], late())
            .unwrap();
        let error = ours.ask(&ask, &[], late()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}, not {why}");
    }
    let (peer, mut ours) = pair();
    let peer = Channel::new(peer.into());
    peer.send(&answer(Request::GetFeatures), &[], late()).unwrap();
    assert_eq!(ours.ask(&ask, &[], late()).unwrap(), Payload::U64(1));
}
