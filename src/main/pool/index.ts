export { leastLoaded, rendezvous } from './placement.ts';
export { Pool } from './pool.ts';
export { Slot, type SlotEnd, type SlotEvents } from './slot.ts';
