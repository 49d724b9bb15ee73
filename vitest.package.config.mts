import { defineConfig } from 'vitest/config'

/** `npm run test:package`: what users install, in every runtime that npm has. Needs `npm run build:dev` and the registry. */
export default defineConfig({
  test: {
    include: ['__test__/package/**/*.test.ts'],
    pool: 'forks',
    // One installs what the others run.
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 300_000,
    allowOnly: false,
  },
})
