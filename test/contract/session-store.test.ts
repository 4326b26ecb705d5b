import { join } from 'node:path';
import { MemorySessionStore } from '../../src/worker/sessions/memory.ts';
import { SqliteSessionStore } from '../../src/worker/sessions/sqlite.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { type StoreTestOptions, type StoreUnderTest, sessionStoreContract } from './session-store-contract.ts';

sessionStoreContract('in memory', (o) => {
  const store = new MemorySessionStore(o);
  return { store, [Symbol.dispose]: () => store.close() };
});

function sqlite(rest: { readonly cacheBytes?: number; readonly synchronous?: 'full' }) {
  return (o: StoreTestOptions = {}): StoreUnderTest => {
    const dir = temporaryDirectory();
    const store = new SqliteSessionStore({ file: join(dir.path, 'sessions.db'), ...o, ...rest });
    return {
      store,
      [Symbol.dispose]: () => {
        store.close();
        dir[Symbol.dispose]();
      },
    };
  };
}

sessionStoreContract('in SQLite', sqlite({}));
sessionStoreContract('in SQLite without a cache', sqlite({ cacheBytes: 0 }));
sessionStoreContract(
  'in SQLite with a cache for one message or two',
  sqlite({ cacheBytes: 8_000, synchronous: 'full' }),
);
