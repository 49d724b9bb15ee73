/** What a check of a connection finds. */

/** `skipped`: it could not be tried, because of another finding. */
export type Status = 'ok' | 'warning' | 'failed' | 'skipped'

/** The result of a check. */
export interface Finding {
  readonly check: string
  readonly status: Status
  /** What was seen, in plain words. */
  readonly what: string
  /** What to do about it. */
  readonly help?: string | undefined
}
