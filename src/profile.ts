/** Changing one's own name, metadata and attributes. */
import * as check from './arguments'
import { SignalRequestError } from './errors'
import type { PendingRequests } from './signal/pending-requests'

/** Options of a request to the server. */
export interface RequestOptions {
  /** Gives up waiting; the promise rejects with the signal's `reason`. What was asked for may happen all the same. */
  readonly signal?: AbortSignal | undefined
}

/** What a participant is known by, and may change. */
export interface Profile {
  readonly name: string
  readonly metadata: string
  readonly attributes: Readonly<Record<string, string>>
}

/**
 * Asks the server for a change of `mine`. Only what is to change is sent, and not the rest as it is known here: two calls
 * that overlap must not undo each other.
 */
export async function updateProfile(
  mine: Profile,
  requests: PendingRequests | undefined,
  update: Partial<Profile>,
  options: RequestOptions | undefined,
): Promise<void> {
  const { name = '', metadata = '', attributes = {} } = update
  if ('name' in update) checkText('name', update.name)
  if ('metadata' in update) checkText('metadata', update.metadata)
  if ('attributes' in update) checkAttributes(update.attributes)
  const signal = check.signal('options.signal', check.options('options', options).signal)
  signal?.throwIfAborted()
  if (requests === undefined) throw new SignalRequestError('disconnected')
  const wanted = Object.entries(attributes)
  await requests.request(
    (requestId) => ({
      case: 'updateMetadata',
      value: { requestId, name, metadata, attributes: { ...attributes } },
    }),
    {
      signal,
      done: () =>
        (name === '' || mine.name === name) &&
        (metadata === '' || mine.metadata === metadata) &&
        wanted.every(([key, value]) => (mine.attributes[key] ?? '') === value),
    },
  )
}

/** LiveKit's request cannot say "empty": an empty text stands for "leave it as it is". */
function checkText(name: string, value: unknown): void {
  if (check.string(name, value) === '') throw check.outOfRange(`${name}.length`, '>= 1', 0)
}

function checkAttributes(attributes: unknown): void {
  if (typeof attributes !== 'object' || attributes === null || Array.isArray(attributes)) {
    throw check.invalidType('attributes', 'an object of strings', attributes)
  }
  for (const [key, value] of Object.entries(attributes)) check.string(`attributes.${key}`, value)
}
