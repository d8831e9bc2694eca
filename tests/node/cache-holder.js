// Takes a lock of the cache, as a process or a thread: node cache-holder.js PATH NAME MODE [TIMES]
import { parentPort } from 'node:worker_threads';
import { openStore } from '../../web/cache/store.js';

const [path, name, mode, times] = process.argv.slice(2);
const store = await openStore({ kind: 'directory', path });
const port = parentPort ?? process;

switch (mode) {
  case 'hold':
    await store.lock(
      name,
      {},
      () =>
        new Promise((resolve) => {
          port.once('message', resolve);
          if (parentPort) parentPort.postMessage('held');
          else process.send('held');
        }),
    );
    if (!parentPort) process.disconnect();
    break;
  case 'count': // adds to a number that only a lock keeps right
    for (let i = 0; i < Number(times); i++)
      await store.lock(name, {}, async () => {
        const count = Number((await store.readText('count.txt')) ?? 0);
        await store.writeText('count.txt', String(count + 1));
      });
    process.disconnect();
    break;
  case 'die':
    await store.lock(name, {}, async () => process.kill(process.pid, 'SIGKILL'));
    break;
  case 'nothing':
    process.disconnect();
    break;
}
