/** What to choose on a machine for a store: sentences, each with the figures it rests on. */
import { percent } from "../lib/cli/output.js";
import type { Figure } from "./figures.js";

/** What is not slower than another by more than this share is not worth more hits, or another thread. */
const worthwhile = 0.1;

export function advice(figures: readonly Figure[]): string[] {
    const own = figures.filter(({ group, way, batch }) => group === "search" && way === "rtd" && batch === 1);
    const defaults = own.find(({ k }) => k === 64);
    if (defaults === undefined) return [];
    const like = (varied: "k" | "backend" | "threads") =>
        own.filter((figure) =>
            (["k", "backend", "threads"] as const).every((name) => name === varied || figure[name] === defaults[name]),
        );
    return [
        kAdvice(like("k")),
        backendAdvice(like("backend")),
        threadsAdvice(like("threads")),
        scanAdvice(figures, defaults),
    ].filter((sentence) => sentence !== undefined);
}

const ms = ({ median }: Figure): string => `${median.toPrecision(2)} ms`;

function kAdvice(figures: readonly Figure[]): string | undefined {
    const byK = figures.toSorted((a, b) => a.k! - b.k!);
    const [least] = byK;
    if (least === undefined || byK.length < 2) return undefined;
    const cheap = byK.filter(({ median }) => median <= (1 + 2 * worthwhile) * least.median).at(-1)!;
    const most = byK.at(-1)!;
    const costs = byK.map((figure) => `${ms(figure)} for k = ${figure.k}`).join(", ");
    const upTo = cheap === least ? `every step up costs time` : `up to ${cheap.k} costs hardly more than ${least.k}`;
    const further =
        cheap === most ? "" : `, ${most.k} takes ${(most.median / least.median).toFixed(1)} times as long as ${least.k}`;
    return `k: ${upTo}${further} (${costs}).`;
}

/** The first of the figures is of the back end that is taken by itself. */
function backendAdvice(figures: readonly Figure[]): string | undefined {
    const [own] = figures;
    const [best] = figures.toSorted((a, b) => a.median - b.median);
    if (own === undefined || best === undefined) return undefined;
    // Faster by more than the spread of both.
    const isClear = own.median > (1 + worthwhile) * best.median && own.quartiles[0] > best.quartiles[1];
    const chosen = isClear ? best : own;
    const others = figures.filter((figure) => figure !== chosen).map((figure) => `${ms(figure)} on ${figure.backend}`);
    const costs = [ms(chosen), ...(others.length > 0 ? [`against ${others.join(", ")}`] : [])].join(", ");
    return chosen === own
        ? `Back end: leave it at ${own.backend}, which is taken by itself (${costs}).`
        : `Back end: take ${best.backend}, by the option backend or RTD_BACKEND=${best.backend} (${costs}).`;
}

/** The fewest that are nearly as fast as the fastest: what is left of the processor is the model's. */
function threadsAdvice(figures: readonly Figure[]): string | undefined {
    if (figures.length < 2) return undefined;
    const fastest = Math.min(...figures.map(({ median }) => median));
    const byThreads = figures.toSorted((a, b) => a.threads - b.threads);
    const few = byThreads.find(({ median }) => median <= (1 + worthwhile) * fastest)!;
    const costs = byThreads.map((figure) => `${ms(figure)} on ${figure.threads}`).join(", ");
    return `Threads: ${few.threads}, by the option threads or RTD_THREADS=${few.threads} (${costs}).`;
}

function scanAdvice(figures: readonly Figure[], defaults: Figure): string | undefined {
    const ratio = defaults.ratios["rtd scan"];
    if (ratio === undefined) return undefined;
    const scan = figures.find((figure) => figure.way === "rtd scan" && figure.case === defaults.case);
    const share = (defaults.bytes ?? NaN) / (scan?.bytes ?? NaN);
    return ratio.median > 1 + worthwhile
        ? `Cascade: keep it, it makes a search ${ratio.median.toFixed(1)} times as fast as a scan of all keys, of whose bytes it reads ${percent(share)}.`
        : `Cascade: of no use on these keys (a scan takes ${ratio.median.toFixed(2)} of its time); cascade: "off" or RTD_CASCADE=off spares its memory.`;
}
