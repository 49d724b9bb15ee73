// A registry of npm with the tarballs that are its arguments, on 127.0.0.1. It writes its address to standard output.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'

const packages = process.argv.slice(2).map((file) => {
  const manifest = JSON.parse(
    execFileSync('tar', ['-xzOf', file, 'package/package.json'], { encoding: 'utf8' }),
  )
  const bytes = readFileSync(file)
  const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`
  return {
    manifest,
    bytes,
    integrity,
    shasum: createHash('sha1').update(bytes).digest('hex'),
  }
})

/** Where the tarball of a package is, as in npm's own registry. */
const pathOf = ({ name, version }) => `/${name}/-/${name.split('/').at(-1)}-${version}.tgz`

const server = createServer(({ url, headers }, response) => {
  const path = decodeURIComponent(url)
  const tarball = packages.find(({ manifest }) => path === pathOf(manifest))
  if (tarball !== undefined) return response.end(tarball.bytes)
  const found = packages.find(({ manifest }) => path === `/${manifest.name}`)
  if (found === undefined) {
    response.statusCode = 404
    return response.end('{}')
  }
  const { manifest, integrity, shasum } = found
  const dist = { integrity, shasum, tarball: `http://${headers.host}${pathOf(manifest)}` }
  response.setHeader('content-type', 'application/json')
  response.end(
    JSON.stringify({
      name: manifest.name,
      'dist-tags': { latest: manifest.version },
      versions: { [manifest.version]: { ...manifest, dist } },
      time: { [manifest.version]: '2026-01-01T00:00:00.000Z' },
    }),
  )
})
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
