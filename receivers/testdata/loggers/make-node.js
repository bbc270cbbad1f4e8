// Writes the samples of pino and winston; README.md beside it says how to run it.
const fs = require('fs');
const pino = require('pino');
const out = fs.openSync('pino.log', 'w');
const log = pino({ name: 'shop', level: 'trace' }, pino.destination({ fd: out, sync: true }));
log.trace('trace me');
log.debug({ took: 12.5 }, 'debugging');
log.info({ user: { id: 'u1', tags: ['a', 'b'] }, trace_id: '0af7651916cd43dd8448eb211c80319c', span_id: 'b7ad6b7169203331' }, 'order "placed"');
log.warn('grün');
log.error(new Error('boom'), 'failed');
log.child({ module: 'pay' }).fatal({ big: 9007199254740993n.toString() }, 'dead');
const winston = require('winston');
const logger = winston.createLogger({
  level: 'silly',
  format: winston.format.combine(winston.format.timestamp(), winston.format.errors({ stack: true }), winston.format.json()),
  transports: [new winston.transports.File({ filename: 'winston.log' })],
});
logger.error(new Error('boom'));
logger.warn('slow', { took: 1200, nested: { a: [1, null, true] } });
logger.info('order placed', { order: 4711, service: 'shop' });
logger.http('GET /');
logger.verbose('v');
logger.debug('d');
logger.silly('s');
