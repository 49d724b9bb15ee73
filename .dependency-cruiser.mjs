// The layers of src/, which `npm run lint` enforces. ARCHITECTURE.md's map lists the same folders; a test compares the two.

/** From the lowest floor to the highest. A folder imports those on lower floors only, and never one on its own floor. */
export const floors = [
  ['base'],
  ['native'],
  ['e2ee'],
  ['data-track', 'media'],
  ['signal'],
  ['data-packet', 'session'],
  ['data-stream'],
  ['rpc', 'connection'],
  ['room'],
  ['check', 'loopback', 'rtc-node'],
  ['cli'],
]

const folder = (name) => `^src/${name}/`

/** One rule for each folder: what stands above it or beside it is out of its reach. */
const layers = floors.flatMap((names, floor) =>
  names.map((name) => ({
    name: `layer-${name}`,
    comment: `src/${name} may import lower floors only`,
    severity: 'error',
    from: { path: folder(name) },
    to: {
      path: floors
        .slice(floor)
        .flat()
        .filter((other) => other !== name)
        .map(folder)
        .concat('^index\\.ts$'),
    },
  })),
)

export default {
  forbidden: [
    { name: 'no-circle', severity: 'error', from: {}, to: { circular: true } },
    ...layers,
    {
      name: 'no-unknown-folder',
      comment:
        'A new folder of src/ needs a floor in the list above, and a line in the map of ARCHITECTURE.md',
      severity: 'error',
      from: { path: '^src/', pathNot: floors.flat().map(folder) },
      to: {},
    },
    {
      name: 'signal-has-no-socket',
      comment: 'src/signal has the shapes of the protocol; sockets belong to src/connection',
      severity: 'error',
      from: { path: folder('signal') },
      to: { path: ['^(node:)?(net|tls|dgram|http|https|http2|dns)$', '(^|/)node_modules/ws/', '^ws$'] },
    },
    {
      name: 'addon-behind-native',
      comment: 'src/native alone loads the addon; others ask environment() for it',
      severity: 'error',
      from: { pathNot: folder('native') },
      to: { path: ['@node-datatrack/native', '\\.node$'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // Types count, too: a circle of types is a circle for a reader.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.mjs', '.json', '.node'] },
  },
}
