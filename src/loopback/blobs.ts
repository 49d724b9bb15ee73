/** The data blobs that one participant of the loopback has stored, with livekit-server's checks. */
import { RequestResponseReason } from '../signal/messages'
import type { DataBlobKeyMessage } from '../signal/messages'
import type { Refusal } from './profiles'

/** livekit-server's default limits: bytes of a key, and of all keys and contents together. */
const MAX_KEY = 256
const MAX_BYTES = 64_000

export class DataBlobs {
  readonly #blobs = new Map<string, Uint8Array>()

  /** Stores a blob. Returns the reason if it is refused. */
  store(key: DataBlobKeyMessage, contents: Uint8Array): Refusal | undefined {
    const text = keyText(key)
    if (Buffer.byteLength(text) > MAX_KEY || contents.length === 0) {
      return {
        reason: RequestResponseReason.InvalidRequest,
        message: 'the key is too long, or nothing is in it',
      }
    }
    // As in livekit-server, the old blob of the same key counts, too, although it will be replaced.
    let total = Buffer.byteLength(text) + contents.length
    for (const [other, stored] of this.#blobs) total += Buffer.byteLength(other) + stored.length
    if (total > MAX_BYTES) {
      return { reason: RequestResponseReason.LimitExceeded, message: `at most ${MAX_BYTES} bytes in all` }
    }
    this.#blobs.set(text, new Uint8Array(contents))
    return undefined
  }

  get(key: DataBlobKeyMessage): Uint8Array | undefined {
    const contents = this.#blobs.get(keyText(key))
    return contents && new Uint8Array(contents)
  }

  clear(): void {
    this.#blobs.clear()
  }
}

/** The key as text, about as long as livekit-server's, because its length counts for the limit. */
function keyText({ key }: DataBlobKeyMessage): string {
  if (key.case === 'generic') return key.value
  const { value } = key
  return JSON.stringify([value.name, value.encoding?.value.case, value.encoding?.value.value])
}
