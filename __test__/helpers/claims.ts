/** What a JSON Web Token says, without a check of its signature. */
export function readClaims(token: string): {
  header: Record<string, unknown>
  claims: Record<string, unknown>
} {
  const [header, claims] = token
    .split('.')
    .slice(0, 2)
    .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>)
  if (header === undefined || claims === undefined) throw new Error('the token has no three parts')
  return { header, claims }
}
