// The package `@node-datatrack/rtc-node`: the names of `node-datatrack/rtc-node` under a name that package managers can
// put in the place of `@livekit/rtc-node`. They replace packages, and not the entries of packages.

const reexport = "export * from 'node-datatrack/rtc-node'\n"

/** Its files besides package.json. */
export const aliasFiles = {
  // This form is what Node.js and bundlers recognise, to find the names of a CommonJS module.
  'index.js': "'use strict'\nmodule.exports = require('node-datatrack/rtc-node')\n",
  'index.mjs': reexport,
  'index.d.ts': reexport,
  'index.d.mts': reexport,
  'README.md': `# @node-datatrack/rtc-node

The names of [node-datatrack](https://www.npmjs.com/package/node-datatrack)'s entry \`node-datatrack/rtc-node\`, in a
package of their own, so that it can take the place of \`@livekit/rtc-node\`. The page docs/rtc-node.md of node-datatrack
says how.
`,
}

/** Its package.json. `manifest`: that of node-datatrack, whose version it has. */
export function aliasManifest({ version, license, engines, repository, keywords }) {
  return {
    name: '@node-datatrack/rtc-node',
    version,
    description: 'node-datatrack in place of @livekit/rtc-node: audio and data, without libwebrtc',
    license,
    keywords,
    type: 'commonjs',
    main: './index.js',
    module: './index.mjs',
    types: './index.d.ts',
    exports: {
      '.': {
        import: { types: './index.d.mts', default: './index.mjs' },
        require: { types: './index.d.ts', default: './index.js' },
      },
      './package.json': './package.json',
    },
    sideEffects: false,
    files: Object.keys(aliasFiles),
    engines,
    dependencies: { 'node-datatrack': version },
    ...(repository && { repository }),
  }
}
