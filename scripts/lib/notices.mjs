// The licences of what a package contains or depends on, as their authors require.
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { execFileSync } from 'node:child_process'
import { bundledPackages } from './bundle.mjs'
import { fromRoot } from './steps.mjs'

/** Names of files with texts that a licence requires. */
const LICENCE_FILE = /^(licen[cs]e|copying|copyright|notice|unlicense)/i

/** The crates that the addon of that target is linked from: `{ name, version, licence, folder }`. */
export function crates(triple) {
  const cargo = (...args) =>
    execFileSync('cargo', args, { cwd: fromRoot('.'), encoding: 'utf8', maxBuffer: 64 << 20 })
  const metadata = JSON.parse(
    cargo('metadata', '--locked', '--format-version=1', `--filter-platform=${triple}`),
  )
  const tree = cargo(
    ...['tree', '--locked', '--package=datatrack-node', '--edges=normal', `--target=${triple}`],
    ...['--prefix=none', '--format={p}'],
  )
  // "aws-lc-sys v0.32.0", "syn v2.0.1 (proc-macro)", "datatrack v0.1.0 (/folder)"
  const wanted = new Set(tree.split('\n').map((line) => line.split(' ').slice(0, 2).join(' ')))
  return metadata.packages
    .filter(({ name, version, source }) => source !== null && wanted.has(`${name} v${version}`))
    .map(({ name, version, license, manifest_path: manifest }) => ({
      name,
      version,
      licence: license ?? 'see below',
      folder: dirname(manifest),
    }))
}

/** The npm packages that dist/ contains. */
export function npmPackages() {
  const { packages } = JSON.parse(readFileSync(fromRoot('package-lock.json'), 'utf8'))
  return bundledPackages.map((name) => {
    const path = `node_modules/${name}`
    const { version, license } = packages[path]
    return { name, version, licence: license ?? 'see below', folder: fromRoot(path) }
  })
}

/** The text of a file of notices. A licence that several packages have in the same words appears once. */
export function notices(title, parts) {
  const texts = new Map()
  const sorted = [...parts].sort((left, right) => (left.name < right.name ? -1 : 1))
  for (const part of sorted) {
    for (const text of licenceTexts(part)) {
      const key = createHash('sha256').update(text.replace(/\s+/g, ' ')).digest('hex')
      const entry = texts.get(key) ?? { text, of: new Set() }
      entry.of.add(`${part.name} ${part.version}`)
      texts.set(key, entry)
    }
  }
  const list = sorted.map(({ name, version, licence }) => `${name} ${version}: ${licence}`)
  const sections = [...texts.values()].map(({ text, of }) => `${[...of].join(', ')}\n\n${text.trim()}`)
  return `${[`${title}\n\n${list.join('\n')}`, ...sections].join(`\n\n${'-'.repeat(80)}\n\n`)}\n`
}

/** The texts of the folder itself, and of what a crate contains: aws-lc in aws-lc-sys, libopus in opusic-sys. */
function licenceTexts({ folder }) {
  const brought = ['', 'aws-lc', 'opus']
    .map((inside) => join(folder, inside))
    .filter((inside) => existsSync(inside))
  return brought.flatMap((inside) =>
    readdirSync(inside, { withFileTypes: true })
      .filter((entry) => entry.isFile() && LICENCE_FILE.test(entry.name))
      .map(({ name }) => readFileSync(join(inside, name), 'utf8')),
  )
}
