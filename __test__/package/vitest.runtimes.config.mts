import { defineConfig } from 'vitest/config'

/** `npm run test:runtimes`: the installed package in other Nodes, Bun and Deno, which npm has for linux-x64-gnu. */
export default defineConfig({
  test: {
    include: ['__test__/package/runtimes.test.ts'],
    pool: 'forks',
    testTimeout: 120_000,
    hookTimeout: 600_000,
    allowOnly: false,
  },
})
