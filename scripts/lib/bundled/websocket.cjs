// What dist/websocket.js has of ws. The package's own entry has its server, too.
exports.WebSocket = require('../../../node_modules/ws/lib/websocket.js')
