#!/usr/bin/env node
/**
 * The command `datatrack`. Exit codes: 0 success, 1 an error, 2 a wrong command line or setting, 3 has a meaning of its
 * own in each command.
 */
import module = require('node:module')

// V8 keeps what it has compiled, from Node 22.1 on. It does so for files that are loaded after this call, so all the
// rest is in another file. A library must not do that for the program that uses it.
;(module as { enableCompileCache?: () => unknown }).enableCompileCache?.()

import program = require('./program')

void program.main(process.argv)
