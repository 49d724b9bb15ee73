'use strict'
// The examples of the documentation: the blocks that begin with "```js runnable".
const { readdirSync, readFileSync } = require('node:fs')
const { join } = require('node:path')

const root = join(__dirname, '../..')

/** All examples of the README and of the other pages. */
function allExamples() {
  const pages = [
    ...readdirSync(root).filter((file) => file.endsWith('.md')),
    ...readdirSync(join(root, 'docs')).map((file) => join('docs', file)),
  ]
  return pages.sort().flatMap(examplesOf)
}

/** The examples of a page, in their order. */
function examplesOf(page) {
  const text = readFileSync(join(root, page), 'utf8')
  return [...text.matchAll(/^```js runnable\n([\s\S]*?)^```$/gm)].map(([, example = ''], index) => ({
    name: `${page}, example ${index + 1}`,
    text: example,
    promised: [...example.matchAll(/console\.log\(.*\) \/\/ (.+)$/gm)].flatMap(([, comment = '']) =>
      // "true: why", "{ row: 1 }, then { row: 2 }"
      comment.replace(/^(true|false): .*/, '$1').split(', then '),
    ),
  }))
}

module.exports = { allExamples, examplesOf }
