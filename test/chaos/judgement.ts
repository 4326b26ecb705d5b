/** Owns the judgement of one session and of one message's model calls: pure functions of what was heard and read back. */
import type { HistoryLine, Outcome, Violation } from './ledger.ts';
import { type PlannedMessage, type PlannedSession, countedReply, readText, textOf } from './plan.ts';

/** One send of a message. */
export interface Send {
  /** Its place among all sends of the run. */
  readonly at: number;
  /** What is sent over one connection of a session arrives in order, up to where that was cut off. */
  readonly connection: number;
  /** It was answered with a refusal: the message was not accepted by it. */
  refused: boolean;
}

/** A message as its client knows it. It was accepted by one of its sends that was not refused. */
export interface HeardMessage {
  readonly message: PlannedMessage;
  readonly outcome: Outcome | undefined;
  readonly sends: readonly Send[];
}

export interface CalledMessage {
  readonly message: PlannedMessage;
  /** Calls that the model answered in full. */
  readonly completed: number;
  readonly callsAfterAnswer: number;
  /** Faults while it was under way that may have made its turn run again. */
  readonly excuses: number;
}

/**
 * Judges a session by what was heard of its messages, and what was read back of it where it is kept. `refusals`: some message of it
 * may have been refused without its client hearing that.
 */
export function judgeSession(
  session: PlannedSession,
  heard: readonly HeardMessage[],
  history: readonly HistoryLine[],
  refusals = false,
): readonly Violation[] {
  if (!session.kept) return heard.flatMap((one) => judgeReply(session, one, 1));
  const byId = new Map(heard.map((one) => [one.message.id, one]));
  const committed = commitsOf(history);
  return [
    ...judgeCommits(heard, byId, committed),
    ...judgeOrder(byId, committed, refusals),
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

/**
 * Turns stand in the order in which their messages were accepted: there must be a send for each that may have been the one, in rising
 * order. One that arrived over a connection had all before it on that connection arrive, too; unless those were refused, they
 * were accepted by then.
 */
function judgeOrder(
  byId: ReadonlyMap<string, HeardMessage>,
  committed: readonly Commit[],
  refusals: boolean,
): readonly Violation[] {
  const order = [...new Set(committed.map(({ id }) => id))].flatMap((id) => byId.get(id) ?? []);
  const violations: Violation[] = [];
  const waiting = new Set(order);
  let latest: { readonly at: number; readonly id: string } | undefined;
  for (const one of order) {
    const { id } = one.message;
    waiting.delete(one);
    const isFirst = (send: Send): boolean => refusals || ![...waiting].some((other) => precedes(other, send));
    const send = one.sends.find((sent) => !sent.refused && sent.at > (latest?.at ?? 0) && isFirst(sent));
    if (send) latest = { at: send.at, id };
    else {
      const what = `${id} stands where no send of it can have brought it, behind ${latest?.id ?? 'nobody'}`;
      violations.push({ kind: 'out-of-order', what, id });
    }
  }
  return violations;
}

/** Tells whether a message was surely received before a send, if that was: it went before over the same connection. */
function precedes({ sends }: HeardMessage, { at, connection }: Send): boolean {
  return sends.some((sent) => !sent.refused && sent.connection === connection && sent.at < at);
}

/** An agent that keeps count says where in its session it found itself. */
function judgeReply(session: PlannedSession, { message, outcome }: HeardMessage, place: number): readonly Violation[] {
  if (outcome?.status !== 'answered') return [];
  const expected = session.agent === 'echo' ? textOf(message) : countedReply(place, message.id);
  if (outcome.text === expected) return [];
  const what = `${message.id} was answered with "${outcome.text}" instead of "${expected}"`;
  return [{ kind: 'wrong-reply', what, id: message.id }];
}
