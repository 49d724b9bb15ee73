//! A track's payloads: their encoding, and the schema that describes them.
//!
//! The registries mirror MCAP's. The numbers are those of `livekit_models.proto` (`DataTrackFrameEncoding`,
//! `DataTrackSchemaEncoding`).

use std::fmt;
use std::sync::Arc;

/// Longest custom encoding, in characters. The server refuses longer ones.
pub const MAX_CUSTOM_ENCODING_LEN: usize = 32;
/// Longest schema name, in characters. The server refuses longer ones.
pub const MAX_SCHEMA_NAME_LEN: usize = 256;

macro_rules! encoding {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A well-known encoding that this version does not know, with its number.
            Other(u32),
            /// An encoding of the application's own: 1 to 32 characters.
            Custom(Arc<str>),
        }

        impl $name {
            /// The protocol's number of a well-known encoding; `None` for a custom one.
            pub const fn number(&self) -> Option<u32> {
                match self {
                    $(Self::$variant => Some($number),)*
                    Self::Other(number) => Some(*number),
                    Self::Custom(_) => None,
                }
            }

            /// The well-known encoding with that number.
            pub const fn from_number(number: u32) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Other(other),
                }
            }

            /// The well-known encoding with that name in lower case, as MCAP writes it.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => f.write_str($text),)*
                    Self::Other(number) => write!(f, "other({number})"),
                    Self::Custom(name) => write!(f, "custom({name})"),
                }
            }
        }
    };
}

encoding! {
    /// How the payload of each frame is encoded.
    FrameEncoding {
        /// ROS 1 serialization, described by [`SchemaEncoding::Ros1Msg`].
        Ros1 = 1, "ros1";
        /// CDR (ROS 2, DDS), described by [`SchemaEncoding::Ros2Msg`], [`SchemaEncoding::Ros2Idl`] or
        /// [`SchemaEncoding::OmgIdl`].
        Cdr = 2, "cdr";
        /// Protocol Buffers, described by [`SchemaEncoding::Protobuf`].
        Protobuf = 3, "protobuf";
        /// FlatBuffers, described by [`SchemaEncoding::Flatbuffer`].
        Flatbuffer = 4, "flatbuffer";
        /// CBOR; describes itself.
        Cbor = 5, "cbor";
        /// MessagePack; describes itself.
        Msgpack = 6, "msgpack";
        /// JSON; describes itself, or is described by [`SchemaEncoding::JsonSchema`].
        Json = 7, "json";
    }
}

encoding! {
    /// The language of a schema.
    SchemaEncoding {
        /// Protocol Buffers' IDL.
        Protobuf = 1, "protobuf";
        /// FlatBuffers' IDL.
        Flatbuffer = 2, "flatbuffer";
        /// ROS 1 `.msg`.
        Ros1Msg = 3, "ros1msg";
        /// ROS 2 `.msg`.
        Ros2Msg = 4, "ros2msg";
        /// ROS 2 `.idl`.
        Ros2Idl = 5, "ros2idl";
        /// OMG IDL.
        OmgIdl = 6, "omgidl";
        /// JSON Schema.
        JsonSchema = 7, "jsonschema";
    }
}

/// The name of a schema in the room's blob store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SchemaId {
    /// The name: 1 to 256 characters.
    pub name: Arc<str>,
    /// The language the schema is written in.
    pub encoding: SchemaEncoding,
}

/// Why a pair of frame encoding and schema cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A schema was given, but no frame encoding.
    #[error("a schema needs a frame encoding beside it")]
    MissingFrameEncoding,
    /// The frame encoding does not describe itself, and no schema was given.
    #[error("frames encoded as {0} need a schema")]
    MissingSchema(FrameEncoding),
    /// The schema's language cannot describe the frame encoding.
    #[error("a schema in {schema} cannot describe frames encoded as {frame}")]
    Incompatible {
        /// The frames' encoding.
        frame: FrameEncoding,
        /// The schema's language.
        schema: SchemaEncoding,
    },
    /// The schema's name is empty or too long.
    #[error("a schema name has 1 to {MAX_SCHEMA_NAME_LEN} characters, this one has {0}")]
    InvalidSchemaName(usize),
    /// A custom encoding's name is empty or too long.
    #[error("a custom encoding has 1 to {MAX_CUSTOM_ENCODING_LEN} characters, this one has {0}")]
    InvalidCustomEncoding(usize),
}

/// Checks a publication's metadata by LiveKit's rules, before anything is sent.
pub fn validate(frame: Option<&FrameEncoding>, schema: Option<&SchemaId>) -> Result<(), SchemaError> {
    if let Some(FrameEncoding::Custom(name)) = frame {
        check_custom(name)?;
    }
    let Some(schema) = schema else {
        return match frame {
            Some(
                frame @ (FrameEncoding::Ros1
                | FrameEncoding::Cdr
                | FrameEncoding::Protobuf
                | FrameEncoding::Flatbuffer),
            ) => Err(SchemaError::MissingSchema(frame.clone())),
            _ => Ok(()),
        };
    };
    if let SchemaEncoding::Custom(name) = &schema.encoding {
        check_custom(name)?;
    }
    let len = schema.name.chars().count();
    if !(1..=MAX_SCHEMA_NAME_LEN).contains(&len) {
        return Err(SchemaError::InvalidSchemaName(len));
    }
    let frame = frame.ok_or(SchemaError::MissingFrameEncoding)?;
    let compatible = match frame {
        FrameEncoding::Ros1 => schema.encoding == SchemaEncoding::Ros1Msg,
        FrameEncoding::Cdr => {
            matches!(
                schema.encoding,
                SchemaEncoding::Ros2Msg | SchemaEncoding::Ros2Idl | SchemaEncoding::OmgIdl
            )
        }
        FrameEncoding::Protobuf => schema.encoding == SchemaEncoding::Protobuf,
        FrameEncoding::Flatbuffer => schema.encoding == SchemaEncoding::Flatbuffer,
        FrameEncoding::Json => schema.encoding == SchemaEncoding::JsonSchema,
        FrameEncoding::Cbor | FrameEncoding::Msgpack => false,
        FrameEncoding::Other(_) | FrameEncoding::Custom(_) => true,
    };
    if compatible {
        Ok(())
    } else {
        Err(SchemaError::Incompatible { frame: frame.clone(), schema: schema.encoding.clone() })
    }
}

fn check_custom(name: &str) -> Result<(), SchemaError> {
    let len = name.chars().count();
    if (1..=MAX_CUSTOM_ENCODING_LEN).contains(&len) {
        Ok(())
    } else {
        Err(SchemaError::InvalidCustomEncoding(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(encoding: SchemaEncoding) -> SchemaId {
        SchemaId { name: "s".into(), encoding }
    }

    #[test]
    fn livekits_pairs_pass_and_no_others() {
        let frames = [
            (FrameEncoding::Ros1, vec![SchemaEncoding::Ros1Msg]),
            (
                FrameEncoding::Cdr,
                vec![SchemaEncoding::Ros2Msg, SchemaEncoding::Ros2Idl, SchemaEncoding::OmgIdl],
            ),
            (FrameEncoding::Protobuf, vec![SchemaEncoding::Protobuf]),
            (FrameEncoding::Flatbuffer, vec![SchemaEncoding::Flatbuffer]),
            (FrameEncoding::Json, vec![SchemaEncoding::JsonSchema]),
            (FrameEncoding::Cbor, vec![]),
            (FrameEncoding::Msgpack, vec![]),
        ];
        for (frame, good) in frames {
            for number in 1..=7 {
                let encoding = SchemaEncoding::from_number(number);
                let result = validate(Some(&frame), Some(&schema(encoding.clone())));
                assert_eq!(result.is_ok(), good.contains(&encoding), "{frame} with {encoding}");
            }
        }
    }

    #[test]
    fn frames_that_describe_themselves_need_no_schema() {
        for name in ["json", "cbor", "msgpack"] {
            assert_eq!(validate(FrameEncoding::from_name(name).as_ref(), None), Ok(()));
        }
        for name in ["ros1", "cdr", "protobuf", "flatbuffer"] {
            let frame = FrameEncoding::from_name(name);
            assert!(matches!(validate(frame.as_ref(), None), Err(SchemaError::MissingSchema(_))), "{name}");
        }
        assert_eq!(validate(None, None), Ok(()));
    }

    #[test]
    fn custom_and_unknown_frames_take_any_schema() {
        for frame in [FrameEncoding::Custom("mine".into()), FrameEncoding::Other(99)] {
            assert_eq!(validate(Some(&frame), None), Ok(()));
            assert_eq!(validate(Some(&frame), Some(&schema(SchemaEncoding::Ros1Msg))), Ok(()));
        }
    }

    #[test]
    fn a_schema_alone_is_an_error() {
        let schema = schema(SchemaEncoding::JsonSchema);
        assert_eq!(validate(None, Some(&schema)), Err(SchemaError::MissingFrameEncoding));
    }

    #[test]
    fn lengths_are_checked_in_characters() {
        let long = "é".repeat(MAX_CUSTOM_ENCODING_LEN);
        assert_eq!(validate(Some(&FrameEncoding::Custom(long.as_str().into())), None), Ok(()));
        let longer = format!("{long}é");
        assert_eq!(
            validate(Some(&FrameEncoding::Custom(longer.as_str().into())), None),
            Err(SchemaError::InvalidCustomEncoding(33))
        );
        let name = SchemaId { name: "x".repeat(257).into(), encoding: SchemaEncoding::JsonSchema };
        assert_eq!(
            validate(Some(&FrameEncoding::Json), Some(&name)),
            Err(SchemaError::InvalidSchemaName(257))
        );
    }

    #[test]
    fn numbers_are_the_protocols() {
        for number in 0..=9 {
            assert_eq!(FrameEncoding::from_number(number).number(), Some(number));
            assert_eq!(SchemaEncoding::from_number(number).number(), Some(number));
        }
        assert_eq!(FrameEncoding::Json.number(), Some(7));
        assert_eq!(SchemaEncoding::JsonSchema.number(), Some(7));
    }
}
