/** Owns how a row of measurements is judged to rise: the median of the slopes between every two of them, which no single outlier moves. */

export interface Sample {
  readonly at: number;
  readonly value: number;
}

/** Units of value for each unit of time (Theil and Sen); 0 for fewer than two samples. */
export function slopeOf(samples: readonly Sample[]): number {
  const slopes: number[] = [];
  for (const [i, a] of samples.entries()) {
    for (const b of samples.slice(i + 1)) if (b.at !== a.at) slopes.push((b.value - a.value) / (b.at - a.at));
  }
  slopes.sort((a, b) => a - b);
  const middle = Math.floor(slopes.length / 2);
  const [low = 0, high = 0] = [slopes[slopes.length % 2 === 1 ? middle : middle - 1], slopes[middle]];
  return (low + high) / 2;
}

/** The lowest of each stretch of time: what is left between two collections of garbage, and not how full it was by chance. */
export function lowestOf(samples: readonly Sample[], stretch: number): readonly Sample[] {
  const lowest = new Map<number, Sample>();
  for (const sample of samples) {
    const key = Math.floor(sample.at / stretch);
    const known = lowest.get(key);
    if (!known || sample.value < known.value) lowest.set(key, sample);
  }
  return [...lowest.values()];
}
