/** Feeds the chaos run's ledger with stories that went wrong, one kind at a time: it must tell each of them, and no other. */
import { describe, expect, test } from 'vitest';
import { type HistoryLine, Ledger, type Violation } from '../chaos/ledger.ts';
import { type PlannedMessage, type PlannedSession, countedReply, textOf } from '../chaos/plan.ts';

function sessionOf(over: Partial<PlannedSession> = {}): PlannedSession {
  const number = over.number ?? 0;
  const messages = [1, 2, 3].map((n): PlannedMessage => ({ id: `s${number}-${n}`, act: 'answer', workMs: 0 }));
  return { number, agent: 'count', way: 'socket', window: 2, kept: true, messages, ...over };
}

/** A session that went as it should, which a test then bends. */
class Story {
  readonly ledger = new Ledger(() => 0);
  readonly session: PlannedSession;
  readonly history: HistoryLine[] = [];

  constructor(over: Partial<PlannedSession> = {}) {
    this.session = sessionOf(over);
  }

  message(n: number): PlannedMessage {
    const message = this.session.messages[n - 1];
    if (!message) throw new Error(`There is no message ${n}`);
    return message;
  }

  send(...numbers: readonly number[]): void {
    for (const n of numbers) this.ledger.sent(this.session, this.message(n));
  }

  /** Commits turns in this order, and answers them. */
  commit(...numbers: readonly number[]): void {
    for (const n of numbers) {
      const message = this.message(n);
      const reply = countedReply(this.history.filter(({ role }) => role === 'user').length + 1, message.id);
      this.history.push({ role: 'user', content: textOf(message) }, { role: 'assistant', content: reply });
      this.ledger.answered(message.id, reply, `s${this.session.number}`);
    }
  }

  judge(): readonly Violation['kind'][] {
    const judged = this.ledger.judge(new Map([[this.session.number, this.history]]));
    return [...new Set(judged.map(({ kind }) => kind))];
  }
}

describe('chaos ledger', () => {
  test('chaos ledger - finds nothing in a run in which all went well', () => {
    const story = new Story();
    story.send(1, 2, 3);
    story.commit(1, 2, 3);
    expect(story.judge()).toEqual([]);
    expect(story.ledger.figures()).toMatchObject({ messages: 3, answered: 3, dead: 0, sends: 3 });
  });

  test('chaos ledger - tells a message without an outcome', () => {
    const story = new Story();
    story.send(1, 2);
    story.commit(1);
    expect(story.judge()).toEqual(['lost']);
    expect(story.ledger.outstanding).toBe(1);
  });

  test('chaos ledger - tells a turn that stands behind one which was sent after it', () => {
    const story = new Story();
    story.send(1, 2, 3);
    story.commit(2, 1, 3);
    expect(story.judge()).toEqual(['out-of-order']);
  });

  test('chaos ledger - lets a message that was refused stand behind what was sent before it came again', () => {
    const story = new Story();
    story.send(1, 2);
    story.ledger.refused('s0-1', 'ORRERY_MAILBOX_FULL');
    story.send(1);
    story.commit(2, 1);
    expect(story.judge()).toEqual([]);
  });

  test('chaos ledger - holds a message that was lost on its way to its first place', () => {
    const story = new Story();
    story.send(1, 2);
    story.ledger.connectionLost('s0-1', 'reset');
    story.send(1);
    story.commit(2, 1);
    expect(story.judge()).toEqual(['out-of-order']);
  });

  test('chaos ledger - lets messages that were lost together with a refusal stand in the order in which they came again', () => {
    // The first was refused and came again behind the second, whose first send never arrived.
    const story = new Story();
    story.send(1);
    story.ledger.refused('s0-1', 'ORRERY_JOURNAL_FAILED');
    story.send(2);
    story.ledger.connectionLost('s0-2', 'killed');
    story.send(1, 2);
    story.commit(1, 2);
    expect(story.judge()).toEqual([]);
  });

  test('chaos ledger - lets either place of a message be that was lost, then refused', () => {
    for (const order of [
      [1, 2],
      [2, 1],
    ]) {
      const story = new Story();
      story.send(1, 2);
      story.ledger.connectionLost('s0-1', 'reset');
      story.send(1);
      story.ledger.refused('s0-1', 'ORRERY_OVERLOADED');
      story.send(1);
      story.commit(...order);
      expect(story.judge()).toEqual([]);
    }
  });

  test('chaos ledger - tells a turn that was committed twice', () => {
    const story = new Story();
    story.send(1, 2);
    story.commit(1, 2);
    story.history.push(...story.history.slice(0, 2));
    expect(story.judge()).toEqual(['committed-twice']);
  });

  test('chaos ledger - tells from the count that something was committed which is no longer there', () => {
    const story = new Story();
    story.send(1, 2);
    story.commit(1);
    story.history.push({ role: 'user', content: 'unseen' }, { role: 'assistant', content: 'unseen' });
    story.commit(2);
    story.history.splice(2, 2);
    expect(story.judge()).toEqual(['wrong-reply']);
  });

  test('chaos ledger - tells an answer that is not in its session', () => {
    const story = new Story();
    story.send(1);
    story.ledger.answered('s0-1', 'n1 s0-1', 's0');
    expect(story.judge()).toEqual(['not-committed']);
  });

  test('chaos ledger - tells what stands in a session that it is not of', () => {
    const story = new Story();
    story.send(1);
    story.commit(1);
    story.history.push({ role: 'user', content: 'answer 0 s9-1' }, { role: 'assistant', content: 'n2 s9-1' });
    expect(story.judge()).toEqual(['stranger']);
  });

  test("chaos ledger - tells an answer with another message's words", () => {
    const story = new Story({ kept: false });
    story.send(1);
    story.ledger.answered('s0-1', 'n1 s5-1', 's0');
    expect(story.judge()).toContain('misrouted');
  });

  test("chaos ledger - tells an answer in another session's namespace, and one that nobody asked for", () => {
    const story = new Story();
    story.send(1);
    story.ledger.answered('s0-1', 'n1 s0-1', 's7');
    story.history.push({ role: 'user', content: 'answer 0 s0-1' }, { role: 'assistant', content: 'n1 s0-1' });
    story.ledger.answered('s8-1', 'n1 s8-1', 's8');
    expect(story.judge()).toEqual(['misrouted']);
    expect(story.ledger.violations).toHaveLength(2);
  });

  test('chaos ledger - tells a second answer that is not the first, and one after an error', () => {
    const story = new Story({ kept: false });
    story.send(1, 2);
    story.ledger.answered('s0-1', 'n1 s0-1', 's0');
    story.ledger.answered('s0-1', 'n2 s0-1', 's0');
    story.ledger.died('s0-2', 'ORRERY_AGENT_FAILED');
    story.ledger.answered('s0-2', 'n1 s0-2', 's0');
    expect(story.judge()).toEqual(['two-outcomes']);
    expect(story.ledger.violations).toHaveLength(2);
  });

  test('chaos ledger - counts an answer after an error that a kill of the process took back', () => {
    const story = new Story({ kept: false });
    story.send(1);
    story.ledger.died('s0-1', 'ORRERY_WORKER_EXITED');
    story.ledger.processKilled();
    story.ledger.answered('s0-1', 'n1 s0-1', 's0');
    expect(story.judge()).toEqual([]);
    expect(story.ledger.figures()).toMatchObject({ answered: 1, dead: 0, revived: 1 });
  });

  test('chaos ledger - counts an answer that nobody heard after an error that a kill took back, and tells it without a kill', () => {
    const story = new Story({ kept: false });
    story.send(1, 2);
    story.ledger.died('s0-1', 'ORRERY_WORKER_EXITED');
    story.ledger.processKilled();
    story.ledger.died('s0-2', 'ORRERY_WORKER_EXITED');
    story.ledger.decidedAnew('s0-1');
    expect(story.judge()).toEqual([]);
    story.ledger.decidedAnew('s0-2');
    expect(story.judge()).toEqual(['two-outcomes']);
    expect(story.ledger.figures()).toMatchObject({ dead: 2, revived: 1 });
  });

  test('chaos ledger - counts a second send where the network has no key, and tells it where it has one', () => {
    for (const [way, kinds, figures] of [
      ['keyless', [], { duplicatesSent: 1, duplicatesKnown: 0 }],
      ['keyed', ['duplicate-under-key'], { duplicatesSent: 0 }],
      ['socket', ['duplicate-under-key'], { duplicatesSent: 0 }],
    ] as const) {
      const story = new Story({ way });
      story.send(1);
      story.commit(1);
      story.ledger.repeated('s0-1', false);
      expect(story.judge()).toEqual(kinds);
      expect(story.ledger.figures()).toMatchObject(figures);
    }
  });

  test('chaos ledger - tells a call of the model after its answer was heard', () => {
    const story = new Story({ agent: 'model' });
    story.send(1);
    story.ledger.modelCalled('s0-1');
    story.ledger.modelAnswered('s0-1');
    story.commit(1);
    story.ledger.modelCalled('s0-1');
    expect(story.judge()).toEqual(['model-called-again']);
  });

  test('chaos ledger - lets the model be called once more for each fault in its time, and no more', () => {
    for (const [faults, kinds] of [
      [0, ['model-called-again']],
      [1, []],
    ] as const) {
      const story = new Story({ agent: 'model' });
      // One that was over before does not count.
      story.ledger.excuseBegins();
      story.ledger.excuseEnds();
      story.send(1);
      story.ledger.excuseBegins(faults);
      for (let i = 0; i < 2; i++) {
        story.ledger.modelCalled('s0-1');
        story.ledger.modelAnswered('s0-1');
      }
      story.commit(1);
      expect(story.judge()).toEqual(kinds);
    }
  });

  test('chaos ledger - tells counters that do not agree, and what was left over', () => {
    const { ledger } = new Story();
    ledger.expectEqual('two of them', 2, 2);
    ledger.expectEqual('three of them', 3, 4);
    ledger.leftOver('a thread');
    ledger.processEnded('it ended by itself');
    expect(ledger.violations.map(({ kind }) => kind)).toEqual(['counters', 'left-over', 'process-ended']);
  });

  test("chaos ledger - keeps a message's story", () => {
    const story = new Story();
    story.send(1);
    story.ledger.connectionLost('s0-1', 'reset');
    story.send(1);
    story.commit(1);
    expect(story.ledger.storyOf('s0-1').map((line) => line.slice(0, 14))).toEqual([
      '0 ms: sent by ',
      '0 ms: connecti',
      '0 ms: sent by ',
      '0 ms: answered',
    ]);
  });
});
