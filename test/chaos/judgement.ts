/** Owns the judgement of one session and of one message's model calls: pure functions of what was heard and read back. */
import type { HistoryLine, Outcome, Violation } from './ledger.ts';
import { type PlannedMessage, type PlannedSession, countedReply, readText, textOf } from './plan.ts';

/**
 * A message as its client knows it. It was accepted at one of its sends from `first` to `last`, counted over the whole run:
 * the two are one unless a send whose fate is unknown was followed by one that was refused.
 */
export interface HeardMessage {
  readonly message: PlannedMessage;
  readonly outcome: Outcome | undefined;
  readonly first: number;
  readonly last: number;
}

export interface CalledMessage {
  readonly message: PlannedMessage;
  /** Calls that the model answered in full. */
  readonly completed: number;
  readonly callsAfterAnswer: number;
  /** Faults while it was under way that may have made its turn run again. */
  readonly excuses: number;
}

/** Judges a session by what was heard of its messages, and what was read back of it where it is kept. */
export function judgeSession(
  session: PlannedSession,
  heard: readonly HeardMessage[],
  history: readonly HistoryLine[],
): readonly Violation[] {
  if (!session.kept) return heard.flatMap((one) => judgeReply(session, one, 1));
  const byId = new Map(heard.map((one) => [one.message.id, one]));
  const committed = commitsOf(history);
  return [
    ...judgeCommits(heard, byId, committed),
    ...judgeOrder(byId, committed),
    ...committed.flatMap(({ id }, i) => {
      const one = byId.get(id);
      return one && committed.findIndex((other) => other.id === id) === i ? judgeReply(session, one, i + 1) : [];
    }),
  ];
}

/** Judges the calls of one message: none after its answer, and no more than its faults account for. */
export function judgeCalls({ message, completed, callsAfterAnswer, excuses }: CalledMessage): readonly Violation[] {
  const { id } = message;
  const violations: Violation[] = [];
  if (callsAfterAnswer > 0) {
    violations.push({ kind: 'model-called-again', what: `the model was called for ${id} after its answer`, id });
  }
  if (completed > 1 + excuses) {
    const what = `the model answered ${completed} calls for ${id}, with ${excuses} faults in its time`;
    violations.push({ kind: 'model-called-again', what, id });
  }
  return violations;
}

interface Commit {
  readonly id: string;
  readonly reply: string | undefined;
}

/** The turns of a session: each is a message and the reply that follows it. */
function commitsOf(history: readonly HistoryLine[]): readonly Commit[] {
  const commits: Commit[] = [];
  for (const [i, { role, content }] of history.entries()) {
    if (role !== 'user') continue;
    const next = history[i + 1];
    commits.push({
      id: readText(content)?.id ?? content,
      reply: next?.role === 'assistant' ? next.content : undefined,
    });
  }
  return commits;
}

function judgeCommits(
  heard: readonly HeardMessage[],
  byId: ReadonlyMap<string, HeardMessage>,
  committed: readonly Commit[],
): readonly Violation[] {
  const violations: Violation[] = [];
  const counts = new Map<string, number>();
  for (const { id, reply } of committed) {
    counts.set(id, (counts.get(id) ?? 0) + 1);
    const outcome = byId.get(id)?.outcome;
    if (!byId.has(id)) {
      violations.push({ kind: 'stranger', what: `a session holds ${id}, which is not of it`, id });
    } else if (outcome?.status === 'answered' && outcome.text !== reply) {
      const what = `${id} was answered with "${outcome.text}", its session holds "${reply ?? 'nothing'}"`;
      violations.push({ kind: 'wrong-reply', what, id });
    }
  }
  for (const { message, outcome } of heard) {
    const { id } = message;
    const count = counts.get(id) ?? 0;
    if (count > 1) violations.push({ kind: 'committed-twice', what: `${id} stands ${count} times in its session`, id });
    if (count === 0 && outcome?.status === 'answered') {
      violations.push({ kind: 'not-committed', what: `${id} was answered and is not in its session`, id });
    }
  }
  return violations;
}

/** A turn may not stand behind one that was surely accepted after it. */
function judgeOrder(byId: ReadonlyMap<string, HeardMessage>, committed: readonly Commit[]): readonly Violation[] {
  const violations: Violation[] = [];
  let latest: HeardMessage | undefined;
  const seen = new Set<string>();
  for (const { id } of committed) {
    const one = byId.get(id);
    if (!one || seen.has(id)) continue;
    seen.add(id);
    if (latest && latest.first > one.last) {
      const what = `${id} stands behind ${latest.message.id}, which was sent after it`;
      violations.push({ kind: 'out-of-order', what, id });
    }
    if (!latest || one.first > latest.first) latest = one;
  }
  return violations;
}

/** An agent that keeps count says where in its session it found itself. */
function judgeReply(session: PlannedSession, { message, outcome }: HeardMessage, place: number): readonly Violation[] {
  if (outcome?.status !== 'answered') return [];
  const expected = session.agent === 'echo' ? textOf(message) : countedReply(place, message.id);
  if (outcome.text === expected) return [];
  const what = `${message.id} was answered with "${outcome.text}" instead of "${expected}"`;
  return [{ kind: 'wrong-reply', what, id: message.id }];
}
