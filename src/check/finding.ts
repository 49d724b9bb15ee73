/** The result of a check of the connection to a server. */

/** `skipped`: the check could not run because an earlier one failed, or because the token does not allow it. */
export type Status = 'ok' | 'warning' | 'failed' | 'skipped'

/** The result of a check. */
export interface Finding {
  readonly check: string
  readonly status: Status
  /** What the check saw, in plain words. */
  readonly what: string
  /** What the user can do about the result. */
  readonly help?: string | undefined
}
