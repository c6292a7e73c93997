// Compares the speed of two workloads: they alternate, and the medians of their rates are compared.
const rounds = 5;

export type Work = () => PromiseLike<unknown>;

export async function compare(
  what: string,
  nameA: string,
  a: Work,
  nameB: string,
  b: Work,
  { count, concurrency }: { count: number; concurrency: number },
) {
  const [ratesA, ratesB]: [number[], number[]] = [[], []];
  await rate(a, count / 2, concurrency); // warm-up
  await rate(b, count / 2, concurrency);
  for (let round = 0; round < rounds; round++) {
    ratesA.push(await rate(a, count, concurrency));
    ratesB.push(await rate(b, count, concurrency));
  }
  const [rateA, rateB] = [median(ratesA), median(ratesB)];
  console.log(
    `${what}: ${nameA} ${Math.round(rateA)}/s, ${nameB} ${Math.round(rateB)}/s, ratio ${(rateA / rateB).toFixed(2)}`,
  );
}

async function rate(work: Work, count: number, concurrency: number): Promise<number> {
  let left = count;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (left-- > 0) await work();
    }),
  );
  return (count / (performance.now() - start)) * 1000;
}

export function median(numbers: number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}
