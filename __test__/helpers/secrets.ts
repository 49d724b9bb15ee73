/**
 * What must never be read in an error or a log: what the tests of a file have used, as they learn of it, and what looks like
 * it.
 */
const secrets = new Map<string, string>()

/** Notes a secret of this run. Short ones would be found by chance. */
export function learnSecret(kind: string, secret: string | undefined): void {
  if (secret !== undefined && secret.length >= 4) secrets.set(secret, kind)
}

/** Notes what a session description or a candidate has: credentials of the path, and addresses. */
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

/** What gives itself away by its looks. */
const looks: readonly (readonly [string, RegExp])[] = [
  ['token', /eyJ[\w-]{8,}\.[\w-]{8,}/],
  ['token', /Bearer/i],
  ['address', /\b\d{1,3}(\.\d{1,3}){3}:\d{2,5}\b/],
  ['address', /\[[0-9a-f]*:[0-9a-f:]+\]:\d{2,5}/i],
  ['candidate', /candidate:\S+ \d+ (udp|tcp) /i],
  ['credentials of the path', /ice-(ufrag|pwd):/],
]

/** What the text gives away: kinds, without the secrets themselves. */
export function secretsIn(text: string): string[] {
  const known = [...secrets].filter(([secret]) => text.includes(secret)).map(([, kind]) => kind)
  return [...known, ...looks.filter(([, look]) => look.test(text)).map(([kind]) => kind)]
}
