/** Cuts text into chunks between characters, so that each chunk is valid text. */

/** The end of a chunk of at most `size` bytes (4 or more) that begins at `start`. It is never within a character. */
export function chunkEnd(text: Uint8Array, start: number, size: number): number {
  const end = start + size
  if (end >= text.length) return text.length
  let at = end
  // The byte after the cut must begin a character. A character has at most four bytes.
  while (at > end - 4 && (text[at] as number) >> 6 === 0b10) at--
  return at
}

/** Chunks of at most `size` bytes; views, not copies. */
export function* textChunks(text: Uint8Array, size: number): Generator<Uint8Array> {
  for (let start = 0; start < text.length;) {
    const end = chunkEnd(text, start, size)
    yield text.subarray(start, end)
    start = end
  }
}

/** Chunks of at most `size` bytes; views, not copies. */
export function* byteChunks(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) {
    yield bytes.subarray(start, Math.min(start + size, bytes.length))
  }
}

/** Whether the text ends with a UTF-16 unit that needs a second one after it. */
export function endsWithHalf(text: string): boolean {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last <= 0xdbff
}
