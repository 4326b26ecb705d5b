/** Owns hierarchical session keys: how they are built, compared, written and read. It knows nothing of sessions. */
import { OrreryError } from './errors.ts';

const SEPARATOR = ':';

/**
 * Names a session by a path of segments, outermost first: `discord:guild-1:room-2:user-3`.
 *
 * Always immutable. `Namespace.parse(n.key)` always equals `n`: a `:` inside a segment is written `%3A`, and a `%` is
 * written `%25`. A segment is never empty (`ORRERY_BAD_NAMESPACE`).
 */
export class Namespace {
  readonly segments: readonly string[];
  /** The written form: the escaped segments joined with `:`. */
  readonly key: string;

  constructor(root: string, ...rest: readonly string[]) {
    const segments = [root, ...rest];
    if (segments.some((s) => typeof s !== 'string' || s === '')) {
      throw new OrreryError(
        'ORRERY_BAD_NAMESPACE',
        `Expected segments that are not empty, got ${JSON.stringify(segments)}`,
      );
    }
    this.segments = segments;
    this.key = segments.map(escape).join(SEPARATOR);
  }

  /** Reads the written form. Throws `ORRERY_BAD_NAMESPACE` for anything else. */
  static parse(key: string): Namespace {
    if (typeof key !== 'string' || key === '') {
      throw new OrreryError(
        'ORRERY_BAD_NAMESPACE',
        `Expected a namespace such as "web:alice", got ${JSON.stringify(key)}`,
      );
    }
    const [root = '', ...rest] = key.split(SEPARATOR).map(unescape);
    return new Namespace(root, ...rest);
  }

  /** Tells whether `parse` would read a key, without reading it. */
  static isKey(key: string): boolean {
    return key !== '' && !key.startsWith(SEPARATOR) && !key.endsWith(SEPARATOR) && !key.includes('::');
  }

  /** Returns this namespace with one more segment. */
  child(segment: string): Namespace {
    return new Namespace(this.root, ...this.segments.slice(1), segment);
  }

  /** The namespace that holds this one; undefined for a root. */
  get parent(): Namespace | undefined {
    if (this.depth === 1) return undefined;
    return new Namespace(this.root, ...this.segments.slice(1, -1));
  }

  /** The first segment. */
  get root(): string {
    return this.segments[0] ?? '';
  }

  /** The number of segments; at least 1. */
  get depth(): number {
    return this.segments.length;
  }

  /** Tells whether `other` lies below this namespace; never true for itself. Whole segments are compared. */
  isAncestorOf(other: Namespace): boolean {
    return this.depth < other.depth && this.segments.every((s, i) => s === other.segments[i]);
  }

  /** Tells whether this namespace lies below `other`; never true for itself. */
  isDescendantOf(other: Namespace): boolean {
    return other.isAncestorOf(this);
  }

  equals(other: Namespace): boolean {
    return this.key === other.key;
  }

  toString(): string {
    return this.key;
  }

  toJSON(): string {
    return this.key;
  }
}

function escape(segment: string): string {
  return segment.replaceAll('%', '%25').replaceAll(SEPARATOR, '%3A');
}

/** Only the two escapes that {@link escape} writes are read back; any other `%` stands for itself. */
function unescape(text: string): string {
  return text.replace(/%(25|3A|3a)/g, (_, hex: string) => (hex === '25' ? '%' : SEPARATOR));
}
