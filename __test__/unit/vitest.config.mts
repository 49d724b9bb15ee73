import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

/** `npm run test:unit`: TypeScript over the built addon and the loopback. No network, less than a minute. */
export default defineConfig({
  test: {
    include: ['__test__/unit/**/*.test.ts'],
    // A process per file: the addon's state, and a crash of it, stay within the file.
    pool: 'forks',
    // Many tests wait: for timers, and for the threads of the addon.
    maxWorkers: Math.max(4, availableParallelism()),
    execArgv: ['--expose-gc'],
    // The longest tests compute for some two seconds. A busy machine may take many times as long.
    testTimeout: 60_000,
    // `it.only` left behind would hide the rest.
    allowOnly: false,
  },
})
