/** Limits of a server's messages. Servers have reasons for less; more would block the program or fill its memory. */

/** Bytes of a message: a room of 250 participants with 256 kB of metadata each. A server may send a room whole. */
export const MAX_MESSAGE_BYTES = 67_108_864
/** Bytes of a part that is decoded at once. livekit-server allows 512 KiB of metadata, and attributes beside it. */
export const MAX_PART_BYTES = 2_097_152
/** Cost of such a part, in fields ({@link costOf}): some 15 ms of decoding. */
export const MAX_PART_COST = 32_768
/** A part that lists participants is full when it costs or has so much: a few ms of decoding. */
export const PART_COST = 2048
export const PART_BYTES = 262_144
/** Messages up to so many bytes are decoded as they are. */
export const SMALL_MESSAGE_BYTES = 4096
/** Participants of one message, and of a room. */
export const MAX_PARTICIPANTS = 16_384
/** Data tracks of one participant. */
export const MAX_TRACKS_OF_PARTICIPANT = 4096
/** Audio tracks of one participant, and media tracks of one participant in a long description. */
export const MAX_AUDIO_TRACKS_OF_PARTICIPANT = 16
export const MAX_MEDIA_TRACKS_OF_PARTICIPANT = 32
/** Bytes in memory of the data tracks of all participants: two for each character, and {@link TRACK_BYTES} for each. */
export const MAX_TRACK_BYTES = 67_108_864
/** Bytes of a data track besides its texts. */
export const TRACK_BYTES = 512
/** Attributes of one participant. */
export const MAX_ATTRIBUTES = 4096
/** Details of a participant's kind, and sources that it may publish; LiveKit has six and five. */
export const MAX_KIND_DETAILS = 16
export const MAX_PUBLISH_SOURCES = 16
/** Entries of the table of subscriber handles: the tracks that are subscribed to. */
export const MAX_SUBSCRIBER_HANDLES = 16_384
