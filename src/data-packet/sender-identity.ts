/** The participant in whose name an agent sends something. */
import * as check from '../base/arguments'

/** @internal A participant's identity, or `undefined` for the local participant. */
export function checkSenderIdentity(name: string, identity: string | undefined): string | undefined {
  if (identity === undefined) return undefined
  if (check.string(name, identity) === '') throw check.outOfRange(`${name}.length`, '>= 1', 0)
  return identity
}
