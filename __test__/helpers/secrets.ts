/**
 * The secrets that must not appear in an error or a log. The tests of a file add those that they use. In addition,
 * `looks` matches all texts that look like a secret.
 */
const secrets = new Map<string, string>()

/** Adds a secret. Texts of less than four characters are left out, because they would be found by chance. */
export function learnSecret(kind: string, secret: string | undefined): void {
  if (secret !== undefined && secret.length >= 4) secrets.set(secret, kind)
}

/** Adds the secrets of a session description or a candidate: ICE credentials, fingerprints and addresses. */
export function learnFromSdp(text: string): void {
  for (const [, name = '', value] of text.matchAll(/(ice-ufrag|ice-pwd|fingerprint):(\S+( [0-9A-F:]+)?)/g)) {
    learnSecret(name, value)
  }
  for (const [, ufrag] of text.matchAll(/ufrag (\S+)/g)) learnSecret('ice-ufrag', ufrag)
  for (const [, address = '', port = ''] of text.matchAll(/candidate:\S+ \d+ \S+ \d+ (\S+) (\d+) typ/g)) {
    learnSecret('address', `${address}:${port}`)
    learnSecret('address', `${address} ${port}`)
  }
}

/** Patterns of secrets that the tests do not know. */
const looks: readonly (readonly [string, RegExp])[] = [
  ['token', /eyJ[\w-]{8,}\.[\w-]{8,}/],
  ['token', /Bearer/i],
  ['address', /\b\d{1,3}(\.\d{1,3}){3}:\d{2,5}\b/],
  ['address', /\[[0-9a-f]*:[0-9a-f:]+\]:\d{2,5}/i],
  ['candidate', /candidate:\S+ \d+ (udp|tcp) /i],
  ['credentials of the path', /ice-(ufrag|pwd):/],
]

/** The kinds of secrets that the text contains, without the secrets themselves. */
export function secretsIn(text: string): string[] {
  const known = [...secrets].filter(([secret]) => text.includes(secret)).map(([, kind]) => kind)
  return [...known, ...looks.filter(([, look]) => look.test(text)).map(([kind]) => kind)]
}
