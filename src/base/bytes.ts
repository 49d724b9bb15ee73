/** Received bytes. */

/**
 * The bytes in their own buffer, so that `new Float32Array(bytes.buffer, bytes.byteOffset)` works. Decoded bytes are a
 * view into the whole message, at any offset, and would keep the message in memory.
 */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
}
