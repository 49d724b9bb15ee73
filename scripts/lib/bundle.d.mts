export const bundledPackages: readonly string[]
