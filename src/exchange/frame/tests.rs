//! Tests that lost, doubled, altered and foreign frames are told apart.

use super::*;
use proptest::prelude::*;

fn tally(change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Tally {
    let mut source = Source::new(7, 64);
    let mut frames: Vec<_> = (0..10).map(|_| source.make().to_vec()).collect();
    change(&mut frames);
    let mut tracker = Tracker::new(7);
    frames.iter().for_each(|frame| tracker.look(frame));
    tracker.tally()
}

#[test]
fn lost_doubled_altered_and_foreign_are_four_things() {
    let whole = Tally { intact: 10, bytes: 640, ..Tally::default() };
    assert_eq!(tally(|_| ()), whole);
    assert_eq!(tally(|frames| frames.reverse()), whole);
    let lost = tally(|frames| drop(frames.remove(4)));
    assert_eq!((lost, lost.lost(10)), (Tally { intact: 9, bytes: 576, ..whole }, 1));
    assert_eq!(tally(|frames| frames.push(frames[3].clone())), Tally { doubled: 1, ..whole });
    assert_eq!(tally(|frames| frames.push(vec![0; 64])), Tally { foreign: 1, ..whole });
    assert_eq!(tally(|frames| frames.push(vec![])), Tally { foreign: 1, ..whole });
    assert_eq!(tally(|frames| frames[5].truncate(63)), Tally { intact: 9, bytes: 576, altered: 1, ..whole });
    assert_eq!(tally(|frames| frames.push(HEADER.to_vec())), Tally { altered: 1, ..whole });
    let altered = tally(|frames| frames[5][50] ^= 1);
    assert_eq!((altered.altered, altered.lost(10)), (1, 0), "an altered frame has come");
    let other = Source::new(8, 64).make().to_vec();
    assert_eq!(tally(|frames| frames.push(other)), Tally { altered: 1, ..whole });
    assert!(whole.is_whole(10) && !whole.is_whole(11) && !lost.is_whole(10));
}

#[test]
fn a_copy_of_the_first_frame_alone_is_allowed_and_as_often_as_it_was_sent_again() {
    let mut source = Source::new(7, 64);
    let frames: Vec<_> = (0..3).map(|_| source.make().to_vec()).collect();
    let doubled = |copies: &[usize]| {
        let mut tracker = Tracker::new(7);
        tracker.allow_first_again();
        frames.iter().chain(copies.iter().map(|at| &frames[*at])).for_each(|frame| tracker.look(frame));
        (tracker.tally().ours(), tracker.tally().doubled)
    };
    assert_eq!(doubled(&[0]), (3, 0));
    assert_eq!(doubled(&[0, 0]), (4, 1));
    assert_eq!(doubled(&[2]), (4, 1));
}

#[test]
fn plain_frames_are_all_the_same_and_counted_unread() {
    let mut source = Source::new(7, 64).with(Content::Plain);
    let first = source.make().to_vec();
    assert_eq!((source.make(), first.len()), (&first[..], 64));
    assert_eq!(source.made(), 2);
    let mut tracker = Tracker::new(7).with(Content::Plain);
    for frame in [&first[..], &[0; 60]] {
        tracker.look(frame);
    }
    let tally = Tally { unread: 2, bytes: 124, ..Tally::default() };
    assert_eq!(tracker.tally(), tally);
    assert!(tally.is_whole(2) && !tally.is_whole(3) && tally.lost(3) == 1 && tally.ours() == 2);
}

#[test]
fn a_knock_is_none_of_the_frames_that_are_counted() {
    assert!(is_knock(&knock()));
    assert!(!is_knock(Source::new(1, 64).make()) && !is_knock(&[]));
    assert_eq!(tally(|frames| frames.push(knock().to_vec())).foreign, 1);
}

#[test]
fn what_is_beyond_the_window_is_doubled_and_not_new() {
    let mut source = Source::new(1, 60);
    let mut tracker = Tracker::new(1);
    let first = source.make().to_vec();
    tracker.look(&first);
    for _ in 0..=WINDOW {
        tracker.look(source.make());
    }
    assert_eq!(tracker.tally().intact, WINDOW + 2);
    tracker.look(&first);
    assert_eq!(tracker.tally().doubled, 1);
}

#[test]
fn a_jump_to_the_end_of_numbers_is_survived() {
    let mut source = Source { next: u64::MAX - 1, ..Source::new(1, 60) };
    let mut tracker = Tracker::new(1);
    tracker.look(source.make());
    tracker.look(Source::new(1, 60).make());
    assert_eq!((tracker.tally().intact, tracker.tally().doubled), (1, 1));
}

proptest! {
    #[test]
    fn every_changed_bit_is_noticed(length in SHORTEST..=LONGEST, seed: u64, bit: usize) {
        let mut frame = Source::new(seed, length).make().to_vec();
        prop_assert_eq!(frame.len(), length);
        let bit = bit % (frame.len() * 8);
        frame[bit / 8] ^= 1 << (bit % 8);
        let mut tracker = Tracker::new(seed);
        tracker.look(&frame);
        prop_assert_eq!(tracker.tally().intact, 0);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        Tracker::new(0).look(&bytes);
    }
}
