//! What the reader of a message should take it for (RFC 8831, section 8).

/// The payload protocol identifier of a message.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
#[repr(C)]
pub enum PayloadProtocolIdentifier {
    /// The Data Channel Establishment Protocol.
    Dcep = 50,
    /// A text.
    String = 51,
    /// Bytes.
    Binary = 53,
    /// A text of no length: SCTP has no empty messages, so one byte stands for it.
    StringEmpty = 56,
    /// The same for bytes.
    BinaryEmpty = 57,
    /// Something else.
    #[default]
    Unknown = 0,
}

impl From<u32> for PayloadProtocolIdentifier {
    fn from(value: u32) -> Self {
        match value {
            50 => Self::Dcep,
            51 => Self::String,
            53 => Self::Binary,
            56 => Self::StringEmpty,
            57 => Self::BinaryEmpty,
            _ => Self::Unknown,
        }
    }
}
