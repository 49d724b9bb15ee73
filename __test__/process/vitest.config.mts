import { defineConfig } from 'vitest/config'

/** `npm run test:process`: programs that use the built package, each in a process of its own. */
export default defineConfig({
  test: {
    include: ['__test__/process/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 20_000,
    allowOnly: false,
  },
})
