//! The requests of vhost-user, by name and number.

macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident = $number:literal $text:literal)+) => {
        /// The type of a message.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Request {
            $($(#[$doc])* $name,)+
            /// A request whose number is not known here.
            Unknown(u32),
        }

        impl Request {
            /// Returns the request with this number.
            #[must_use]
            pub const fn from_number(number: u32) -> Self {
                match number {
                    $($number => Self::$name,)+
                    _ => Self::Unknown(number),
                }
            }

            /// Returns the number of the request.
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
    /// Reads the virtio features that the backend offers.
    GetFeatures = 1 "GET_FEATURES"
    /// Sets the virtio features to use.
    SetFeatures = 2 "SET_FEATURES"
    /// Starts a session.
    SetOwner = 3 "SET_OWNER"
    /// Deprecated. The backend disables all rings or ignores it.
    ResetOwner = 4 "RESET_OWNER"
    /// Sets the memory table, with a descriptor for each region.
    SetMemTable = 5 "SET_MEM_TABLE"
    /// Sets the log of dirty pages.
    SetLogBase = 6 "SET_LOG_BASE"
    /// Sets the eventfd of the log.
    SetLogFd = 7 "SET_LOG_FD"
    /// Sets the number of descriptors of a vring.
    SetVringNum = 8 "SET_VRING_NUM"
    /// Sets the addresses of a vring.
    SetVringAddr = 9 "SET_VRING_ADDR"
    /// Sets the position in the available ring at which a vring starts.
    SetVringBase = 10 "SET_VRING_BASE"
    /// Stops a vring, and reads the position in the available ring at which it stopped.
    GetVringBase = 11 "GET_VRING_BASE"
    /// Sets the eventfd with which the driver announces available buffers.
    SetVringKick = 12 "SET_VRING_KICK"
    /// Sets the eventfd with which the device announces used buffers.
    SetVringCall = 13 "SET_VRING_CALL"
    /// Sets the eventfd with which the device announces errors.
    SetVringErr = 14 "SET_VRING_ERR"
    /// Reads the protocol features that the backend offers.
    GetProtocolFeatures = 15 "GET_PROTOCOL_FEATURES"
    /// Sets the protocol features to use.
    SetProtocolFeatures = 16 "SET_PROTOCOL_FEATURES"
    /// Reads how many queues the backend has. For network devices these are queue pairs.
    GetQueueNum = 17 "GET_QUEUE_NUM"
    /// Enables or disables a vring.
    SetVringEnable = 18 "SET_VRING_ENABLE"
    /// Asks the backend to announce a guest that has migrated.
    SendRarp = 19 "SEND_RARP"
    /// Sets the guest's MTU.
    NetSetMtu = 20 "NET_SET_MTU"
    /// Sets the socket for requests that the backend sends.
    SetBackendReqFd = 21 "SET_BACKEND_REQ_FD"
    /// Sends an address translation.
    IotlbMsg = 22 "IOTLB_MSG"
    /// Sets the byte order of a vring.
    SetVringEndian = 23 "SET_VRING_ENDIAN"
    /// Reads the configuration space.
    GetConfig = 24 "GET_CONFIG"
    /// Writes the configuration space.
    SetConfig = 25 "SET_CONFIG"
    /// Opens a session of a crypto device.
    CreateCryptoSession = 26 "CREATE_CRYPTO_SESSION"
    /// Closes a session of a crypto device.
    CloseCryptoSession = 27 "CLOSE_CRYPTO_SESSION"
    /// Announces a migration that may use postcopy.
    PostcopyAdvise = 28 "POSTCOPY_ADVISE"
    /// Announces that the migration has switched to postcopy.
    PostcopyListen = 29 "POSTCOPY_LISTEN"
    /// Announces that postcopy has ended.
    PostcopyEnd = 30 "POSTCOPY_END"
    /// Requests memory for tracking requests in flight.
    GetInflightFd = 31 "GET_INFLIGHT_FD"
    /// Returns that memory to the backend after a reconnect.
    SetInflightFd = 32 "SET_INFLIGHT_FD"
    /// Sets the socket of a GPU device.
    GpuSetSocket = 33 "GPU_SET_SOCKET"
    /// Resets the device to its initial state.
    ResetDevice = 34 "RESET_DEVICE"
    /// Kicks a vring by a message instead of an eventfd.
    VringKick = 35 "VRING_KICK"
    /// Reads how many regions the backend accepts.
    GetMaxMemSlots = 36 "GET_MAX_MEM_SLOTS"
    /// Adds one region, with its descriptor.
    AddMemReg = 37 "ADD_MEM_REG"
    /// Removes one region.
    RemMemReg = 38 "REM_MEM_REG"
    /// Sets the virtio device status.
    SetStatus = 39 "SET_STATUS"
    /// Reads the virtio device status.
    GetStatus = 40 "GET_STATUS"
    /// Requests a buffer that devices share.
    GetSharedObject = 41 "GET_SHARED_OBJECT"
    /// Sets the descriptor for migrating the device's own state.
    SetDeviceStateFd = 42 "SET_DEVICE_STATE_FD"
    /// Reads whether that migration succeeded.
    CheckDeviceState = 43 "CHECK_DEVICE_STATE"
}
