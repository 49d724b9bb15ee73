/**
 * End-to-end encryption of the commands. No option takes the passphrase itself, because other users of the machine can
 * read command lines.
 */
import { readFileSync } from 'node:fs'
import { ExternalE2EEKeyProvider } from '../e2ee/key-provider'
import type { EncryptionOptions } from '../e2ee/session-encryption'
import type { EncryptionFlags } from './options'
import { SettingsError } from './settings'

/**
 * Encryption with the passphrase from a file, without the line break at its end, or from `LIVEKIT_E2EE_PASSPHRASE`.
 * `undefined` if neither is given.
 *
 * @throws `SettingsError` for a file that cannot be read or is empty
 */
export async function encryptionOf(
  env: NodeJS.ProcessEnv,
  { passphraseFile }: EncryptionFlags,
): Promise<EncryptionOptions | undefined> {
  const passphrase =
    passphraseFile === undefined
      ? env['LIVEKIT_E2EE_PASSPHRASE'] || undefined
      : readPassphrase(passphraseFile)
  if (passphrase === undefined) return undefined
  const keyProvider = new ExternalE2EEKeyProvider()
  await keyProvider.setKey(passphrase)
  return { keyProvider }
}

function readPassphrase(file: string): string {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new SettingsError(`The file of --passphrase-file cannot be read (${code ?? 'unknown error'}).`)
  }
  const passphrase = text.replace(/\r?\n$/, '')
  if (passphrase === '') throw new SettingsError('The file of --passphrase-file is empty.')
  return passphrase
}
