#!/usr/bin/env node
/** The command `datatrack`. Exit codes: 0 done, 1 failed, 2 wrong command line or setting, 3 see the command. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { endWithReader } from './output'
import { run } from './program'

/** From package.json, which stands above the compiled file wherever the package is installed. */
function packageVersion(): string {
  const text = readFileSync(join(__dirname, '../../../package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

endWithReader()
void run(process.argv, packageVersion())
