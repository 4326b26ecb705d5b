/** The shop behind the agent: its orders, and refunds that are paid once, however often they are asked for. */

export interface Order {
  readonly id: string;
  readonly item: string;
  readonly price: number;
  readonly status: 'sent' | 'delivered' | 'lost';
}

export interface Refund {
  readonly order: string;
  readonly amount: number;
}

export const ORDERS: ReadonlyMap<string, Order> = new Map(
  (
    [
      { id: 'A-17', item: 'a telescope', price: 240, status: 'lost' },
      { id: 'B-42', item: 'a star chart', price: 18, status: 'delivered' },
    ] as const
  ).map((order) => [order.id, order]),
);

/** A real shop keeps these in its database, the key as the primary key. */
const refunds = new Map<string, Refund>();

/**
 * Pays a refund back. A turn that is tried again calls its tools again, with the same key: then nothing is paid a second
 * time, and the first refund is told again. What came under the key before is compared, since a model may ask otherwise.
 */
export function refund(key: string, order: Order): Refund {
  const before = refunds.get(key);
  if (before) {
    if (before.order !== order.id) throw new Error(`Under ${key} another order was paid back`);
    return before;
  }
  const paid = { order: order.id, amount: order.price };
  refunds.set(key, paid);
  return paid;
}
