use super::*;

#[test]
fn a_task_survives_its_own_text() {
    let size = PageSize::from_bytes(2 << 20).unwrap();
    let frontend = FrontendTask {
        size,
        pages: 2,
        memory: Source::Directory("/dev/huge pages".to_owned()),
        frames: 1,
        frame_bytes: 64,
        content: Content::default(),
        peer: BackendMode::Echo,
        packed: true,
        window: 1,
        wait: Wait::Poll,
        millis: None,
    };
    let backend = BackendTask {
        mode: BackendMode::Bounce,
        size: Some(size),
        frames: None,
        frame_bytes: 64,
        content: Content::default(),
        wait: Wait::Sleep,
        millis: Some(1),
    };
    for task in [StandaloneTask::Frontend(frontend), StandaloneTask::Backend(backend)] {
        let text = serde_json::to_string(&task).unwrap();
        assert_eq!(serde_json::from_str::<StandaloneTask>(&text).unwrap(), task);
    }
}

#[test]
fn every_feature_that_is_offered_has_a_name() {
    use crate::backend::{FEATURES, PROTOCOL_FEATURES};
    let all = [features(FEATURES), protocol_features(PROTOCOL_FEATURES)].concat();
    assert!(all.iter().all(|name| !name.starts_with("0x")), "{all:?}");
    assert_eq!(features(feature::VERSION_1 | 1 << 5), ["VERSION_1", "0x20"]);
}

#[test]
fn a_peer_that_hangs_up_at_once_is_told_of() {
    let (ours, theirs) = crate::socket::pair().unwrap();
    drop(theirs);
    let task = BackendTask {
        mode: BackendMode::Echo,
        size: None,
        frames: None,
        frame_bytes: 64,
        content: Content::default(),
        wait: Wait::Both,
        millis: Some(5000),
    };
    let mut said = Vec::new();
    run(&StandaloneTask::Backend(task), ours, &mut |line| {
        said.push(line.clone());
        Ok(())
    })
    .unwrap();
    let Some(SessionEvent::Ended { outcome, text }) = said.last() else { panic!("{said:?}") };
    assert_eq!(*outcome, Outcome::Unknown);
    assert!(text.starts_with("the frontend shared no memory: the frontend"), "{text}");
}

#[test]
fn the_time_that_was_given_is_kept() {
    let (ours, theirs) = crate::socket::pair().unwrap();
    let began = Instant::now();
    for frames in [None, Some(1)] {
        let task = BackendTask {
            mode: BackendMode::Sink,
            size: None,
            frames,
            frame_bytes: 64,
            content: Content::default(),
            wait: Wait::Both,
            millis: Some(60),
        };
        let mut last = None;
        run(&StandaloneTask::Backend(task), ours.try_clone().unwrap(), &mut |line| {
            last = Some(line.clone());
            Ok(())
        })
        .unwrap();
        let expected = if frames.is_some() { Outcome::Fail } else { Outcome::Unknown };
        assert!(matches!(last, Some(SessionEvent::Ended { outcome, .. }) if outcome == expected), "{last:?}");
    }
    // Each run has 60 ms. Without that limit, it would wait forever for a peer that sends nothing.
    assert!(began.elapsed() >= Duration::from_millis(120));
    drop(theirs);
}
