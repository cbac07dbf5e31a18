// Servers that listen on every address of the machine are kept on 127.0.0.1: node -r loopback.cjs SERVER
const net = require('net')

const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (...given) {
  const [first, second] = given
  if (first !== null && typeof first === 'object' && first.port !== undefined) {
    given[0] = { ...first, host: '127.0.0.1' }
  } else if (/^\d+$/.test(first)) {
    given.splice(1, typeof second === 'string' ? 1 : 0, '127.0.0.1')
  }
  return listen.apply(this, given)
}
