# Writes the samples of Python's `logging`; README.md beside it says how to run it.
import json, logging, sys
FORMATS = {
    'python-dash.log': dict(format='%(asctime)s - %(name)s - %(levelname)s - %(message)s'),
    'python-seconds.log': dict(format='%(asctime)s - %(name)s - %(levelname)s - %(message)s', datefmt='%Y-%m-%d %H:%M:%S'),
    'python-default.log': dict(),
    'python-brackets.log': dict(format='%(asctime)s [%(levelname)s] %(name)s: %(message)s'),
}
for file, settings in FORMATS.items():
    logging.basicConfig(filename=file, filemode='w', level=logging.DEBUG, force=True, **settings)
    log = logging.getLogger('personal_assistant.core')
    log.debug('starting %s', 'up')
    log.info('message')
    log.warning('a - b: c')
    log.error('gr\u00fcn "quoted"')
    log.critical('dead')
