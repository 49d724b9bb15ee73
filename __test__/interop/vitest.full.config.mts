import { defineConfig } from 'vitest/config'

/** `npm run interop:full`: the whole matrix of SDKs, directions and sizes; about half an hour. */
export default defineConfig({
  test: {
    include: ['__test__/interop/*.full.ts'],
    globalSetup: ['__test__/interop/setup.ts'],
    pool: 'forks',
    fileParallelism: false,
    // Its lines come as the runs end.
    disableConsoleIntercept: true,
    testTimeout: 900_000,
    hookTimeout: 30_000,
    allowOnly: false,
  },
})
