// The documentation as a site: typedoc reads the doc comments of what index.ts exports, and README.md, docs/ and the
// other pages beside them.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { Application, Converter, LiteralType, ReflectionKind, UnionType } from 'typedoc'
import ts from 'typescript'
import { fromRoot, say, seconds, StepError } from './steps.mjs'

/** Where the site is written to. */
const SITE = fromRoot('site')

/** In the order of the navigation: what users read first, the other pages, what contributors read. */
const FIRST = ['getting-started', 'recipes', 'api', 'data-streams', 'rpc', 'e2ee', 'errors', 'cli']
const LAST = ['CHANGELOG.md', 'SECURITY.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md']

function pages() {
  const first = FIRST.map((name) => `docs/${name}.md`)
  const others = readdirSync(fromRoot('docs')).map((file) => `docs/${file}`)
  return [...new Set([...first, ...others.sort(), ...LAST])]
}

const options = () => ({
  name: 'node-datatrack',
  includeVersion: true,
  entryPoints: [fromRoot('index.ts')],
  alwaysCreateEntryPointModule: false,
  tsconfig: fromRoot('tsconfig.build.json'),
  readme: fromRoot('README.md'),
  projectDocuments: pages().map((page) => fromRoot(page)),
  // `npm run typecheck` has checked the sources.
  skipErrorChecking: true,
  treatWarningsAsErrors: true,
  // A name that says all needs no comment, so a missing one is no fault.
  validation: {
    notExported: true,
    invalidLink: true,
    invalidPath: true,
    rewrittenLink: true,
    notDocumented: false,
  },
  excludeInternal: true,
  excludeExternals: true,
  disableSources: true,
  groupOrder: ['Documents', 'Functions', 'Classes', '*'],
  navigation: { includeGroups: true },
  searchInComments: true,
  searchInDocuments: true,
  highlightLanguages: ['bash', 'dockerfile', 'ini', 'javascript', 'json', 'typescript', 'yaml'],
})

/** Writes the site, and throws a `StepError` if anything is wrong with it. */
export async function buildSite() {
  const start = performance.now()
  const app = await Application.bootstrap(options())
  app.converter.on(Converter.EVENT_CREATE_DECLARATION, listValues)
  app.converter.on(Converter.EVENT_CREATE_DOCUMENT, useTitle)
  const project = await app.convert()
  if (project === undefined) throw new StepError('typedoc could not read the sources')
  app.validate(project)
  await app.generateDocs(project, SITE)
  const files = htmlFiles()
  const dead = deadLinks(files)
  if (dead.length > 0) throw new StepError(`dead links:\n${dead.join('\n')}`)
  if (app.logger.hasErrors() || app.logger.hasWarnings()) throw new StepError('typedoc warned: see above')
  say(`Wrote ${files.length} pages in ${seconds(start)}: ${join(SITE, 'index.html')}`)
}

/** Shows the values of `(typeof names)[number]` themselves, because `names` is not public. */
function listValues(context, reflection) {
  if (reflection.kind !== ReflectionKind.TypeAlias) return
  const type = context.checker.getDeclaredTypeOfSymbol(context.getSymbolFromReflection(reflection))
  const types = type.isUnion() ? type.types : [type]
  const [literals, others] = [types.filter(isLiteral), types.filter((one) => !isLiteral(one))]
  if (!others.every(({ flags }) => flags & ts.TypeFlags.TemplateLiteral)) return
  const scope = context.withScope(reflection)
  const values = [
    ...literals.map(({ value }) => new LiteralType(value)),
    ...others.map((template) => context.converter.convertType(scope, template)),
  ]
  // After this event typedoc sets the type as it is written.
  context.converter.deferConversion(() => {
    reflection.type = new UnionType(values)
  })
}

const isLiteral = (type) => type.isStringLiteral()

/** A page is named by its heading, not by its file. */
function useTitle(_context, document) {
  const [, title] = /^# (.+)$/m.exec(document.content.map(({ text }) => text).join('')) ?? []
  document.name = title ?? document.name
}

function htmlFiles() {
  return readdirSync(SITE, { recursive: true })
    .filter((file) => file.endsWith('.html'))
    .map((file) => join(SITE, file))
}

/** The links and pictures in `files` that lead to no file of the site, or to no heading of it. */
function deadLinks(files) {
  const texts = new Map(files.map((file) => [file, readFileSync(file, 'utf8')]))
  const anchors = new Map()
  const anchorsOf = (file) => {
    if (!anchors.has(file)) anchors.set(file, new Set(attributes(texts.get(file) ?? '', 'id')))
    return anchors.get(file)
  }
  const isDead = (from, link) => {
    const [path, anchor = ''] = link.split('#').map(decodeURIComponent)
    const file = path === '' ? from : resolve(dirname(from), path)
    if (!existsSync(file) || !statSync(file).isFile()) return true
    return anchor !== '' && texts.has(file) && !anchorsOf(file).has(anchor)
  }
  return [...texts].flatMap(([file, text]) =>
    [...attributes(text, 'href'), ...attributes(text, 'src')]
      .filter((link) => link !== '' && !/^[a-z]+:/.test(link) && isDead(file, link))
      .map((link) => `${relative(SITE, file)}: ${link}`),
  )
}

const attributes = (html, name) =>
  [...html.matchAll(new RegExp(`<[^>]* ${name}="([^"]*)"`, 'g'))].map(([, value]) =>
    value.replaceAll('&amp;', '&'),
  )
