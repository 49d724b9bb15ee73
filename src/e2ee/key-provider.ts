/** Keys for the built-in encryption. The names are livekit-client's. */
import { types } from 'node:util'
import * as check from '../base/arguments'
import { MAX_KEY_INDEX } from './provider'

/** How an encryption key is derived from the key material. */
export type KeyDerivation = 'PBKDF2' | 'HKDF'

/** Options of {@link ExternalE2EEKeyProvider}. */
export interface KeyProviderOptions {
  /** Whether all participants share one key (`true`, the default) or each has its own. */
  readonly sharedKey?: boolean | undefined
  /**
   * How keys are derived. Default for passphrases: `PBKDF2`, as in all LiveKit SDKs. Raw keys have no default: browsers
   * use `HKDF` for them, native SDKs `PBKDF2` unless told otherwise, and the two are incompatible.
   */
  readonly keyDerivation?: KeyDerivation | undefined
  /**
   * Ratchet steps to try if a frame does not decrypt, 0 to 255. Default: 0 for a shared key, else 16. This package
   * follows remote ratchets, but remote participants may not follow a local one: browsers never do.
   */
  readonly ratchetWindowSize?: number | undefined
  /**
   * Consecutive frames of a participant that may fail before the key counts as invalid for that participant until it is
   * set again, 0 to 2^31 − 1. Default: −1, never.
   */
  readonly failureTolerance?: number | undefined
}

/** Options of {@link ExternalE2EEKeyProvider.setKey}. */
export interface SetKeyOptions {
  /**
   * The participant whose key it is. Required with `sharedKey: false`, and not allowed otherwise. The local
   * participant's identity sets the key that frames are sent with.
   */
  readonly participantIdentity?: string | undefined
  /** Index of the key, 0 to 15. Default: 0. */
  readonly keyIndex?: number | undefined
  /**
   * Whether frames are sent with this index as soon as the key is ready. It applies only to a shared key and to the
   * local participant's key. Default: `true` if `keyIndex` is given, else `false`.
   *
   * To rotate keys: set the new key at a new index with `false` in all participants, then call
   * {@link ExternalE2EEKeyProvider.setKeyIndex} in the senders.
   */
  readonly updateCurrentKeyIndex?: boolean | undefined
}

/** @internal Receives keys: a session. */
export interface KeySink {
  /** Identity `null`: the shared key. */
  setKey(identity: string | null, keyIndex: number, material: Uint8Array, use: boolean): Promise<void>
  ratchetKey(identity: string | null, keyIndex: number): Promise<void>
  setKeyIndex(keyIndex: number): void
}

interface StoredKey {
  readonly identity: string | null
  readonly keyIndex: number
  readonly material: Uint8Array
  ratchets: number
}

/**
 * Keys that the application provides. One provider can serve several rooms.
 *
 *     const keyProvider = new ExternalE2EEKeyProvider()
 *     await keyProvider.setKey('a passphrase that all participants know')
 *     const room = new Room({ encryption: { keyProvider } })
 */
export class ExternalE2EEKeyProvider {
  readonly #sharedKey: boolean
  readonly #keyDerivation: KeyDerivation | undefined
  readonly #ratchetWindowSize: number
  readonly #failureTolerance: number
  /** By `index identity`. Kept for rooms that are created later. */
  readonly #keys = new Map<string, StoredKey>()
  // Weak, so that a manager that the application dropped can be collected although it used the provider.
  readonly #sinks = new Set<WeakRef<KeySink>>()
  #keyIndex = 0

  /** @throws `TypeError` or `RangeError` that names the option */
  constructor(options: KeyProviderOptions = {}) {
    const given = check.options('options', options)
    this.#sharedKey = check.boolean('options.sharedKey', given.sharedKey, true)
    this.#keyDerivation =
      given.keyDerivation === undefined
        ? undefined
        : check.oneOf<KeyDerivation>('options.keyDerivation', given.keyDerivation, 'PBKDF2', [
            'PBKDF2',
            'HKDF',
          ])
    const window = this.#sharedKey ? 0 : 16
    this.#ratchetWindowSize = check.integer(
      'options.ratchetWindowSize',
      given.ratchetWindowSize,
      window,
      0,
      255,
    )
    const tolerance = given.failureTolerance
    this.#failureTolerance = check.integer('options.failureTolerance', tolerance, -1, -1, 0x7fff_ffff)
  }

  /** The options, defaults included. */
  getOptions(): Required<{
    [Name in keyof KeyProviderOptions]: Exclude<KeyProviderOptions[Name], undefined>
  }> {
    return {
      sharedKey: this.#sharedKey,
      keyDerivation: this.#keyDerivation ?? 'PBKDF2',
      ratchetWindowSize: this.#ratchetWindowSize,
      failureTolerance: this.#failureTolerance,
    }
  }

  /**
   * Sets a key: a passphrase (its UTF-8 bytes), or raw bytes, which are copied.
   *
   * Resolves when the key is derived and in use in all rooms with this provider; at once if no room uses it yet.
   *
   * @throws `TypeError` for raw bytes without an explicit `keyDerivation`, for a missing identity with
   * `sharedKey: false`, and for an identity with a shared key; `RangeError` for an empty key or an index above 15;
   * `DataTrackE2eeError` if the derivation fails
   */
  async setKey(key: string | ArrayBuffer | Uint8Array, options: SetKeyOptions = {}): Promise<void> {
    const given = check.options('options', options)
    const keyIndex = check.integer('options.keyIndex', given.keyIndex, 0, 0, MAX_KEY_INDEX)
    const use = check.boolean(
      'options.updateCurrentKeyIndex',
      given.updateCurrentKeyIndex,
      given.keyIndex !== undefined,
    )
    const identity = this.#identity(given.participantIdentity)
    const material = this.#material(key)
    if (material.byteLength === 0) throw check.outOfRange('key.length', '>= 1', 0)
    this.#keys.set(slot(identity, keyIndex), { identity, keyIndex, material, ratchets: 0 })
    if (use && identity === null) this.#keyIndex = keyIndex
    await Promise.all(this.#attached().map((sink) => sink.setKey(identity, keyIndex, material, use)))
  }

  /**
   * Ratchets a key by one step in all rooms with this provider. Resolves when that is done.
   *
   * @throws `DataTrackE2eeError` (`missingKey`) if there is no such key
   */
  async ratchetKey(participantIdentity?: string, keyIndex = this.#keyIndex): Promise<void> {
    const index = check.integer('keyIndex', keyIndex, 0, 0, MAX_KEY_INDEX)
    const identity = this.#identity(participantIdentity)
    const stored = this.#keys.get(slot(identity, index))
    if (stored !== undefined) stored.ratchets++
    await Promise.all(this.#attached().map((sink) => sink.ratchetKey(identity, index)))
  }

  /** Sends frames with the key of this index (0 to 15) from now on. */
  setKeyIndex(keyIndex: number): void {
    this.#keyIndex = check.integer('keyIndex', keyIndex, 0, 0, MAX_KEY_INDEX)
    for (const sink of this.#attached()) sink.setKeyIndex(keyIndex)
  }

  /** @internal Gives a session the existing keys, and later ones. */
  attach(sink: KeySink): Promise<void> {
    this.#sinks.add(new WeakRef(sink))
    // All steps start at once. Otherwise a frame between a key and its ratchet steps would be tried with the key alone,
    // and given up.
    const keys = [...this.#keys.values()].flatMap(({ identity, keyIndex, material, ratchets }) => [
      sink.setKey(identity, keyIndex, material, false),
      ...Array.from({ length: ratchets }, () => sink.ratchetKey(identity, keyIndex)),
    ])
    if (this.#keyIndex !== 0) sink.setKeyIndex(this.#keyIndex)
    return Promise.all(keys).then(() => undefined)
  }

  /** @internal */
  detach(sink: KeySink): void {
    for (const weak of this.#sinks) {
      const there = weak.deref()
      if (there === undefined || there === sink) this.#sinks.delete(weak)
    }
  }

  #attached(): KeySink[] {
    return [...this.#sinks].flatMap((weak) => weak.deref() ?? [])
  }

  #identity(identity: string | undefined): string | null {
    if (this.#sharedKey) {
      if (identity === undefined) return null
      throw check.invalidType('participantIdentity', 'absent with a shared key', identity)
    }
    if (typeof identity === 'string' && identity !== '') return identity
    throw check.invalidType('participantIdentity', 'a non-empty string with sharedKey: false', identity)
  }

  #material(key: string | ArrayBuffer | Uint8Array): Uint8Array {
    if (typeof key === 'string') return new TextEncoder().encode(key)
    const raw = types.isArrayBuffer(key) ? new Uint8Array(key) : key
    if (!types.isUint8Array(raw))
      throw check.invalidType('key', 'a string, an ArrayBuffer or a Uint8Array', key)
    if (this.#keyDerivation === undefined) {
      throw check.invalidType('options.keyDerivation', "'PBKDF2' or 'HKDF' for raw keys", undefined)
    }
    // A copy, because the application may wipe its array.
    return Uint8Array.from(raw)
  }
}

function slot(identity: string | null, keyIndex: number): string {
  return `${keyIndex} ${identity ?? ''}`
}
