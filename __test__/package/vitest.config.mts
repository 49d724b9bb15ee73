import { defineConfig } from 'vitest/config'

/** `npm run test:package`: what users install. Needs a build and, for dependencies, the registry. */
export default defineConfig({
  test: {
    include: ['__test__/package/package.test.ts'],
    pool: 'forks',
    testTimeout: 120_000,
    hookTimeout: 300_000,
    allowOnly: false,
  },
})
