/** Owns how a run gets between the product's parts without a line in them: a method of a class is put in other words. */

/** Replaces a method by `wrap`, which is given the call to make, with its own arguments or with others, and those. */
export function around(
  prototype: object,
  method: string,
  wrap: (call: (other?: readonly unknown[]) => unknown, args: readonly unknown[]) => unknown,
): void {
  const original: unknown = Reflect.get(prototype, method);
  if (typeof original !== 'function') throw new Error(`There is no method ${method}`);
  Reflect.set(prototype, method, function replaced(this: unknown, ...args: readonly unknown[]): unknown {
    return wrap((other = args) => Reflect.apply(original, this, other) as unknown, args);
  });
}
