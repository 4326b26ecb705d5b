/** The control: a process with a timer and nothing else, on the same machine at the same time. */
import { serve } from '../lib/process.ts';
import { LoopDelay } from './loop-delay.ts';

const loop = new LoopDelay();
serve({ begin: () => loop.begin(), end: () => loop.end() });
