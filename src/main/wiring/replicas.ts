/** Owns which replicas there are, of which agent, and on which slot each lives. It starts, stops and decides nothing. */
import type { RuntimeId } from '../../protocol/index.ts';
import type { ResolvedAgent } from '../config/types.ts';
import type { Slot } from '../pool/index.ts';
import type { RestartTracker } from '../supervision/index.ts';
import type { Replica } from './replica.ts';

export class Replicas {
  readonly #byRuntime = new Map<RuntimeId, Replica>();
  readonly #byNumber = new Map<number, Replica>();
  readonly #bySlot = new Map<Slot, Replica[]>();
  readonly #byAgent = new Map<string, Replica[]>();
  #numbers = 0;

  get all(): Iterable<Replica> {
    return this.#byRuntime.values();
  }

  /** The agents' names. */
  get names(): ReadonlySet<string> {
    return new Set(this.#byAgent.keys());
  }

  add(agent: ResolvedAgent, runtime: RuntimeId, slot: Slot, tracker: RestartTracker): Replica {
    this.#numbers += 1;
    const replica: Replica = {
      agent,
      runtime,
      owner: runtime,
      number: this.#numbers,
      slot,
      tracker,
      state: { status: 'starting' },
      timer: undefined,
      starting: undefined,
      leaving: undefined,
      retiring: new Map(),
      poisons: 0,
      survivedThen: 0,
    };
    slot.runtimes.add(runtime);
    this.#byRuntime.set(runtime, replica);
    this.#byNumber.set(replica.number, replica);
    push(this.#bySlot, slot, replica);
    push(this.#byAgent, agent.name, replica);
    return replica;
  }

  /** It lives on another slot from now on. */
  move(replica: Replica, slot: Slot): void {
    this.#leave(replica);
    replica.slot = slot;
    slot.runtimes.add(replica.runtime);
    push(this.#bySlot, slot, replica);
  }

  remove(replica: Replica): void {
    const { agent, runtime, number } = replica;
    this.#leave(replica);
    this.#byRuntime.delete(runtime);
    this.#byNumber.delete(number);
    pull(this.#byAgent, agent.name, replica);
  }

  find(runtime: RuntimeId): Replica | undefined {
    return this.#byRuntime.get(runtime);
  }

  numbered(number: number | undefined): Replica | undefined {
    return number === undefined ? undefined : this.#byNumber.get(number);
  }

  on(slot: Slot): readonly Replica[] {
    return this.#bySlot.get(slot) ?? [];
  }

  of(agent: string): readonly Replica[] {
    return this.#byAgent.get(agent) ?? [];
  }

  #leave(replica: Replica): void {
    const { slot, runtime } = replica;
    slot.runtimes.delete(runtime);
    pull(this.#bySlot, slot, replica);
  }
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  map.set(key, [...(map.get(key) ?? []), value]);
}

function pull<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const left = (map.get(key) ?? []).filter((other) => other !== value);
  if (left.length > 0) map.set(key, left);
  else map.delete(key);
}
