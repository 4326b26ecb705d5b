export { type LoadOptions, type LoadProgress, type LoadTarget } from './options.ts';
export { type LoadReport } from './report.ts';
export { runLoad } from './run.ts';
export { driverWords } from './page.ts';
export { failureTable, figureTable, paceWords } from './table.ts';
