/** End-to-end encryption written in JavaScript, in place of the built-in one. */
import { types } from 'node:util'
import * as check from '../base/arguments'

/** A frame as it travels. */
export interface SealedDataTrackFrame {
  /** The ciphertext with whatever authenticates it. */
  readonly payload: Uint8Array
  /** 12 bytes. Never use one twice with the same key. */
  readonly iv: Uint8Array
  /** 0 to 15: which key it was. */
  readonly keyIndex: number
}

/**
 * Encrypts and decrypts whole frames. Return the result, not a promise, where you can: with an `encrypt` that returns
 * promises `tryPush` fails (`encryptionFailed`) and only an awaited `push` works; a `decrypt` that does so makes each
 * frame wait for the one before it. What they throw is counted, and comes as an `encryptionError` event.
 *
 * Neither frame numbers nor timestamps nor the identity of the track are authenticated by the format.
 */
export interface E2eeProvider {
  /** Encrypts a frame of the local participant. `payload` is only valid during the call, or until its promise ends. */
  encrypt(
    payload: Uint8Array,
    context: { readonly trackName: string },
  ): SealedDataTrackFrame | Promise<SealedDataTrackFrame>
  /** Decrypts a frame; throws, or rejects, if that fails. */
  decrypt(
    frame: SealedDataTrackFrame,
    context: { readonly publisherIdentity: string; readonly trackName: string },
  ): Uint8Array | Promise<Uint8Array>
}

/** Largest key index; above it other LiveKit SDKs fall silent. */
export const MAX_KEY_INDEX = 15
const IV_LENGTH = 12

/** @internal */
export function checkProvider(name: string, provider: E2eeProvider): E2eeProvider {
  if (typeof provider !== 'object' || (provider as unknown) === null) {
    throw check.invalidType(name, 'a provider with encrypt() and decrypt()', provider)
  }
  check.methods(name, provider, ['encrypt', 'decrypt'])
  return provider
}

/** @internal Checks what a provider returned; it throws what becomes the `cause`. */
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
