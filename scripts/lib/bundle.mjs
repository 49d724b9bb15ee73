// Makes dist/ of the sources: one file for what every program needs, and files for what is loaded on first use.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fromRoot, StepError } from './steps.mjs'

/** The npm packages that dist/ contains. package.json has them as development dependencies. */
export const bundledPackages = [
  '@bufbuild/protobuf',
  '@livekit/protocol',
  'commander',
  'hpagent',
  'proxy-from-env',
  'ws',
]

/** The packages of `src/base/lazy.ts` that have files of their own. The sources name the packages, dist/ the files. */
const lazy = {
  '@bufbuild/protobuf': './protocol.js',
  '@livekit/protocol': './protocol.js',
  ws: './websocket.js',
  hpagent: './proxy-agents.js',
  commander: './commander.js',
}

/** What is bundled together: inputs by the names of their files, and what is in other files. */
const bundles = [
  // `library.js` has what several of them use, and `rolldown-runtime.js` a few functions that the bundler needs.
  {
    input: { index: 'index.ts', 'rtc-node': 'src/rtc-node/index.ts', cli: 'src/cli/program.ts' },
    elsewhere: lazy,
    shared: 'library',
  },
  { input: { main: 'src/cli/main.ts' }, elsewhere: { './program': './cli.js' } },
  { input: { protocol: 'src/base/protocol.ts' } },
  { input: { websocket: 'scripts/lib/bundled/websocket.cjs' } },
  { input: { 'proxy-agents': 'hpagent' } },
  { input: { commander: 'commander' } },
]

/** What programs import, by the names of the files: the sources with the public names. */
const entries = { index: 'index', 'rtc-node': 'src/rtc-node/index' }

/** The files of dist/. */
const files = [
  ...bundles.flatMap(({ input }) => Object.keys(input).map((name) => `${name}.js`)),
  'library.js',
  'rolldown-runtime.js',
]

/**
 * Writes dist/, without declarations. `maps`: with source maps, for developers. Users get none: the names in the files
 * are those of the sources, and a comment with its path precedes each source.
 */
export async function bundle({ maps }) {
  const { rolldown } = await import('rolldown')
  const contained = new Set()
  for (const { input, elsewhere = {}, shared } of bundles) {
    const made = await rolldown({
      cwd: fromRoot(),
      input,
      platform: 'node',
      tsconfig: 'tsconfig.json',
      external: (id) => id.startsWith('node:') || id.startsWith('@node-datatrack/'),
      transform: {
        // ws uses these packages if they are installed. Signalling is too slow to need them, and bundlers miss them.
        define: { 'process.env.WS_NO_BUFFER_UTIL': '"1"', 'process.env.WS_NO_UTF_8_VALIDATE': '"1"' },
      },
      plugins: [otherFiles(elsewhere)],
      onLog(level, { message }) {
        throw new StepError(`rolldown, ${level}: ${message}`)
      },
    })
    const { output } = await made.write({
      dir: fromRoot('dist'),
      format: 'cjs',
      exports: 'named',
      esModule: true,
      strict: true,
      generatedCode: { symbols: false },
      entryFileNames: '[name].js',
      chunkFileNames: '[name].js',
      ...(shared && { codeSplitting: { groups: [{ name: shared, minShareCount: 2 }] } }),
      sourcemap: maps,
      comments: false,
    })
    await made.close()
    for (const id of output.flatMap(({ moduleIds = [] }) => moduleIds)) {
      const [, name] = /node_modules[\\/]((?:@[^\\/]+[\\/])?[^\\/]+)[\\/]/.exec(id) ?? []
      if (name !== undefined) contained.add(name.replace('\\', '/'))
    }
  }
  const [is, wanted] = [[...contained].sort().join(', '), bundledPackages.join(', ')]
  if (is !== wanted) throw new StepError(`dist/ contains ${is}, but scripts/lib/bundle.mjs lists ${wanted}`)
  for (const file of files) writeInAscii(fromRoot('dist', file))
  for (const name of Object.keys(entries)) writeEsm(name)
}

/**
 * Writes the characters beyond ASCII as escapes. V8 keeps the source of a module, and with one character beyond Latin-1
 * in it, each character takes two bytes. These characters are in strings only, because comments are left out.
 */
function writeInAscii(file) {
  const text = readFileSync(file, 'utf8')
  const escaped = text.replaceAll(
    /[\u0080-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  if (escaped !== text) writeFileSync(file, escaped)
}

/** Removes from dist/ what is not written any more. */
export function removeOthers(maps) {
  const kept = files.flatMap((file) => (maps ? [file, `${file}.map`] : [file]))
  const all = [
    ...kept,
    ...Object.keys(entries).flatMap((name) => [`${name}.mjs`, `${name}.d.ts`, `${name}.d.mts`]),
  ]
  for (const name of readdirSync(fromRoot('dist'))) {
    if (!all.includes(name)) rmSync(fromRoot('dist', name), { recursive: true })
  }
}

/** Leaves `require(name)` in the file, with the path of another file of dist/. */
function otherFiles(paths) {
  return {
    name: 'other-files',
    resolveId: (id) => (Object.hasOwn(paths, id) ? { id: paths[id], external: true } : undefined),
  }
}

/**
 * `dist/<entry>.mjs`: the same objects under the same names, so that `import` and `require` share one instance of the
 * package, with its classes and its native addon.
 */
function writeEsm(entry) {
  const require = createRequire(import.meta.url)
  const names = Object.keys(require(fromRoot(`dist/${entry}.js`))).filter((name) => name !== '__esModule')
  const lines = [
    `import cjs from './${entry}.js'`,
    '// Named one by one: no runtime has to guess what a CommonJS module exports.',
    ...names.map((name) => `export const ${name} = cjs.${name}`),
  ]
  writeFileSync(fromRoot(`dist/${entry}.mjs`), `${lines.join('\n')}\n`)
}

/** The web streams of Node's types that are global, too: with `lib: dom`, the globals are the DOM's. */
const globalTypes = [
  'ReadableStream',
  'ReadableStreamBYOBReader',
  'ReadableStreamDefaultReader',
  'WritableStream',
]

/**
 * `dist/<entry>.d.ts`: the public declarations, and those that they need. They name no package but Node's. Web streams
 * are the global ones: with `lib: dom`, TypeScript does not take a stream of `node:stream/web` for a global one.
 */
export async function bundleDeclarations() {
  for (const [entry, source] of Object.entries(entries)) await bundleDeclarationsOf(entry, source)
}

async function bundleDeclarationsOf(entry, source) {
  const { rollup } = await import('rollup')
  const { dts } = await import('rollup-plugin-dts')
  const made = await rollup({
    input: compiled(`${source}.d.ts`),
    plugins: [dts(), { name: 'global-streams', renderChunk: withGlobalStreams }],
    external: /^node:/,
    onwarn(warning) {
      throw new StepError(`dist/${entry}.d.ts: ${warning.message}`)
    },
  })
  await made.write({ file: fromRoot(`dist/${entry}.d.ts`), format: 'es' })
  await made.close()
  writeFileSync(fromRoot(`dist/${entry}.d.mts`), `export * from './${entry}.js'\n`)
}

function withGlobalStreams(text) {
  return text.replace(/^import (?:type )?\{ (.*) \} from 'node:stream\/web';$/m, (_, list) => {
    const others = list.split(', ').filter((name) => !globalTypes.includes(name))
    if (others.length > 0) throw new StepError(`${others.join()} of node:stream/web is not global`)
    return ''
  })
}

/** The sources, compiled one by one: for benches and fuzzers, which use what is not public. */
export const compiled = (file) => fromRoot('.cache/compiled', file)
