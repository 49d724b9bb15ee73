import { defineConfig } from 'vitest/config'

/** `npm run test:network`: through a bad network between two namespaces. Needs Linux, root and iproute2. */
export default defineConfig({
  test: {
    include: ['__test__/network/**/*.test.ts'],
    globalSetup: ['__test__/network/setup.ts'],
    pool: 'forks',
    // A server and a link per file: two of them at once would slow each other.
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 30_000,
    allowOnly: false,
  },
})
