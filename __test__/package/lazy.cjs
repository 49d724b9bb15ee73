'use strict'
// Imports the package in both ways and prints what came with it.
const required = require('node-datatrack')

import('node-datatrack').then((imported) => {
  const names = Object.keys(imported)
  const binaries = process.report.getReport().sharedObjects.filter((file) => file.endsWith('.node'))
  const packages = Object.keys(require.cache)
    .map((file) => file.split('\\').join('/').split('/node_modules/').slice(1).pop())
    .filter((file) => file !== undefined)
    .map((file) =>
      file
        .split('/')
        .slice(0, file.startsWith('@') ? 2 : 1)
        .join('/'),
    )
  const same = names.every((name) => imported[name] === required[name])
  console.log(JSON.stringify({ names, required: Object.keys(required), same, binaries, packages }))
})
