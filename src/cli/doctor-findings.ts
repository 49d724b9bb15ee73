/** Collects and prints the findings of `datatrack doctor`. It removes secrets from all that it prints. */
import { printable } from '../base/printable'
import type { Finding, Status } from '../check/finding'
import { say } from './output'

const MARKS: Readonly<Record<Status, string>> = {
  ok: 'ok      ',
  warning: 'warning ',
  failed: 'FAILED  ',
  skipped: 'skipped ',
}

const UNSEEN =
  'Whether data tracks work was not tried: that takes a server and two participants (an API key).'

/** Collects findings, and prints each as soon as it is added. */
export class Findings {
  readonly #json: boolean
  readonly #secrets: readonly string[]
  readonly #all: Finding[] = []

  /** @param secrets texts that are never printed, not even if a server repeats them */
  constructor(json: boolean, secrets: readonly (string | undefined)[]) {
    this.#json = json
    this.#secrets = secrets.filter((secret) => secret !== undefined && secret !== '') as string[]
  }

  add(finding: Finding): Finding {
    const clean: Finding = {
      ...finding,
      what: this.#clean(finding.what),
      ...(finding.help !== undefined && { help: this.#clean(finding.help) }),
    }
    this.#all.push(clean)
    if (this.#json) {
      say(JSON.stringify(clean))
    } else {
      say(`${MARKS[clean.status]}${clean.check.padEnd(10)} ${clean.what}`)
      if (clean.help !== undefined) say(`${' '.repeat(19)}${clean.help}`)
    }
    return clean
  }

  /**
   * Prints a verdict and returns the worst status. `seen`: frames arrived at another participant. If they did not, the
   * verdict does not say that data tracks work.
   */
  finish(seen: boolean): Exclude<Status, 'skipped'> {
    const with_ = (status: Status): string[] =>
      this.#all.filter((finding) => finding.status === status).map(({ check }) => check)
    const failed = with_('failed')
    const warnings = with_('warning')
    const worst = failed.length > 0 ? 'failed' : warnings.length > 0 ? 'warning' : 'ok'
    const verdicts = {
      ok: seen ? 'All is well: data tracks work.' : `Nothing fails. ${UNSEEN}`,
      warning: seen
        ? `Data tracks work, with limits: see ${warnings.join(', ')}.`
        : `Nothing fails, with limits: see ${warnings.join(', ')}. ${UNSEEN}`,
      failed: `Data tracks do not work: see ${failed.join(', ')}.`,
    }
    if (this.#json) say(JSON.stringify({ verdict: worst, dataSeen: seen }))
    else say(`\n${verdicts[worst]}`)
    return worst
  }

  #clean(text: string): string {
    return printable(this.#secrets.reduce((cleaned, secret) => cleaned.replaceAll(secret, '…'), text))
  }
}
