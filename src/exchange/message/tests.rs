//! Tests that every message can be serialised and parsed again, and that other bytes are rejected.

use proptest::prelude::*;

use super::codec::Shape;
use super::*;

fn parse(bytes: &[u8]) -> Result<Message, MessageError> {
    let header = Header::parse(bytes.first_chunk().unwrap())?;
    Message::parse(&header, &bytes[HEADER_BYTES..])
}

#[test]
fn the_bytes_are_those_of_the_specification() {
    let state = Payload::Vring(VringState { index: 1, num: 256 });
    let message = Message { needs_reply: true, ..Message::request(Request::SetVringNum, state) };
    assert_eq!(message.to_bytes(), [8, 0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0]);
    let reply = Message::reply(Request::GetFeatures, Payload::U64(feature::VERSION_1));
    assert_eq!(reply.to_bytes(), [1, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    let region = MemoryRegion { guest: 1, bytes: 2, user: 3, offset: 4 };
    let table = Message::request(Request::SetMemTable, Payload::Regions(vec![region; 8]));
    assert_eq!(table.to_bytes().len(), HEADER_BYTES + 8 + 8 * 32);
    assert_eq!(
        Message::request(Request::AddMemReg, Payload::Region(region)).to_bytes()[HEADER_BYTES..],
        [
            [0; 8],
            [1, 0, 0, 0, 0, 0, 0, 0],
            [2, 0, 0, 0, 0, 0, 0, 0],
            [3, 0, 0, 0, 0, 0, 0, 0],
            [4, 0, 0, 0, 0, 0, 0, 0]
        ]
        .concat()
    );
}

#[test]
fn requests_keep_their_numbers() {
    for (request, number) in [
        (Request::GetFeatures, 1),
        (Request::SetMemTable, 5),
        (Request::SetVringErr, 14),
        (Request::SetVringEnable, 18),
        (Request::SetConfig, 25),
        (Request::GetMaxMemSlots, 36),
        (Request::GetStatus, 40),
        (Request::Unknown(9999), 9999),
    ] {
        assert_eq!((request.number(), Request::from_number(number)), (number, request));
    }
    assert_eq!(Request::SetMemTable.to_string(), "SET_MEM_TABLE");
    assert_eq!(Request::Unknown(77).to_string(), "request 77");
}

#[test]
fn what_is_wrong_with_a_message_is_named() {
    let header = |request: u32, flags: u32, size: u32| [request, flags, size].map(u32::to_le_bytes).concat();
    let table = |count: u32, regions: usize| {
        let size = 8 + regions * 32;
        [header(5, 1, size.try_into().unwrap()), count.to_le_bytes().to_vec(), vec![0; size - 4]].concat()
    };
    let with =
        |request: u32, size: usize| [header(request, 1, size.try_into().unwrap()), vec![0; size]].concat();
    for (bytes, why) in [
        (header(1, 0, 0), "GET_FEATURES with flags 0x0: version 0 instead of 1"),
        (header(1, 2, 0), "version 2 instead of 1"),
        (header(5, 1, 4097), "SET_MEM_TABLE announces 4097 bytes, more than 4096"),
        (header(5, 1, u32::MAX), "more than 4096"),
        (with(1, 8), "GET_FEATURES with 8 bytes instead of 0"),
        (with(2, 7), "SET_FEATURES with 7 bytes instead of 8"),
        (with(2, 9), "SET_FEATURES with 9 bytes instead of 8"),
        (with(9, 39), "SET_VRING_ADDR with 39 bytes instead of 40"),
        (with(5, 4), "SET_MEM_TABLE with 4 bytes instead of 8 and 32 for each region"),
        (table(9, 9), "SET_MEM_TABLE with 9 regions, more than 8"),
        (table(u32::MAX, 1), "4294967295 regions"),
        (table(2, 1), "with 40 bytes instead of 72"),
        (table(1, 2), "with 72 bytes instead of 40"),
        (with(37, 32), "ADD_MEM_REG with 32 bytes instead of 40"),
        (with(6, 12), "SET_LOG_BASE with 12 bytes instead of 8 or 16"),
        (with(24, 11), "GET_CONFIG with 11 bytes instead of 12 and as many"),
        (with(24, 13), "GET_CONFIG with 13 bytes"),
    ] {
        let error = parse(&bytes).unwrap_err().to_string();
        assert!(error.contains(why), "{error}, not {why}");
    }
}

#[test]
fn a_vring_and_its_descriptor_are_told_apart_from_other_bits() {
    assert_eq!(parse_vring_fd(3), Some((3, true)));
    assert_eq!(parse_vring_fd(0x103), Some((3, false)));
    assert_eq!(parse_vring_fd(0x203), None);
    assert_eq!(vring_fd(3, false), Payload::U64(0x103));
}

fn region() -> impl Strategy<Value = MemoryRegion> {
    any::<[u64; 4]>().prop_map(|[guest, bytes, user, offset]| MemoryRegion { guest, bytes, user, offset })
}

fn payload(shape: Shape) -> BoxedStrategy<Payload> {
    match shape {
        Shape::None => Just(Payload::None).boxed(),
        Shape::U64 => any::<u64>().prop_map(Payload::U64).boxed(),
        Shape::Vring => {
            any::<[u32; 2]>().prop_map(|[index, num]| Payload::Vring(VringState { index, num })).boxed()
        }
        Shape::Addresses => any::<([u32; 2], [u64; 4])>()
            .prop_map(|([index, flags], [descriptors, used, available, log])| {
                Payload::Addresses(VringAddresses { index, flags, descriptors, used, available, log })
            })
            .boxed(),
        Shape::Regions => prop::collection::vec(region(), 0..=8).prop_map(Payload::Regions).boxed(),
        Shape::Region => region().prop_map(Payload::Region).boxed(),
        Shape::Log => any::<[u64; 2]>().prop_map(|[size, offset]| Payload::Log { size, offset }).boxed(),
        Shape::Config => (any::<[u32; 2]>(), prop::collection::vec(any::<u8>(), 1..=CONFIG_LIMIT))
            .prop_map(|([offset, flags], bytes)| Payload::Config(Config { offset, flags, bytes }))
            .boxed(),
        Shape::Raw => prop::collection::vec(any::<u8>(), 0..64).prop_map(Payload::Raw).boxed(),
    }
}

fn message() -> impl Strategy<Value = Message> {
    let number = prop_oneof![1..=43_u32, any::<u32>()];
    (number, any::<bool>(), any::<bool>()).prop_flat_map(|(number, is_reply, needs_reply)| {
        let request = Request::from_number(number);
        payload(request.shape(is_reply)).prop_map(move |payload| Message {
            request,
            is_reply,
            needs_reply,
            payload,
        })
    })
}

proptest! {
    #[test]
    fn every_message_survives_its_own_bytes(message in message()) {
        let bytes = message.to_bytes();
        let header = Header::parse(bytes.first_chunk().unwrap()).unwrap();
        prop_assert_eq!(header.size, bytes.len() - HEADER_BYTES);
        prop_assert_eq!(parse(&bytes), Ok(message));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), HEADER_BYTES..600)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn no_payload_of_a_known_request_panics(
        number in 1..=43_u32, is_reply: bool, payload in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let header = Header {
            request: Request::from_number(number), is_reply, needs_reply: false, size: payload.len(),
        };
        if let Ok(message) = Message::parse(&header, &payload) {
            prop_assert_eq!(message.request, header.request);
        }
    }

    #[test]
    fn no_number_names_a_vring_beyond_a_byte(number: u64) {
        if let Some((index, _)) = parse_vring_fd(number) {
            prop_assert!(index < 256);
        }
    }
}
