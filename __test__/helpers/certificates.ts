/** A certificate of an authority that openssl makes for this run. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Certificates {
  /** The certificate of the authority. */
  readonly ca: Buffer
  readonly key: Buffer
  readonly cert: Buffer
}

/** A certificate for the names, by default those of this machine. */
export function makeCertificates(names = 'DNS:localhost,IP:127.0.0.1'): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'datatrack-tls-'))
  try {
    const path = (name: string): string => join(folder, name)
    const openssl = (...args: string[]): void => {
      execFileSync('openssl', args, { stdio: 'pipe' })
    }
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    openssl(
      'req',
      '-x509',
      ...newKey,
      '-keyout',
      path('ca.key'),
      '-out',
      path('ca.pem'),
      '-subj',
      '/CN=Test authority',
    )
    openssl(
      'req',
      ...newKey,
      '-keyout',
      path('key.pem'),
      '-out',
      path('request.pem'),
      '-subj',
      '/CN=localhost',
    )
    writeFileSync(path('names'), `subjectAltName=${names}\n`)
    const signed = [
      '-CA',
      path('ca.pem'),
      '-CAkey',
      path('ca.key'),
      '-CAcreateserial',
      '-extfile',
      path('names'),
    ]
    openssl('x509', '-req', '-in', path('request.pem'), ...signed, '-out', path('cert.pem'))
    const read = (name: string): Buffer => readFileSync(path(name))
    return { ca: read('ca.pem'), key: read('key.pem'), cert: read('cert.pem') }
  } finally {
    rmSync(folder, { recursive: true })
  }
}
