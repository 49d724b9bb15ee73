/** Bytes that were received. */

/**
 * Bytes in memory of their own, so that `new Float32Array(bytes.buffer, bytes.byteOffset)` works: as they are decoded they
 * are in the midst of a message, at any offset, and keep all of it.
 */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
}
