import { randomBytes } from 'node:crypto'

/** A SID like livekit-server's: a prefix and 12 random letters and digits. */
export function sid(prefix: 'DTR_' | 'PA_' | 'RM_' | 'TR_'): string {
  return (
    prefix +
    randomBytes(16)
      .toString('base64')
      .replace(/[^A-Za-z0-9]/g, 'x')
      .slice(0, 12)
  )
}
