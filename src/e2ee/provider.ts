/** End-to-end encryption by the application, in place of the built-in encryption. */
import { types } from 'node:util'
import * as check from '../base/arguments'
import { IV_LENGTH } from '../native/native'

/** A frame as it is sent. */
export interface SealedDataTrackFrame {
  /** The ciphertext with its authentication data. */
  readonly payload: Uint8Array
  /** 12 bytes. Never use an IV twice with the same key. */
  readonly iv: Uint8Array
  /** Index of the key, 0 to 15. */
  readonly keyIndex: number
}

/**
 * Encrypts and decrypts whole frames of data tracks. A room with a provider neither sends nor accepts data packets, data
 * streams or calls.
 *
 * Return the result and not a promise if you can. With an `encrypt` that returns promises `tryPush` fails
 * (`encryptionFailed`), and only an awaited `push` works. With a `decrypt` that returns promises each frame waits for
 * the previous one. Errors are counted and reported in `encryptionError` events.
 *
 * The format authenticates neither frame numbers nor timestamps nor the track's identity.
 */
export interface E2eeProvider {
  /**
   * Encrypts a frame of the local participant. `payload` is valid only during the call, or until its promise settles.
   */
  encrypt(
    payload: Uint8Array,
    context: { readonly trackName: string },
  ): SealedDataTrackFrame | Promise<SealedDataTrackFrame>
  /** Decrypts a frame. It throws or rejects on failure. */
  decrypt(
    frame: SealedDataTrackFrame,
    context: { readonly publisherIdentity: string; readonly trackName: string },
  ): Uint8Array | Promise<Uint8Array>
}

/** The largest key index. With a larger one LiveKit's Python SDK falls silent, and the other SDKs drop the frames. */
export const MAX_KEY_INDEX = 15

/** @internal */
export function checkProvider(name: string, provider: E2eeProvider): E2eeProvider {
  if (typeof provider !== 'object' || (provider as unknown) === null) {
    throw check.invalidType(name, 'a provider with encrypt() and decrypt()', provider)
  }
  check.methods(name, provider, ['encrypt', 'decrypt'])
  return provider
}

/** @internal Checks the provider's result. The error that it throws becomes the `cause`. */
export function checkSealed(sealed: SealedDataTrackFrame): SealedDataTrackFrame {
  if (typeof sealed !== 'object' || (sealed as unknown) === null) {
    throw check.invalidType('the result of encrypt()', 'an object', sealed)
  }
  check.bytes('the result of encrypt().payload', sealed.payload)
  check.integer('the result of encrypt().keyIndex', sealed.keyIndex, 0, 0, MAX_KEY_INDEX)
  if (check.bytes('the result of encrypt().iv', sealed.iv).byteLength !== IV_LENGTH) {
    throw check.outOfRange(
      'the result of encrypt().iv.byteLength',
      `${IV_LENGTH} bytes`,
      sealed.iv.byteLength,
    )
  }
  return sealed
}

/** @internal */
export function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return types.isPromise(value) || (typeof value === 'object' && value !== null && 'then' in value)
}
