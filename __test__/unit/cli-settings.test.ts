import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { claimProblems, decodeClaims, span } from '../../src/connection/claims'
import { encryptionOf } from '../../src/cli/encryption'
import { tokenFor, tokenPair } from '../../src/cli/server'
import { requiredServer, serverSettings, SettingsError } from '../../src/cli/settings'
import { rejection, thrown } from '../helpers/rooms'

const url = 'wss://host.example'
const key = { LIVEKIT_API_KEY: 'key', LIVEKIT_API_SECRET: 'secret' }

/** The message of a setting that is refused. */
function refused(env: NodeJS.ProcessEnv, flags = {}): string {
  const error = thrown(() => serverSettings(env, flags))
  expect(error).toBeInstanceOf(SettingsError)
  expect(error.message).not.toContain('\n')
  return error.message as string
}

describe('settings of the server', () => {
  it('come from the environment; without any variable there are none', () => {
    expect(serverSettings({})).toBeUndefined()
    expect(serverSettings({ LIVEKIT_URL: '', ...key })).toBeUndefined()
    expect(serverSettings({ LIVEKIT_URL: url, ...key, LIVEKIT_ROOM: 'lab', LIVEKIT_IDENTITY: 'me' })).toEqual(
      {
        url,
        key: { apiKey: 'key', apiSecret: 'secret' },
        tokens: undefined,
        room: 'lab',
        identity: 'me',
      },
    )
    expect(serverSettings({ LIVEKIT_URL: url, LIVEKIT_TOKEN: ' token\n' })?.tokens).toEqual({
      publisher: 'token',
      subscriber: undefined,
    })
  })

  it('prefer options to the environment, and a key to a token', () => {
    const env = { LIVEKIT_URL: url, ...key, LIVEKIT_TOKEN: 'token', LIVEKIT_ROOM: 'lab' }
    expect(serverSettings(env)?.key?.apiKey).toBe('key')
    expect(serverSettings(env, { token: 'other' })).toMatchObject({ key: undefined, room: undefined })
    expect(serverSettings(env, { apiKey: 'other', room: 'here' })).toMatchObject({
      key: { apiKey: 'other', apiSecret: 'secret' },
      room: 'here',
    })
    expect(serverSettings(env, { url: 'ws://127.0.0.1:1' })?.url).toBe('ws://127.0.0.1:1')
    // Half of a key beside a token is no reason to complain.
    expect(
      serverSettings({ LIVEKIT_URL: url, LIVEKIT_API_KEY: 'key', LIVEKIT_TOKEN: 'token' })?.tokens,
    ).toBeDefined()
  })

  it('are those of `livekit-server --dev` with --dev', () => {
    expect(serverSettings({}, { dev: true })).toMatchObject({
      url: 'ws://127.0.0.1:7880',
      key: { apiKey: 'devkey', apiSecret: 'secret' },
    })
  })

  it('that are missing or contradict each other are reported in one line, without secrets', () => {
    expect(refused({ LIVEKIT_URL: url })).toMatch(/LIVEKIT_API_KEY and LIVEKIT_API_SECRET.*LIVEKIT_TOKEN/)
    expect(refused({ LIVEKIT_URL: url, LIVEKIT_API_KEY: 'key' })).toMatch(/no secret/)
    expect(refused({ LIVEKIT_URL: url, LIVEKIT_API_SECRET: 'hush' })).toMatch(/no key/)
    expect(refused({}, { room: 'lab' })).toMatch(/No server is named/)
    expect(refused({ LIVEKIT_URL: 'eyJhbGciOi' })).toBe(
      "The server's URL must look like wss://host or ws://host:port.",
    )
    expect(refused({ LIVEKIT_URL: url }, { token: 'token', apiKey: 'key' })).toMatch(/not both/)
    expect(refused({ LIVEKIT_URL: url }, { token: 'token', room: 'lab' })).toMatch(
      /--room goes with an API key/,
    )
    expect(thrown(() => requiredServer({}, {}))).toBeInstanceOf(SettingsError)
  })
})

describe('credentials', () => {
  it('are used without the line breaks that a file or a clipboard left around them', () => {
    const env = { LIVEKIT_URL: url, LIVEKIT_API_KEY: 'key\r\n', LIVEKIT_API_SECRET: ' secret\n' }
    expect(serverSettings(env)?.key).toEqual({ apiKey: 'key', apiSecret: 'secret' })
    expect(serverSettings({ LIVEKIT_URL: url }, { apiKey: '\nkey', apiSecret: 'secret\n' })?.key).toEqual({
      apiKey: 'key',
      apiSecret: 'secret',
    })
    expect(refused({ LIVEKIT_URL: url, LIVEKIT_API_KEY: 'key', LIVEKIT_API_SECRET: '\n' })).toMatch(
      /no secret/,
    )
  })

  it.each([
    ['API key', { apiKey: 'k\u{1f511}y', apiSecret: 'secret' }, 'U+1F511'],
    ['API secret', { apiKey: 'key', apiSecret: 'sec\0ret' }, 'U+0000'],
    ['API secret', { apiKey: 'key', apiSecret: 'sec\nret' }, 'U+000A'],
    ['token', { token: 'eyJ\u{1f511}' }, 'U+1F511'],
    ['token', { token: 'eyJ', subscriberToken: 'a b' }, 'U+0020'],
  ])('are refused by name if they have characters that cannot be sent: %s', (name, flags, character) => {
    const message = refused({ LIVEKIT_URL: url }, flags)
    expect(message).toMatch(new RegExp(`^The ${name} \\(--[a-z-]+ or LIVEKIT_[A-Z_]+\\)`))
    expect(message).toContain(character)
    for (const value of Object.values(flags)) expect(message).not.toContain(value)
  })
})

describe('tokens', () => {
  const settings = serverSettings({ LIVEKIT_URL: url, ...key })!

  it('for one participant are made for the given room; a given token is used as it is', async () => {
    expect(thrown(() => tokenFor(settings, 'sub', { canPublishData: false }))).toMatchObject({
      message: 'No room is named. Give --room or LIVEKIT_ROOM.',
    })
    const claims = decodeClaims(tokenFor({ ...settings, room: 'lab' }, 'sub', { canPublishData: false }))
    expect(claims).toMatchObject({ roomJoin: true, room: 'lab', canPublishData: false, canSubscribe: true })
    expect(claims?.identity).toMatch(/^datatrack-sub-[0-9a-f]{8}$/)
    const ready = serverSettings({ LIVEKIT_URL: url, LIVEKIT_TOKEN: 'ready' })!
    expect(tokenFor(ready, 'sub', { canPublishData: false })).toBe('ready')
  })

  it('for two participants are made for a new room; without a key, two tokens must be given', async () => {
    const { publisher, subscriber } = tokenPair(settings, 'demo')
    const [robot, desk] = [decodeClaims(publisher), decodeClaims(subscriber)]
    expect([robot?.identity, robot?.canPublishData]).toEqual(['robot', true])
    expect([desk?.identity, desk?.canPublishData]).toEqual(['desk', false])
    expect(robot?.room).toMatch(/^datatrack-demo-/)
    expect(desk?.room).toBe(robot?.room)
    const one = serverSettings({ LIVEKIT_URL: url, LIVEKIT_TOKEN: 'one' })!
    const error = thrown(() => tokenPair(one, 'demo'))
    expect(error).toBeInstanceOf(SettingsError)
    expect(error.message).toMatch(/datatrack demo needs two participants.*LIVEKIT_SUBSCRIBER_TOKEN/)
  })
})

describe('claims of a token', () => {
  const day = 86_400
  const good = {
    identity: 'me',
    notBefore: undefined,
    expires: undefined,
    roomJoin: true,
    room: 'lab',
    canPublishData: true,
    canSubscribe: true,
  }
  const said = (claims: object, now = 0): readonly string[] =>
    claimProblems({ ...good, ...claims }, now * 1000).map(({ fatal, what }) => `${fatal ? '!' : ''}${what}`)

  it('are read without the secret; a text that is no token has none', () => {
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    expect(
      decodeClaims(`x.${part({ sub: 'me', exp: 5, video: { roomJoin: true, canPublish: false } })}.y`),
    ).toEqual({
      ...good,
      expires: 5,
      room: '',
      canPublishData: false,
    })
    for (const none of ['', 'secret', 'a.b.c', `x.${part(5)}.y`, `x.${part({})}`]) {
      expect(decodeClaims(none)).toBeUndefined()
    }
  })

  it('that make the token unusable are reported, measured by the clock of the server', () => {
    expect(said({})).toEqual([])
    expect(said({ expires: day }, day + 59)).toEqual([])
    expect(said({ expires: day }, day + 600)).toEqual(['!it expired 10 min ago'])
    expect(said({ notBefore: day }, day - 7200)).toEqual(['!it will be good in 2 h only'])
    expect(said({ roomJoin: false })).toEqual(['!it lacks the grant roomJoin'])
    expect(said({ room: '' })).toEqual(['!it names no room'])
    expect(said({ canPublishData: false, canSubscribe: false })).toEqual([
      'it does not allow to publish data',
      'it does not allow to subscribe',
    ])
    expect(claimProblems(undefined, 0)[0]).toMatchObject({ fatal: true, what: 'it is no access token' })
    expect([span(45), span(600), span(7200), span(5 * day)]).toEqual(['45 s', '10 min', '2 h', '5 days'])
  })
})

describe('the passphrase', () => {
  it('is read from a file or the environment; an error about the file does not contain its name', async () => {
    expect(await encryptionOf({}, {})).toBeUndefined()
    expect(await encryptionOf({ LIVEKIT_E2EE_PASSPHRASE: 'hush' }, {})).toHaveProperty('keyProvider')
    const file = join(mkdtempSync(join(tmpdir(), 'datatrack-')), 'passphrase')
    expect(await rejection(encryptionOf({}, { passphraseFile: file }))).toMatchObject({
      message: 'The file of --passphrase-file cannot be read (ENOENT).',
    })
    writeFileSync(file, '\n')
    expect(await rejection(encryptionOf({}, { passphraseFile: file }))).toBeInstanceOf(SettingsError)
    writeFileSync(file, 'hush\n')
    expect(await encryptionOf({}, { passphraseFile: file })).toHaveProperty('keyProvider')
  })
})
