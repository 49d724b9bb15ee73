/** Small addons in Rust, which tests compile. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Compiles `__test__/helpers/<name>.rs` to an addon, and returns the addon's path. */
export function rustAddon(name: string): string {
  const file = join(mkdtempSync(join(tmpdir(), 'datatrack-addon-')), `${name}.node`)
  const undefinedSymbols =
    process.platform === 'darwin' ? ['-Clink-arg=-undefined', '-Clink-arg=dynamic_lookup'] : []
  const source = `__test__/helpers/${name}.rs`
  execFileSync('rustc', ['--edition=2024', '--crate-type=cdylib', ...undefinedSymbols, '-o', file, source])
  return file
}
