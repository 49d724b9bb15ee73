#!/usr/bin/env node
/**
 * The command `datatrack`. Exit codes: 0 success, 1 an error, 2 a wrong command line or setting, 3 has a meaning of its
 * own in each command.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { endWithReader } from './output'
import { run } from './program'

/** Reads the version from package.json, which is three folders above the compiled file in each installation. */
function packageVersion(): string {
  const text = readFileSync(join(__dirname, '../../../package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

endWithReader()
void run(process.argv, packageVersion())
