/** Owns what a run prints: its table, one line of JSON, and of every failure the message's whole story and how to repeat it. */
import { median, percentile, printJson, printTable } from '../../bench/lib/stats.ts';
import type { FaultFigures } from './faults.ts';
import type { Ledger, Violation, ViolationKind } from './ledger.ts';

export interface Report {
  readonly run: string;
  readonly seed: number;
  readonly repeat: string;
  readonly directory: string;
  readonly seconds: number;
  readonly faults: FaultFigures;
  /** Times that V8 aborted the whole process over a thread's full heap. */
  readonly aborts: number;
  readonly ledger: Ledger;
  readonly violations: readonly Violation[];
}

/** Violations that are told in full. */
const TOLD = 5;
/** Of the kills, so many must find work in flight. */
const IN_FLIGHT_SHARE = 0.8;

/** Prints it all; true when the run holds. */
export function report({ run, seed, repeat, directory, seconds, faults, aborts, ledger, violations }: Report): boolean {
  const figures = ledger.figures();
  const of = (...kinds: readonly ViolationKind[]): number =>
    violations.filter(({ kind }) => kinds.includes(kind)).length;
  const kills = faults.threadKills + faults.processKills;
  const inFlightShare = kills === 0 ? 1 : faults.killsInFlight / kills;
  const results = {
    lost: of('lost'),
    outOfOrder: of('out-of-order'),
    committedTwice: of('committed-twice'),
    misrouted: of('misrouted', 'stranger'),
    wrongReplies: of('wrong-reply', 'not-committed', 'two-outcomes'),
    duplicatesUnderKey: of('duplicate-under-key'),
    modelCalledAgain: of('model-called-again'),
    countersApart: of('counters'),
    leftOver: of('left-over'),
    processFaults: of('process-ended'),
  };
  printTable(
    ['what', 'count', 'must be'],
    [
      ['messages', String(figures.messages), ''],
      ['answered', String(figures.answered), ''],
      ['dead, with a reason', String(figures.dead), ''],
      ['dead, though it asked for nothing bad', String(figures.victims), 'counted'],
      ['dead, though its turn was committed', String(figures.deadAndCommitted), 'counted'],
      ...Object.entries(results).map(([what, count]) => [words(what), String(count), '0']),
      ['duplicates sent, where the network has no key', String(figures.duplicatesSent), 'counted'],
      ['duplicates known by their key', String(figures.duplicatesKnown), 'counted'],
      ['deaths told and decided anew after a kill', String(figures.revived), 'counted'],
      ['threads killed', String(faults.threadKills), ''],
      ['processes killed', String(faults.processKills), ''],
      ["aborts of the process over a thread's full heap", String(aborts), 'counted'],
      ['kills that hit work in flight', `${(inFlightShare * 100).toFixed(0)} %`, '>= 80 %'],
      ['kills at a step of a delivery', shown(faults.atPoint), ''],
      ['steps that nobody came to in time', String(faults.pointsMissed), 'counted'],
      ['back after a kill of the process, p50 / max', `${around(faults.backMs)} ms`, ''],
      ['messages cut off from their client', String(faults.connectionsDropped), ''],
      ['connections lost, all causes', String(figures.connectionsLost), ''],
      ['stalls of the model', String(faults.stalls), ''],
      ['failed calls of the model', String(faults.modelErrors), ''],
      ['times that the disk refused writes', String(faults.diskFaults), ''],
      ["journal's threads killed", String(faults.journalThreads), ''],
      ['sends / refusals', `${figures.sends} / ${figures.refusals}`, ''],
      ['refusals by code', shown(figures.refusedBy), ''],
      ['dead by code', shown(figures.deadBy), ''],
      ['model calls', String(figures.modelCalls), ''],
      ['deliveries by calls answered in full', shown(figures.callsPerDelivery), ''],
    ],
  );
  const holds = violations.length === 0 && inFlightShare >= IN_FLIGHT_SHARE;
  printJson(run, {
    seed,
    holds,
    seconds: Math.round(seconds),
    messagesPerSecond: Math.round(figures.messages / seconds),
    ...figures,
    ...results,
    faults,
    aborts,
    inFlightShare,
  });
  if (holds) return true;
  tell(violations, ledger);
  console.log(`\nSeed ${seed}. To repeat: ${repeat}\nThe run's files: ${directory}`);
  return false;
}

function tell(violations: readonly Violation[], ledger: Ledger): void {
  // Those with a story first.
  const told = violations.toSorted((a, b) => Number(b.id !== undefined) - Number(a.id !== undefined));
  for (const { kind, what, id } of told.slice(0, TOLD)) {
    console.log(`\n${kind}: ${what}`);
    if (id !== undefined) for (const line of ledger.storyOf(id)) console.log(`  ${line}`);
  }
  for (const { kind, what } of told.slice(TOLD, TOLD * 4)) console.log(`${kind}: ${what}`);
  if (violations.length > TOLD * 4) console.log(`... and ${violations.length - TOLD * 4} more`);
}

function words(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function shown(counts: Readonly<Record<string, number>>): string {
  const list = Object.entries(counts).map(([name, count]) => `${name} ${count}`);
  return list.length === 0 ? 'none' : list.join(', ');
}

function around(values: readonly number[]): string {
  return values.length === 0 ? '-' : `${median(values)} / ${percentile(values, 1)}`;
}
