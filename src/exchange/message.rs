//! The messages of vhost-user, from bytes and to bytes.
//!
//! Source: QEMU's docs/interop/vhost-user.rst, "Message Specification" and "Front-end message types". Numbers are in
//! the machine's byte order there; every machine that this runs on is little-endian, and so is this codec. Sizes are
//! strict: a payload is exactly as long as its request says, or it is an error.

mod codec;
mod request;

pub use request::Request;

/// Request, flags, size: 32 bits each.
pub const HEADER_BYTES: usize = 12;
/// The longest payload that is taken, bytes. The longest one that is known, a configuration space, has 268.
pub const PAYLOAD_LIMIT: usize = 4096;
/// The most regions in one SET_MEM_TABLE, and with them the most descriptors in one message.
pub const REGIONS_LIMIT: usize = 8;
/// The longest configuration space, bytes.
pub const CONFIG_LIMIT: usize = 256;

/// The low two bits of the flags: the version.
const VERSION: u32 = 1;
const VERSION_MASK: u32 = 3;
const REPLY: u32 = 1 << 2;
const NEED_REPLY: u32 = 1 << 3;
/// No descriptor comes with this SET_VRING_KICK, CALL or ERR.
const NO_FD: u64 = 1 << 8;
const INDEX_MASK: u64 = 0xff;

/// Bits of GET_FEATURES and SET_FEATURES.
pub mod feature {
    /// The driver can be given one frame in several buffers.
    pub const MRG_RXBUF: u64 = 1 << 15;
    /// The driver may use several queue pairs. Which of them it uses shows in SET_VRING_ENABLE.
    pub const MQ: u64 = 1 << 22;
    /// Whether protocol features are spoken of at all.
    pub const PROTOCOL_FEATURES: u64 = 1 << 30;
    /// virtio 1.0: little-endian rings, headers of 12 bytes.
    pub const VERSION_1: u64 = 1 << 32;
}

/// Bits of GET_PROTOCOL_FEATURES and SET_PROTOCOL_FEATURES.
pub mod protocol {
    /// GET_QUEUE_NUM is answered.
    pub const MQ: u64 = 1;
    /// A request may ask for an answer that it would not have.
    pub const REPLY_ACK: u64 = 1 << 3;
    /// GET_CONFIG and SET_CONFIG.
    pub const CONFIG: u64 = 1 << 9;
    /// RESET_DEVICE.
    pub const RESET_DEVICE: u64 = 1 << 13;
    /// GET_MAX_MEM_SLOTS, ADD_MEM_REG, REM_MEM_REG.
    pub const CONFIGURE_MEM_SLOTS: u64 = 1 << 15;
    /// GET_STATUS and SET_STATUS.
    pub const STATUS: u64 = 1 << 16;
}

/// A message with its payload understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What is asked, or answered.
    pub request: Request,
    /// Whether it is an answer.
    pub is_reply: bool,
    /// Whether the sender wants an answer in any case. Counts only once REPLY_ACK was negotiated.
    pub needs_reply: bool,
    /// What comes with it.
    pub payload: Payload,
}

/// The first 12 bytes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What is asked, or answered.
    pub request: Request,
    /// As in [`Message`].
    pub is_reply: bool,
    /// As in [`Message`].
    pub needs_reply: bool,
    /// How many bytes follow; at most [`PAYLOAD_LIMIT`].
    pub size: usize,
}

/// What comes with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Nothing.
    None,
    /// A number.
    U64(u64),
    /// A vring and a number.
    Vring(VringState),
    /// Where the parts of a vring are.
    Addresses(VringAddresses),
    /// The memory table; its files come as descriptors, in the same order.
    Regions(Vec<MemoryRegion>),
    /// One region.
    Region(MemoryRegion),
    /// The log of dirty pages.
    Log {
        /// Bytes.
        size: u64,
        /// Where it begins in the file that is passed.
        offset: u64,
    },
    /// A part of the device's configuration space.
    Config(Config),
    /// The bytes of a request that is not known here, or whose payload does not matter here.
    Raw(Vec<u8>),
}

/// A vring and a number about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VringState {
    /// Which vring.
    pub index: u32,
    /// Its size, its base, or whether it is enabled.
    pub num: u32,
}

/// Where the parts of a vring are, as user addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VringAddresses {
    /// Which vring.
    pub index: u32,
    /// Bit 0: log writes to the used ring.
    pub flags: u32,
    /// The descriptor table.
    pub descriptors: u64,
    /// The used ring.
    pub used: u64,
    /// The available ring.
    pub available: u64,
    /// Guest address for logging.
    pub log: u64,
}

/// One region of the frontend's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryRegion {
    /// Where the guest has it: the addresses in descriptors.
    pub guest: u64,
    /// Its length, bytes.
    pub bytes: u64,
    /// Where the frontend has it: the addresses of vrings.
    pub user: u64,
    /// Where it begins in its file, bytes.
    pub offset: u64,
}

/// A part of the device's configuration space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where it begins.
    pub offset: u32,
    /// 0: fields that the driver may write; 1: live migration.
    pub flags: u32,
    /// The bytes; an answer without any says that the backend refuses.
    pub bytes: Vec<u8>,
}

/// A message that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The version is not 1.
    #[error("{request} with flags {flags:#x}: version {} instead of {VERSION}", flags & VERSION_MASK)]
    Version {
        /// The request.
        request: Request,
        /// All of its flags.
        flags: u32,
    },
    /// It announces more than any message has.
    #[error("{request} announces {size} bytes, more than {PAYLOAD_LIMIT}")]
    TooLong {
        /// The request.
        request: Request,
        /// What it announces.
        size: u32,
    },
    /// Its payload is not as long as the request says.
    #[error("{request} with {size} bytes instead of {expected}")]
    Size {
        /// The request.
        request: Request,
        /// How long it is.
        size: usize,
        /// How long it has to be.
        expected: String,
    },
    /// A memory table with more regions than there may be.
    #[error("{request} with {0} regions, more than {REGIONS_LIMIT}", request = Request::SetMemTable)]
    TooManyRegions(u32),
}

// === impl Header ===

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    ///
    /// The version is not 1, or more is announced than any message has.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, MessageError> {
        let [number, flags, size] = codec::three_numbers(bytes);
        let request = Request::from_number(number);
        if flags & VERSION_MASK != VERSION {
            return Err(MessageError::Version { request, flags });
        }
        let fits = usize::try_from(size).ok().filter(|size| *size <= PAYLOAD_LIMIT);
        let size = fits.ok_or(MessageError::TooLong { request, size })?;
        Ok(Self { request, is_reply: flags & REPLY != 0, needs_reply: flags & NEED_REPLY != 0, size })
    }
}

// === impl Message ===

impl Message {
    /// A request.
    #[must_use]
    pub const fn request(request: Request, payload: Payload) -> Self {
        Self { request, is_reply: false, needs_reply: false, payload }
    }

    /// The answer to `request`.
    #[must_use]
    pub const fn reply(request: Request, payload: Payload) -> Self {
        Self { request, is_reply: true, needs_reply: false, payload }
    }

    /// Reads what follows a header.
    ///
    /// # Errors
    ///
    /// The payload is not as long as the request says, or has too many regions.
    pub fn parse(header: &Header, bytes: &[u8]) -> Result<Self, MessageError> {
        let payload = header.request.shape(header.is_reply).parse(header.request, bytes)?;
        Ok(Self {
            request: header.request,
            is_reply: header.is_reply,
            needs_reply: header.needs_reply,
            payload,
        })
    }

    /// The bytes to send: header and payload.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(64);
        self.payload.write(&mut payload);
        let flags =
            VERSION | if self.is_reply { REPLY } else { 0 } | if self.needs_reply { NEED_REPLY } else { 0 };
        // A payload that does not fit 32 bits cannot be made here; the receiver would refuse it.
        let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
        for field in [self.request.number(), flags, size] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.append(&mut payload);
        bytes
    }
}

/// The payload of SET_VRING_KICK, CALL and ERR: the vring, and whether a descriptor comes with it.
#[must_use]
pub fn vring_fd(index: u8, has_fd: bool) -> Payload {
    Payload::U64(u64::from(index) | if has_fd { 0 } else { NO_FD })
}

/// The vring in a payload of SET_VRING_KICK, CALL or ERR, and whether a descriptor comes with it. `None` for other bits.
#[must_use]
pub fn parse_vring_fd(number: u64) -> Option<(u32, bool)> {
    if number & !(INDEX_MASK | NO_FD) != 0 {
        return None;
    }
    Some((u32::try_from(number & INDEX_MASK).ok()?, number & NO_FD == 0))
}

#[cfg(test)]
mod tests;
