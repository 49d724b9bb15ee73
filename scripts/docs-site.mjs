// `npm run docs:site`: writes the documentation as a site, to site/. It fails on any warning and on any dead link.
import { ensureInstalled } from './lib/build.mjs'
import { main } from './lib/steps.mjs'

await main(async () => {
  await ensureInstalled()
  const { buildSite } = await import('./lib/site.mjs')
  await buildSite()
})
