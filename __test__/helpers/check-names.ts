/** The names of the checks of a connection, in their order. */
export const checkNames = [
  'binary',
  'address',
  'http',
  'token',
  'signalling',
  'UDP',
  'TCP',
  'TURN/UDP',
  'TURN/TLS',
  'data',
] as const
