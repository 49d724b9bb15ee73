/** Text of others in messages, logs and on terminals. */

const CONTROL = '\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069'
const control = new RegExp(`[${CONTROL}]`, 'g')
const controlInLines = new RegExp(`(?![\\n\\t])[${CONTROL}]`, 'g')

/** Control characters, which could move the cursor or worse, are written out. */
export function printable(text: string): string {
  return text.replace(control, written)
}

/** The same, but line breaks and tabs stay. */
export function printableLines(text: string): string {
  return text.replace(controlInLines, written)
}

function written(character: string): string {
  const code = character.charCodeAt(0)
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`
}
