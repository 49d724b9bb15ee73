/** Code blocks of the documentation. A block that begins with three backticks, a language and a name has that name. */
import { readFileSync } from 'node:fs'

/** The code blocks of a page, in their order. `name`: `undefined` for a block without one. */
export function blocksOf(page: string): { language: string; name: string | undefined; text: string }[] {
  return [...readFileSync(page, 'utf8').matchAll(/^```(\w+)(?: (\S+))?\n([\s\S]*?)^```$/gm)].map(
    ([, language = '', name, text = '']) => ({ language, name, text }),
  )
}

/** The block of that name. */
export function block(page: string, name: string): string {
  const found = blocksOf(page).find((each) => each.name === name)
  if (found === undefined) throw new Error(`${page} has no block "${name}"`)
  return found.text
}
