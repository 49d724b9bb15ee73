// Through the TURN server that livekit-server has, beside UDP directly: both participants use the relay. Only this
// package is measured, because the other SDKs have no TURN over TLS with a certificate authority of one's own.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { withPair } from '../agent.mjs'
import { LivekitServer } from '../server.mjs'

/** Frames a second of 15 KiB, up to more than the server carries. */
const OFFERED = [600, 900, 1300, 1800]
const SIZE = 15_360

/** A certificate for 127.0.0.1 that is its own authority. */
function makeCertificate(folder) {
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', files.key]
  const extensions = ['basicConstraints=critical,CA:FALSE', 'subjectAltName=IP:127.0.0.1']
  const named = ['-subj', '/CN=127.0.0.1', ...extensions.flatMap((extension) => ['-addext', extension])]
  execFileSync('openssl', ['req', '-x509', ...key, '-out', files.cert, ...named], { stdio: 'pipe' })
  return files
}

/** Latency and throughput through relays over UDP and over TLS, and directly. */
export async function relay(bench, kind) {
  if (kind !== 'ours') return {}
  const folder = mkdtempSync(join(tmpdir(), 'datatrack-bench-'))
  const files = makeCertificate(folder)
  const server = await LivekitServer.start(undefined, files)
  try {
    const { username, credential } = await server.relayCredentials()
    const through = (url) => ({
      iceTransports: 'relay',
      iceServers: [{ urls: url, username, credential }],
      ca: readFileSync(files.cert, 'utf8'),
    })
    const { udp, tls } = server.relayPorts
    const paths = {
      direct: { iceTransports: 'udp' },
      'relay/udp': through(`turn:127.0.0.1:${udp}?transport=udp`),
      'relay/tls': through(`turns:127.0.0.1:${tls}`),
    }
    const rows = {}
    for (const [path, options] of Object.entries(paths)) {
      await withPair(server, kind, (pair) => measure(bench, pair, server, path, rows), ['track'], {}, options)
    }
    return rows
  } finally {
    await server.stop()
    rmSync(folder, { recursive: true })
  }
}

async function measure({ quick }, pair, server, path, rows) {
  const seconds = quick ? 1.5 : 4
  const idle = await pair.offer({ size: 1024, rate: 200, seconds, warm: 1 }, server)
  rows[`p50 1 KiB ${path}`] = { best: idle.p50, probes: [idle] }
  rows[`p99 1 KiB ${path}`] = { best: idle.p99 }
  const probes = []
  for (const rate of quick ? OFFERED.slice(1, 3) : OFFERED) {
    probes.push(await pair.offer({ size: SIZE, rate, seconds: quick ? 1.5 : 3, warm: 1 }, server))
  }
  const most = Math.max(...probes.map(({ perSecond }) => perSecond))
  rows[`most 15 KiB ${path}`] = { best: (most * SIZE) / 1e6, probes }
}
