/** Owns what a thread says of its own heap. */
import v8 from 'node:v8';
import vm from 'node:vm';

export interface HeapFigures {
  /** Bytes in use after a garbage collection. */
  readonly used: number;
  /** Bytes that the heap holds of the system after it. */
  readonly committed: number;
}

v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc') as () => void;

/** Collects garbage twice (weak references go with the second), then reads. */
export function heapAfterCollection(): HeapFigures {
  collect();
  collect();
  const { used_heap_size: used, total_physical_size: committed } = v8.getHeapStatistics();
  return { used, committed };
}
