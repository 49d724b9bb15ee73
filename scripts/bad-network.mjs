// Builds the bad network of the tests, or says what the machine lacks for it.
import { buildBadNetwork, lacksNetworks } from './lib/build-bad-network.mjs'
import { main, StepError } from './lib/steps.mjs'

await main(async () => {
  const lacking = lacksNetworks()
  if (lacking !== undefined) throw new StepError(`this machine lacks ${lacking}`)
  await buildBadNetwork()
})
