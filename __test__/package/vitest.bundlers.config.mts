import { defineConfig } from 'vitest/config'

/**
 * `npm run test:bundlers`: the packed package in bundlers, single executables, test runners and package managers, also
 * in place of `@livekit/rtc-node`; its declarations in two versions of TypeScript; docs/getting-started.md
 * (linux-x64-gnu). DATATRACK_SLOW_BUNDLERS=1: in
 * Next.js, too.
 */
export default defineConfig({
  test: {
    include: ['__test__/package/{alias,bundlers,getting-started,types}.test.ts'],
    pool: 'forks',
    testTimeout: 120_000,
    hookTimeout: 600_000,
    allowOnly: false,
  },
})
