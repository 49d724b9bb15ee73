/** Receives the data streams of a room. */
import type { ByteStreamInfo, ByteStreamReader, Room, TextStreamInfo, TextStreamReader } from '../../index'

/** The next text stream of a topic. */
export function nextText(
  room: Room,
  topic = '',
): Promise<{ readonly reader: TextStreamReader; readonly identity: string }> {
  return new Promise((resolve) => {
    const remove = room.registerTextStreamHandler(topic, (reader, { identity }) => {
      remove()
      resolve({ reader, identity })
    })
  })
}

/** The next byte stream of a topic. */
export function nextBytes(
  room: Room,
  topic = '',
): Promise<{ readonly reader: ByteStreamReader; readonly identity: string }> {
  return new Promise((resolve) => {
    const remove = room.registerByteStreamHandler(topic, (reader, { identity }) => {
      remove()
      resolve({ reader, identity })
    })
  })
}

/** The content of the next byte stream, in one piece. */
export async function receiveBytes(
  room: Room,
  topic = '',
): Promise<{ readonly bytes: Uint8Array; readonly info: ByteStreamInfo }> {
  const { reader } = await nextBytes(room, topic)
  return { bytes: await reader.bytes(), info: reader.info }
}

/** The content of the next text stream. */
export async function receiveText(
  room: Room,
  topic = '',
): Promise<{ readonly text: string; readonly info: TextStreamInfo }> {
  const { reader } = await nextText(room, topic)
  return { text: await reader.readAll(), info: reader.info }
}
