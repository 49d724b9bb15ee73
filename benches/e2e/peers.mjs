// The measured peers: how each is started as a participant, and how it is installed.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fromRoot, run, say, StepError } from '../../scripts/lib/steps.mjs'

const PYTHON_LIVEKIT = '1.2.1'
/** As in __test__/helpers/python.ts: the same environment serves both. */
const environment = fromRoot('.cache', `python-livekit-${PYTHON_LIVEKIT}`)
const python = `${environment}/bin/python`
const chromium = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium'
const agent = (file) => fromRoot('benches/e2e/agents', file)
const manifest = (path) => JSON.parse(readFileSync(fromRoot(path, 'package.json'), 'utf8'))
const here = 'benches/e2e/node_modules'

export const peers = {
  ours: {
    title: () => `node-datatrack ${manifest('.').version}`,
    command: [process.execPath, agent('ours.mjs')],
    sizes: Infinity,
  },
  python: {
    title: () => `Python livekit ${PYTHON_LIVEKIT}`,
    command: [python, agent('python.py')],
    install: installPython,
    sizes: Infinity,
  },
  chromium: {
    title: () => `livekit-client ${manifest('node_modules/livekit-client').version} in Chromium`,
    command: [process.execPath, agent('chromium.mjs')],
    install: installChromium,
    /** The started process only passes commands on. The library runs in its children. */
    inChildren: true,
    sizes: Infinity,
  },
  'rtc-node': {
    title: () => `rtc-node ${manifest(`${here}/@livekit/rtc-node`).version}`,
    command: [process.execPath, agent('rtc-node.mjs')],
    install: installPackages,
    /** Data packets are not split. A larger one ends the server's reader. */
    sizes: 60_000,
  },
}

async function installPackages() {
  const wanted = readFileSync(fromRoot('benches/e2e/package-lock.json'), 'utf8')
  const stamp = fromRoot(here, '.installed')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  say('Installing the peers that npm has …')
  await run('npm', ['ci', '--ignore-scripts', '--no-fund', '--no-audit'], { cwd: fromRoot('benches/e2e') })
  writeFileSync(stamp, wanted)
}

async function installChromium() {
  if (!existsSync(chromium))
    throw new StepError(`there is no ${chromium}: install Chromium, or set CHROMIUM_BIN`)
  await installPackages()
}

async function installPython() {
  if (existsSync(`${environment}/complete`)) return
  say(`Installing the Python package livekit ${PYTHON_LIVEKIT} into ${environment} …`)
  await run('python3', ['-m', 'venv', '--clear', environment])
  await run(python, [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    '--require-hashes',
    '--requirement',
    fromRoot(`__test__/requirements/livekit-${PYTHON_LIVEKIT}.txt`),
  ])
  writeFileSync(`${environment}/complete`, '')
}

/** The places that `rows/install.mjs` measures. */
export const places = { environment, python, packages: fromRoot(here) }
