/** Owns the page as a whole: what stands where. */
import { drawCases, linkedCase } from './cases.js';
import { hideTip, section } from './dom.js';
import { drawAbout, drawHead, drawLeaderboard } from './overview.js';
import { drawPairs } from './pairs.js';
import { drawPlots } from './plots.js';

const data = JSON.parse(document.getElementById('data').textContent);
const hasResults = data.summary.results > 0;
const parts = [
  drawHead(data),
  drawLeaderboard(data),
  drawPairs(data),
  hasResults && section('plots', 'Latency, cost and throughput', null, ...drawPlots(data).filter(Boolean)),
  hasResults && drawCases(data),
  drawAbout(data),
];
document.getElementById('report').append(...parts.filter(Boolean));
if (linkedCase() !== undefined) document.querySelector('tr.is-open')?.scrollIntoView({ block: 'start' });
addEventListener('scroll', hideTip, { passive: true });
addEventListener('keydown', (event) => {
  if (event.key === 'Escape') hideTip();
});
