/** Data blobs at the server: definitions of schemas and others, the local participant's and those of remote ones. */
import * as check from '../base/arguments'
import type { DataTrackSchema } from '../base/codec'
import { SignalRequestError } from '../base/errors'
import { log } from '../base/logging'
import type { RequestOptions } from './profile'
import { isObject } from '../base/arguments'
import { isSchemaEncoding, schemaToMessage } from '../signal/convert'
import type { DataBlobKeyMessage } from '../signal/messages'
import { PendingRequests, REQUEST_TIMEOUT } from './pending-requests'

/** The most bytes of a definition, by LiveKit's protocol. */
export const MAX_SCHEMA_BYTES = 51_200
/** The most characters of a schema's name. */
const MAX_NAME = 256
/** The most bytes of another key, as in livekit-server. */
const MAX_KEY = 256

/** Options of `localParticipant.getSchema()`. */
export interface GetSchemaOptions extends RequestOptions {
  /** Whether to return the definition as bytes, for binary encodings. Default: `false`, as a text. */
  readonly bytes?: boolean | undefined
}

interface Definition {
  readonly key: DataBlobKeyMessage
  readonly contents: Uint8Array
}

/** The schemas of one connection. */
export class Schemas {
  readonly #requests: PendingRequests
  /**
   * The local participant's definitions at the server, by name and encoding. The server limits their bytes in all, so
   * this map is limited, too.
   */
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
    await this.#define(identity, keyOf(schema), contentsOf('definition', definition), options)
  }

  /** Stores a blob. See `LocalParticipant.storeDataBlob`. */
  async storeBlob(
    identity: string,
    key: string,
    contents: string | Uint8Array,
    options: RequestOptions | undefined,
  ): Promise<void> {
    await this.#define(identity, genericKey(key), contentsOf('contents', contents), options)
  }

  async #define(
    identity: string,
    key: DataBlobKeyMessage,
    contents: Uint8Array,
    options: RequestOptions | undefined,
  ): Promise<void> {
    const signal = check.signal('options.signal', check.options('options', options).signal)
    const until = performance.now() + REQUEST_TIMEOUT
    try {
      await this.#store({ key, contents }, signal)
    } catch (error) {
      // The server counts a definition to be replaced as well. If the stored definition is the same, nothing needs
      // replacing.
      if (!(error instanceof SignalRequestError) || error.reason !== 'limitExceeded') throw error
      const stored = await this.#fetch(identity, key, signal, until - performance.now()).catch(
        () => undefined,
      )
      if (stored === undefined || Buffer.compare(stored, contents) !== 0) throw error
    }
    this.#defined.set(JSON.stringify(key), { key, contents })
  }

  /** Fetches a definition. See `LocalParticipant.getSchema`. */
  async get(
    schema: DataTrackSchema,
    identity: string,
    options: GetSchemaOptions | undefined,
  ): Promise<string | Uint8Array> {
    return await this.#get(keyOf(schema), identity, options)
  }

  /** Fetches a blob. See `LocalParticipant.getDataBlob`. */
  async getBlob(
    key: string,
    identity: string,
    options: GetSchemaOptions | undefined,
  ): Promise<string | Uint8Array> {
    return await this.#get(genericKey(key), identity, options)
  }

  async #get(
    key: DataBlobKeyMessage,
    identity: string,
    options: GetSchemaOptions | undefined,
  ): Promise<string | Uint8Array> {
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

  /** There is a new server session, without the local participant's definitions. They are stored again. */
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
      throw new SignalRequestError('internal', { detail: 'the answer has no contents' })
    }
    return contents
  }
}

/** Used without a connection: arguments are checked, then each call fails. */
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

function genericKey(key: unknown): DataBlobKeyMessage {
  const value = check.string('key', key)
  const length = Buffer.byteLength(value)
  if (length < 1 || length > MAX_KEY) {
    throw check.outOfRange('key.length', `>= 1 and <= ${MAX_KEY} bytes of UTF-8`, length)
  }
  return { key: { case: 'generic', value } }
}

/** A copy, because the definition may be stored again later and must not change in between. */
function contentsOf(name: string, definition: unknown): Uint8Array {
  const contents =
    typeof definition === 'string'
      ? new TextEncoder().encode(definition)
      : new Uint8Array(check.bytes(name, definition))
  if (contents.length === 0) throw check.outOfRange(`${name}.length`, '>= 1', 0)
  if (contents.length > MAX_SCHEMA_BYTES) {
    const detail = `${contents.length} bytes, of which there may be ${MAX_SCHEMA_BYTES}`
    throw new SignalRequestError('limitExceeded', { detail })
  }
  return contents
}
