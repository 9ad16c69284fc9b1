//! The requests of vhost-user by name and number.

macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident = $number:literal $text:literal)+) => {
        /// What a message asks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Request {
            $($(#[$doc])* $name,)+
            /// One that is not known here.
            Unknown(u32),
        }

        impl Request {
            /// Every request that has a name here.
            pub const KNOWN: &[Self] = &[$(Self::$name),+];

            /// The request with this number.
            #[must_use]
            pub const fn from_number(number: u32) -> Self {
                match number {
                    $($number => Self::$name,)+
                    _ => Self::Unknown(number),
                }
            }

            /// Its number.
            #[must_use]
            pub const fn number(self) -> u32 {
                match self {
                    $(Self::$name => $number,)+
                    Self::Unknown(number) => number,
                }
            }
        }

        impl std::fmt::Display for Request {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$name => f.pad($text),)+
                    Self::Unknown(number) => write!(f, "request {number}"),
                }
            }
        }
    };
}

requests! {
    /// The virtio features that the backend offers.
    GetFeatures = 1 "GET_FEATURES"
    /// Those of them that are used.
    SetFeatures = 2 "SET_FEATURES"
    /// A session begins.
    SetOwner = 3 "SET_OWNER"
    /// Deprecated: disable all rings, or ignore it.
    ResetOwner = 4 "RESET_OWNER"
    /// The memory, with a descriptor per region.
    SetMemTable = 5 "SET_MEM_TABLE"
    /// The log of dirty pages.
    SetLogBase = 6 "SET_LOG_BASE"
    /// The eventfd of the log.
    SetLogFd = 7 "SET_LOG_FD"
    /// The size of a vring.
    SetVringNum = 8 "SET_VRING_NUM"
    /// Where a vring is.
    SetVringAddr = 9 "SET_VRING_ADDR"
    /// Where in the available ring to begin.
    SetVringBase = 10 "SET_VRING_BASE"
    /// Stops a vring; where in the available ring it stopped.
    GetVringBase = 11 "GET_VRING_BASE"
    /// The eventfd by which the driver tells of buffers.
    SetVringKick = 12 "SET_VRING_KICK"
    /// The eventfd by which the device tells of used buffers.
    SetVringCall = 13 "SET_VRING_CALL"
    /// The eventfd by which the device tells of errors.
    SetVringErr = 14 "SET_VRING_ERR"
    /// The protocol features that the backend offers.
    GetProtocolFeatures = 15 "GET_PROTOCOL_FEATURES"
    /// Those of them that are used.
    SetProtocolFeatures = 16 "SET_PROTOCOL_FEATURES"
    /// How many queues (for net: queue pairs) the backend has.
    GetQueueNum = 17 "GET_QUEUE_NUM"
    /// Enables or disables a vring.
    SetVringEnable = 18 "SET_VRING_ENABLE"
    /// Announce a guest that has moved.
    SendRarp = 19 "SEND_RARP"
    /// The guest's MTU.
    NetSetMtu = 20 "NET_SET_MTU"
    /// The socket for requests of the backend's.
    SetBackendReqFd = 21 "SET_BACKEND_REQ_FD"
    /// An address translation.
    IotlbMsg = 22 "IOTLB_MSG"
    /// The byte order of a vring.
    SetVringEndian = 23 "SET_VRING_ENDIAN"
    /// Reads the configuration space.
    GetConfig = 24 "GET_CONFIG"
    /// Writes the configuration space.
    SetConfig = 25 "SET_CONFIG"
    /// For crypto devices.
    CreateCryptoSession = 26 "CREATE_CRYPTO_SESSION"
    /// For crypto devices.
    CloseCryptoSession = 27 "CLOSE_CRYPTO_SESSION"
    /// Migration.
    PostcopyAdvise = 28 "POSTCOPY_ADVISE"
    /// Migration.
    PostcopyListen = 29 "POSTCOPY_LISTEN"
    /// Migration.
    PostcopyEnd = 30 "POSTCOPY_END"
    /// Memory for tracking requests in flight.
    GetInflightFd = 31 "GET_INFLIGHT_FD"
    /// The same, given back after a reconnect.
    SetInflightFd = 32 "SET_INFLIGHT_FD"
    /// For GPU devices.
    GpuSetSocket = 33 "GPU_SET_SOCKET"
    /// Back to the initial state.
    ResetDevice = 34 "RESET_DEVICE"
    /// A kick within the conversation.
    VringKick = 35 "VRING_KICK"
    /// How many regions the backend takes.
    GetMaxMemSlots = 36 "GET_MAX_MEM_SLOTS"
    /// One region more, with its descriptor.
    AddMemReg = 37 "ADD_MEM_REG"
    /// One region less.
    RemMemReg = 38 "REM_MEM_REG"
    /// The virtio device status.
    SetStatus = 39 "SET_STATUS"
    /// The same, read.
    GetStatus = 40 "GET_STATUS"
    /// A buffer shared between devices.
    GetSharedObject = 41 "GET_SHARED_OBJECT"
    /// Migration of the device's own state.
    SetDeviceStateFd = 42 "SET_DEVICE_STATE_FD"
    /// Whether that migration went well.
    CheckDeviceState = 43 "CHECK_DEVICE_STATE"
}
