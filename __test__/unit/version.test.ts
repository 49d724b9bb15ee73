import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { version } from '../../src/base/version'

test('package.json, Cargo.toml and the source have the same version', () => {
  const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  const [, crates] =
    /\[workspace\.package\][^[]*?\nversion = "([^"]+)"/.exec(readFileSync('Cargo.toml', 'utf8')) ?? []
  expect([version, crates]).toEqual([manifest.version, manifest.version])
})
