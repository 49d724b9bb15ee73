'use strict'
require('./smoke.cjs')(require('node-datatrack'), 'require').catch((error) => {
  console.error(error)
  process.exitCode = 1
})
