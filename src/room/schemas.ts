/** Definitions of schemas at the server: what one has stored oneself, and what others have. */
import * as check from '../base/arguments'
import type { DataTrackSchema } from '../base/codec'
import { SignalRequestError } from '../base/errors'
import { log } from '../base/logging'
import type { RequestOptions } from './profile'
import { isObject } from '../base/arguments'
import { isSchemaEncoding, schemaToMessage } from '../signal/convert'
import type { DataBlobKeyMessage } from '../signal/messages'
import { PendingRequests, REQUEST_TIMEOUT } from './pending-requests'

/** Bytes of a definition at most, as LiveKit's protocol has it. */
export const MAX_SCHEMA_BYTES = 51_200
/** Characters of a schema's name at most. */
const MAX_NAME = 256

/** Options of `localParticipant.getSchema()`. */
export interface GetSchemaOptions extends RequestOptions {
  /** The definition as bytes, for encodings that are binary. Default: as text. */
  readonly bytes?: boolean | undefined
}

interface Definition {
  readonly key: DataBlobKeyMessage
  readonly contents: Uint8Array
}

/** The schemas of one connection. */
export class Schemas {
  readonly #requests: PendingRequests
  /** What the server has of us, by name and encoding; its limit of all their bytes is the limit of this. */
  readonly #defined = new Map<string, Definition>()

  constructor(requests: PendingRequests) {
    this.#requests = requests
  }

  /** Stores a definition. See `LocalParticipant.defineSchema`. */
  async define(
    identity: string,
    schema: DataTrackSchema,
    definition: string | Uint8Array,
    options: RequestOptions | undefined,
  ): Promise<void> {
    const key = keyOf(schema)
    const contents = contentsOf(definition)
    const signal = check.signal('options.signal', check.options('options', options).signal)
    const until = performance.now() + REQUEST_TIMEOUT
    try {
      await this.#store({ key, contents }, signal)
    } catch (error) {
      // The server counts what is to be replaced as if it stayed. Nothing is to be replaced where all is the same.
      if (!(error instanceof SignalRequestError) || error.reason !== 'limitExceeded') throw error
      const stored = await this.#fetch(identity, key, signal, until - performance.now()).catch(
        () => undefined,
      )
      if (stored === undefined || Buffer.compare(stored, contents) !== 0) throw error
    }
    this.#defined.set(textOf(schema), { key, contents })
  }

  /** Fetches a definition. See `LocalParticipant.getSchema`. */
  async get(
    schema: DataTrackSchema,
    identity: string,
    options: GetSchemaOptions | undefined,
  ): Promise<string | Uint8Array> {
    const key = keyOf(schema)
    if (check.string('participantIdentity', identity) === '') {
      throw check.outOfRange('participantIdentity.length', '>= 1', 0)
    }
    const { bytes, signal } = check.options('options', options)
    const asBytes = check.boolean('options.bytes', bytes, false)
    const contents = await this.#fetch(identity, key, check.signal('options.signal', signal))
    if (asBytes) return new Uint8Array(contents)
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(contents)
    } catch {
      throw new SignalRequestError('notText')
    }
  }

  /** There is a new session, in which the server has nothing of us: what was defined is stored again. */
  restore(): void {
    for (const definition of this.#defined.values()) {
      this.#store(definition, undefined).catch((error: unknown) => {
        if (error instanceof SignalRequestError && error.reason === 'disconnected') return
        log('warn', 'signal', 'a schema could not be stored again after a reconnect')
      })
    }
  }

  async #store({ key, contents }: Definition, signal: AbortSignal | undefined): Promise<void> {
    await this.#requests.request(
      (requestId) => ({ case: 'storeDataBlobRequest', value: { requestId, blob: { key, contents } } }),
      { signal },
    )
  }

  async #fetch(
    participantIdentity: string,
    key: DataBlobKeyMessage,
    signal: AbortSignal | undefined,
    timeoutMs: number = REQUEST_TIMEOUT,
  ): Promise<Uint8Array> {
    const { blob } = await this.#requests.request(
      (requestId) => ({ case: 'getDataBlobRequest', value: { requestId, participantIdentity, key } }),
      { signal, timeoutMs },
    )
    const contents = isObject(blob) ? blob['contents'] : undefined
    if (!(contents instanceof Uint8Array)) {
      throw new SignalRequestError('internal', { detail: 'the answer has no definition' })
    }
    return contents
  }
}

/** Stands in where there is no connection: arguments are checked, and then there is none. */
export const noSchemas = new Schemas(PendingRequests.closed())

function keyOf(schema: DataTrackSchema): DataBlobKeyMessage {
  if (typeof schema !== 'object' || (schema as unknown) === null) {
    throw check.invalidType('schema', 'an object', schema)
  }
  const name = check.string('schema.name', schema.name)
  const { length } = Array.from(name)
  if (length < 1 || length > MAX_NAME) {
    throw check.outOfRange('schema.name.length', `>= 1 and <= ${MAX_NAME}`, length)
  }
  const encoding = check.string('schema.encoding', schema.encoding)
  if (!isSchemaEncoding(encoding)) {
    throw check.outOfRange('schema.encoding', "an encoding of MCAP's, 'custom:…' or 'other:…'", encoding)
  }
  return { key: { case: 'schemaId', value: schemaToMessage(name, encoding) } }
}

function textOf({ name, encoding }: DataTrackSchema): string {
  return JSON.stringify([name, encoding])
}

/** A copy: what is stored again later must be what was defined. */
function contentsOf(definition: unknown): Uint8Array {
  const contents =
    typeof definition === 'string'
      ? new TextEncoder().encode(definition)
      : new Uint8Array(check.bytes('definition', definition))
  if (contents.length === 0) throw check.outOfRange('definition.length', '>= 1', 0)
  if (contents.length > MAX_SCHEMA_BYTES) {
    const detail = `${contents.length} bytes, of which there may be ${MAX_SCHEMA_BYTES}`
    throw new SignalRequestError('limitExceeded', { detail })
  }
  return contents
}
