import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { describe, expect, it } from 'vitest'
import { checkNames } from '../helpers/check-names'
import { runCli } from '../helpers/cli'
import { freePort, LivekitServer } from '../helpers/livekit-server'
import type { TokenOptions } from '../helpers/livekit-server'
import { withServer } from '../helpers/with-server'

const server = withServer()

interface Diagnosis {
  readonly code: number | null
  /** Texts `check: status`, in the order of the checks. */
  readonly statuses: readonly string[]
  readonly verdict: unknown
  /** What the command says about a check, with its advice. */
  readonly said: (check: string) => string
}

/** Runs the doctor, and checks that its output contains no secret. */
async function diagnosed(env: NodeJS.ProcessEnv, args: readonly string[] = []): Promise<Diagnosis> {
  const { code, stdout, stderr } = await runCli(['doctor', '--json', ...args], env)
  expect(stderr).toBe('')
  const secrets = [
    env['LIVEKIT_API_SECRET'],
    env['LIVEKIT_TOKEN']?.slice(0, 30),
    env['LIVEKIT_TOKEN']?.slice(-20),
  ]
  for (const secret of secrets) if (secret !== undefined) expect(stdout).not.toContain(secret)
  // The output contains no other token either: neither one that the command made, nor one that the server repeats.
  expect(stdout).not.toMatch(/eyJ\w{10}/)
  const objects = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, string | undefined>)
  const findings = objects.slice(0, -1)
  const said = (name: string): string => {
    const found = findings.find(({ check }) => check === name)
    return `${found?.['what'] ?? ''}. ${found?.['help'] ?? ''}`
  }
  const statuses = findings.map(({ check, status }) => `${String(check)}: ${String(status)}`)
  return { code, statuses, verdict: objects.at(-1)?.['verdict'], said }
}

function withKey(of = server): NodeJS.ProcessEnv {
  const { apiKey, apiSecret } = of.key
  return { LIVEKIT_URL: of.url, LIVEKIT_API_KEY: apiKey, LIVEKIT_API_SECRET: apiSecret }
}

async function withToken(options?: TokenOptions): Promise<NodeJS.ProcessEnv> {
  return { LIVEKIT_URL: server.url, LIVEKIT_TOKEN: await server.token('surgery', 'patient', options) }
}

const upTo = (check: string, status: string): readonly string[] => {
  const at = checkNames.findIndex((name) => name === check)
  // This server names no relay.
  return checkNames.map((name, index) =>
    name.startsWith('TURN')
      ? `${name}: skipped`
      : `${name}: ${index < at ? 'ok' : index === at ? status : 'skipped'}`,
  )
}

describe('the doctor', () => {
  it('finds no fault with a healthy server, and carries frames in both directions', async () => {
    const { code, statuses, verdict, said } = await diagnosed(withKey())
    expect(statuses).toEqual(upTo('data', 'ok'))
    expect([code, verdict]).toEqual([0, 'ok'])
    expect(said('signalling')).toMatch(/livekit-server 1\./)
    expect(said('data')).toMatch(/from one participant to another and back: 64 B in [\d.]+ ms/)
  })

  it('prints its findings as text', async () => {
    const { code, stdout } = await runCli(['doctor'], withKey())
    expect(code).toBe(0)
    expect(stdout).toMatch(/^ok {6}UDP +connected after \d+ ms$/m)
    expect(stdout).toMatch(/\n\nAll is well: data tracks work\.\n$/)
  })

  it('runs the checks that one token allows', async () => {
    const { code, statuses, said } = await diagnosed(await withToken())
    expect([code, statuses.at(-1)]).toEqual([0, 'data: ok'])
    expect(said('token')).toMatch(/accepted, good for 60 min/)
    expect(said('data')).toMatch(/needs a second participant.*--subscriber-token/)
  })

  it('measures one direction if the second token does not permit publishing', async () => {
    const second = await server.token('surgery', 'nurse', { grant: { canPublishData: false } })
    const env = { ...(await withToken()), LIVEKIT_SUBSCRIBER_TOKEN: second }
    const { code, said } = await diagnosed(env)
    expect(code).toBe(0)
    expect(said('data')).toMatch(/from one participant to another: 64 B in/)
  })

  it('recognizes a port where nothing listens', async () => {
    const env = { ...withKey(), LIVEKIT_URL: `ws://127.0.0.1:${await freePort()}` }
    const { code, statuses, verdict, said } = await diagnosed(env)
    expect([code, verdict, statuses]).toEqual([1, 'failed', upTo('http', 'failed')])
    expect(said('http')).toMatch(/ECONNREFUSED.*is the port right/)
  })

  it('recognizes a host name without an address', async () => {
    const { code, statuses, said } = await diagnosed({
      ...withKey(),
      LIVEKIT_URL: 'wss://no-such-host.invalid',
    })
    expect([code, statuses]).toEqual([1, upTo('address', 'failed')])
    expect(said('address')).toMatch(/no-such-host\.invalid has no address/)
  })

  it('recognizes that the server has no TLS', async () => {
    const { code, statuses, said } = await diagnosed({
      ...withKey(),
      LIVEKIT_URL: server.url.replace('ws', 'wss'),
    })
    expect([code, statuses]).toEqual([1, upTo('http', 'failed')])
    expect(said('http')).toMatch(/try ws:\/\/ instead of wss:\/\//)
  })

  it('recognizes a server that is not LiveKit’s', async () => {
    const other = createServer((request, response) =>
      response.writeHead(request.url === '/' ? 200 : 404).end(),
    )
    other.listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    const { code, statuses, said } = await diagnosed({ ...withKey(), LIVEKIT_URL: `ws://127.0.0.1:${port}` })
    other.close()
    expect([code, statuses]).toEqual([1, upTo('token', 'failed')])
    expect(said('token')).toMatch(/HTTP status 404.*Is that a LiveKit server/)
  })

  it('reports a wrong clock', async () => {
    const date = new Date(Date.now() + 3_600_000).toUTCString()
    const other = createServer((_request, response) => response.writeHead(200, { date }).end())
    other.listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    // The token has expired by the server's clock, but not by ours.
    const env = { ...(await withToken({ ttl: '10m' })), LIVEKIT_URL: `ws://127.0.0.1:${port}` }
    const { code, statuses, said } = await diagnosed(env)
    other.close()
    expect([code, statuses.slice(2, 4)]).toEqual([1, ['http: warning', 'token: failed']])
    expect(said('http')).toMatch(/its clock is 60 min ahead of ours/)
    expect(said('token')).toMatch(/it expired 50 min ago/)
  })

  it('recognizes a wrong secret, an unknown key, and a token of another secret', async () => {
    const secret = await diagnosed({ ...withKey(), LIVEKIT_API_SECRET: 'x'.repeat(48) })
    expect([secret.code, secret.statuses]).toEqual([1, upTo('token', 'failed')])
    expect(secret.said('token')).toMatch(/HTTP status 401, .*API secret is not the one/)
    const key = await diagnosed({ ...withKey(), LIVEKIT_API_KEY: 'nokey' })
    expect(key.said('token')).toMatch(/does not know that API key/)
    const forged = await diagnosed(await withToken({ forged: true }))
    expect([forged.code, forged.statuses]).toEqual([1, upTo('token', 'failed')])
    expect(forged.said('token')).toMatch(/signed with another secret/)
  })

  it('recognizes a token that has expired, lacks grants, or is invalid', async () => {
    const expired = await diagnosed(await withToken({ ttl: -600 }))
    expect([expired.code, expired.statuses]).toEqual([1, upTo('token', 'failed')])
    expect(expired.said('token')).toMatch(/it expired 10 min ago.*Make a new token/)
    const outside = await diagnosed(await withToken({ grant: { roomJoin: false } }))
    expect(outside.said('token')).toMatch(/lacks the grant roomJoin/)
    const none = await diagnosed({ LIVEKIT_URL: server.url, LIVEKIT_TOKEN: 'none-at-all-really-not' })
    expect(none.said('token')).toMatch(/it is no access token/)
    const silent = await diagnosed(await withToken({ grant: { canPublishData: false } }))
    expect([silent.code, silent.verdict, silent.statuses.at(-1)]).toEqual([3, 'warning', 'data: skipped'])
    expect(silent.said('token')).toMatch(/does not allow to publish data/)
  })

  it('warns about a server without UDP: data goes over TCP', async () => {
    const limited = await LivekitServer.start({ udp: false })
    try {
      const { code, verdict, statuses, said } = await diagnosed(withKey(limited), ['--timeout', '8'])
      expect(statuses).toEqual([
        ...['binary', 'address', 'http', 'token', 'signalling'].map((check) => `${check}: ok`),
        'UDP: warning',
        'TCP: ok',
        'TURN/UDP: skipped',
        'TURN/TLS: skipped',
        'data: ok',
      ])
      expect([code, verdict]).toEqual([3, 'warning'])
      expect(said('UDP')).toMatch(
        /no path to the server within 8 s; TCP works.*Firewalls must let UDP through/,
      )
    } finally {
      await limited.stop()
    }
  })
})
