import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

test('the code of dist/ is ASCII, so that V8 keeps one byte for each character of it', () => {
  const code = readdirSync('dist').filter((name) => /\.m?js$/.test(name))
  expect(code).toContain('library.js')
  expect(code.filter((name) => /[\u0080-\uffff]/.test(readFileSync(join('dist', name), 'utf8')))).toEqual([])
})

test("programs that do not use the command do not load the command's parser", () => {
  const parser = 'node_modules/commander/'
  const shared = ['index.js', 'library.js'].map((name) => readFileSync(join('dist', name), 'utf8'))
  expect(readFileSync('dist/commander.js', 'utf8')).toContain(parser)
  expect(shared.filter((text) => text.includes(parser))).toEqual([])
})
