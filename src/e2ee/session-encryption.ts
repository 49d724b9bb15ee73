/** A session's encryption: none, the built-in encryption with a key provider, or a custom provider. */
import * as check from '../base/arguments'
import { DataTrackE2eeError } from '../base/errors'
import { mapNativeError } from '../native/native-error'
import type { NativeSession, NativeSessionOptions } from '../native/native'
import type { ExternalE2EEKeyProvider } from './key-provider'
import type { KeySink } from './key-provider'
import { checkProvider } from './provider'
import type { E2eeProvider } from './provider'

/**
 * End-to-end encryption of a room.
 *
 * All data tracks are published encrypted. Publishing fails (`encryptionMismatch`) if the SFU answers otherwise.
 * Subscribing to an unencrypted track fails unless `allowUnencrypted` is set.
 */
export type EncryptionOptions =
  /** The built-in encryption: AES-128-GCM, as in all LiveKit SDKs. */
  | { readonly keyProvider: ExternalE2EEKeyProvider; readonly provider?: undefined }
  /** Encryption by the application. */
  | { readonly provider: E2eeProvider; readonly keyProvider?: undefined }

/** @internal */
export type SessionEncryptionOptions = Pick<
  NativeSessionOptions,
  'encryption' | 'keyDerivation' | 'sharedKey' | 'ratchetWindow' | 'failureTolerance'
>

/** @internal Checks the options and returns the native session's options. */
export function encryptionForNative(options: EncryptionOptions | undefined): SessionEncryptionOptions {
  const none = { keyDerivation: 'PBKDF2', sharedKey: true, ratchetWindow: 0, failureTolerance: -1 }
  if (options === undefined) return { encryption: 'none', ...none }
  if (typeof options !== 'object' || (options as unknown) === null) {
    throw check.invalidType('options.encryption', 'an object with a keyProvider or a provider', options)
  }
  if (options.provider !== undefined) {
    checkProvider('options.encryption.provider', options.provider)
    return { encryption: 'custom', ...none }
  }
  const { keyProvider } = options
  if (typeof (keyProvider as Partial<ExternalE2EEKeyProvider> | undefined)?.attach !== 'function') {
    throw check.invalidType('options.encryption.keyProvider', 'an ExternalE2EEKeyProvider', keyProvider)
  }
  const { sharedKey, keyDerivation, ratchetWindowSize, failureTolerance } = keyProvider.getOptions()
  return {
    encryption: 'native',
    keyDerivation,
    sharedKey,
    ratchetWindow: ratchetWindowSize,
    failureTolerance,
  }
}

/**
 * What encrypts data packets: nothing, the native session, or a custom provider. A custom provider encrypts
 * frames only, so data packets are refused then.
 */
export type PacketEncryption = 'none' | 'native' | 'custom'

/** @internal What encrypts data packets with these options. */
export function packetEncryption(options: EncryptionOptions | undefined): PacketEncryption {
  if (options === undefined) return 'none'
  return options.provider === undefined ? 'native' : 'custom'
}

/** @internal Passes a provider's keys to a native session. */
export class SessionKeys implements KeySink {
  readonly #native: NativeSession
  readonly #identity: string | undefined
  readonly #afterwards: () => void
  #closed = false

  /** @param identity the local participant's: the native side knows the local key by `null` */
  constructor(native: NativeSession, identity: string | undefined, afterwards: () => void) {
    this.#native = native
    this.#identity = identity
    this.#afterwards = afterwards
  }

  /** The session is closed. Failures of pending calls no longer matter. */
  close(): void {
    this.#closed = true
  }

  async setKey(identity: string | null, keyIndex: number, material: Uint8Array, use: boolean): Promise<void> {
    const own = identity === null || identity === this.#identity
    await this.#run(this.#native.setKey.bind(this.#native), own ? null : identity, keyIndex, material)
    if (use && own && !this.#closed) this.setKeyIndex(keyIndex)
  }

  async ratchetKey(identity: string | null, keyIndex: number): Promise<void> {
    const own = identity === null || identity === this.#identity
    await this.#run(this.#native.ratchetKey.bind(this.#native), own ? null : identity, keyIndex)
  }

  setKeyIndex(keyIndex: number): void {
    try {
      this.#native.setSendKeyIndex(keyIndex)
    } catch (error) {
      throw mapNativeError(error)
    }
    this.#afterwards()
  }

  async #run<Args extends unknown[]>(call: (...args: Args) => Promise<void>, ...args: Args): Promise<void> {
    try {
      await call(...args)
    } catch (error) {
      if (!this.#closed) throw mapNativeError(error)
    } finally {
      this.#afterwards()
    }
  }
}

/** @internal */
export function providerFailed(
  cause: unknown,
  participantIdentity: string | undefined,
  keyIndex: number | undefined,
  count: number,
): DataTrackE2eeError {
  return new DataTrackE2eeError('providerFailed', { cause, participantIdentity, keyIndex, count })
}
