/** The environment's proxy for the TCP connections of the data path. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { proxyTo, tunnelProxy } from '../../src/connection/proxy'

beforeEach(() => {
  for (const name of ['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy']) {
    vi.stubEnv(name, undefined)
    vi.stubEnv(name.toUpperCase(), undefined)
  }
})
afterEach(() => vi.unstubAllEnvs())

const proxy = { host: 'proxy', port: 3128, authorization: '' }

it.each<[string, Readonly<Record<string, string>>, object | null]>([
  ['none', {}, null],
  ['HTTPS_PROXY', { HTTPS_PROXY: 'http://proxy:3128' }, proxy],
  ['ALL_PROXY', { ALL_PROXY: 'http://proxy:3128' }, proxy],
  ['without a port', { https_proxy: 'http://proxy' }, { ...proxy, port: 80 }],
  ['IPv6', { https_proxy: 'http://[::1]:3128' }, { ...proxy, host: '::1' }],
  [
    'credentials',
    { https_proxy: 'http://me:p%40ss%20w%C3%B6rd@proxy:3128' },
    { ...proxy, authorization: `Basic ${Buffer.from('me:p@ss wörd').toString('base64')}` },
  ],
  ['HTTP_PROXY alone', { HTTP_PROXY: 'http://proxy:3128' }, null],
  ['NO_PROXY', { HTTPS_PROXY: 'http://proxy:3128', NO_PROXY: 'relay.example' }, null],
  ['NO_PROXY with another port', { HTTPS_PROXY: 'http://proxy:3128', NO_PROXY: 'relay.example:1' }, proxy],
  ['over TLS', { HTTPS_PROXY: 'https://proxy:3128' }, null],
  ['SOCKS', { ALL_PROXY: 'socks5://proxy:3128' }, null],
  ['no URL', { HTTPS_PROXY: 'http://me:hush:x@:y' }, null],
])('%s', (_, variables, expected) => {
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value)
  expect(tunnelProxy('relay.example', 443)).toEqual(expected)
})

it('takes any host that a server may name', () => {
  vi.stubEnv('HTTPS_PROXY', 'http://proxy:3128')
  vi.stubEnv('NO_PROXY', '2001:db8::1,[2001:db8::2]')
  expect(['%zz', 'a<b', '1.2.3.4.5', '', '192.0.2.1'].map((host) => tunnelProxy(host, 443))).toEqual([
    null,
    null,
    null,
    null,
    proxy,
  ])
  expect(tunnelProxy('2001:db8::3', 443)).toEqual(proxy)
})

it('for the LiveKit server, NO_PROXY names the host of its URL', () => {
  vi.stubEnv('HTTPS_PROXY', 'http://proxy:3128')
  vi.stubEnv('NO_PROXY', 'livekit.example:443')
  const urls = ['wss://livekit.example', 'ws://livekit.example', 'wss://livekit.example:7880', 'ws://[::1]']
  expect(urls.map((url) => proxyTo(new URL(url)))).toEqual([null, proxy, proxy, proxy])
})
