/** TURN servers: what the caller may name, and what is taken of what the server names. */
import { describe, expect, it } from 'vitest'
import { authoritiesFor, checkIceServers, iceServersOver, relaysOf } from '../../src/connection/ice-servers'
import { MAX_RELAYS } from '../../src/native/native'

const login = { username: 'user', credential: 'open sesame' }
const check = (urls: string | string[]) => checkIceServers('iceServers', [{ urls, ...login }])

describe('the option iceServers', () => {
  it.each([
    ['turn:host', 'host', 3478, 'udp'],
    ['turn:host:9?transport=udp', 'host', 9, 'udp'],
    ['TURN:192.0.2.1:80?transport=TCP', '192.0.2.1', 80, 'tcp'],
    ['turns:host.example', 'host.example', 5349, 'tls'],
    ['turns:[2001:db8::1]:443?transport=tcp', '2001:db8::1', 443, 'tls'],
  ])('%s', (url, host, port, transport) => {
    expect(check(url)).toEqual([{ host, port, transport, ...login, proxy: null }])
  })

  it('ignores STUN servers, and takes several URLs', () => {
    expect(check(['stun:host', 'turn:a', 'stuns:host:1', 'turns:b'])).toHaveLength(2)
    expect(checkIceServers('iceServers', [{ urls: 'stun:host' }])).toEqual([])
    expect(checkIceServers('iceServers', undefined)).toBeUndefined()
  })

  it.each([
    '',
    'turn:',
    'http://host',
    'turn:host:0',
    'turn:host:65536',
    'turn:user@host',
    'turns:host?transport=udp',
  ])('refuses %j', (url) => {
    expect(() => check(url)).toThrow(RangeError)
  })

  it(`takes at most ${MAX_RELAYS} URLs: MAX_RELAYS`, () => {
    const urls = Array.from({ length: MAX_RELAYS + 1 }, (_, index) => `turn:host:${index + 1}`)
    expect(check(urls.slice(1))).toHaveLength(MAX_RELAYS)
    expect(() => check(urls)).toThrow(RangeError)
    const named = relaysOf(Array.from({ length: 1000 }, () => ({ urls, ...login })))
    expect(named).toHaveLength(MAX_RELAYS)
    // MAX_URLS: those behind them are not looked at.
    const many = [...Array.from({ length: 32 }, () => 'stun:host'), 'turn:host']
    expect(relaysOf([{ urls: many, ...login }])).toEqual([])
    expect(
      relaysOf([
        ...Array.from({ length: 32 }, () => ({ urls: [], ...login })),
        { urls: ['turn:host'], ...login },
      ]),
    ).toEqual([])
  })

  it('names what is wrong, and never a credential', () => {
    const wrong: readonly unknown[] = [
      null,
      'turn:host',
      [null],
      [{ urls: 7, ...login }],
      [{ urls: 'turn:host', username: 'user' }],
      [{ urls: 'turn:host', username: ['open sesame'], credential: ['open sesame'] }],
    ]
    for (const given of wrong) {
      expect(() => checkIceServers('iceServers', given as [])).toThrow(
        expect.objectContaining({
          name: 'TypeError',
          message: expect.stringMatching(/^(?!.*sesame).*"iceServers/) as unknown,
        }) as Error,
      )
    }
  })
})

describe('what the server names', () => {
  it('is taken as far as it can be used', () => {
    const urls = [
      'turn:127.0.0.1:3478?transport=udp',
      'turns:host:443?transport=udp',
      'nonsense',
      'turns:host:443',
    ]
    expect(relaysOf([{ urls, ...login }]).map(({ transport }) => transport)).toEqual(['udp', 'tls'])
    expect(iceServersOver([{ urls, ...login }], true)).toEqual([{ urls: urls[0], ...login }])
    expect(iceServersOver([{ urls, ...login }], false)).toEqual([{ urls: urls[3], ...login }])
  })
})

it('authorities are read only if a relay needs them', () => {
  const over = (url: string) => check(url)!
  expect(authoritiesFor(over('turn:host'), undefined)).toBe('')
  expect(authoritiesFor(over('turns:host'), undefined)).toContain('BEGIN CERTIFICATE')
  expect(authoritiesFor(over('turns:host'), [Buffer.from('one'), 'two'])).toBe('one\ntwo')
})
