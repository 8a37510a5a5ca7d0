/** Progress on stderr: how far, how fast, how long still. Where that is no terminal a line now and then; silent with --json. */
import ora from "ora";

import type { Progress } from "../recipes/build.js";
import { counted } from "../report/units.js";

/** Of anything: a build's progress and others'. */
type Counted = Omit<Progress, "unit"> & { unit: string };

export interface ProgressLine {
    /** How far the work called `what` is; another name begins another work. */
    update(progress: Counted, what?: string): void;
    /** What is being done while nothing can be counted. */
    note(text: string): void;
    /** A line on stderr that stays. */
    print(text: string): void;
    stop(): void;
}

/** Milliseconds between the lines of a log. */
const logEvery = 15_000;

export function progressLine(name: string, { silent = false }: { silent?: boolean | undefined } = {}): ProgressLine {
    const spinner = ora({
        text: name,
        stream: process.stderr,
        isSilent: silent || !process.stderr.isTTY,
        discardStdin: false,
    }).start();
    const logs = !silent && !process.stderr.isTTY;
    let logged = performance.now();
    let first: { what: string; done: number; at: number; last: number } | undefined;
    return {
        update(progress, what = name) {
            const now = performance.now();
            // Where less is done than before, another round of the same has begun.
            if (first?.what !== what || progress.done < first.last)
                first = { what, done: progress.done, at: now, last: progress.done };
            first.last = progress.done;
            spinner.text = `${what}: ${progressText(progress, progress.done - first.done, (now - first.at) / 1000)}`;
            if (!logs || now - logged < logEvery) return;
            logged = now;
            process.stderr.write(`${spinner.text}\n`);
        },
        note(text) {
            spinner.text = `${name}: ${text}`;
        },
        print(text) {
            spinner.clear();
            process.stderr.write(`${text}\n`);
        },
        stop() {
            spinner.stop();
        },
    };
}

/** `fresh` of what is done took `seconds`; the rest was there before. */
export function progressText({ done, total, unit }: Counted, fresh: number, seconds: number): string {
    const soFar = `${counted(done)} of ${counted(total)} ${unit}`;
    if (fresh <= 0 || seconds <= 0) return soFar;
    const rate = fresh / seconds;
    return `${soFar}, ${rate < 10 ? rate.toFixed(1) : counted(Math.round(rate))} ${unit}/s, ${duration((total - done) / rate)} left`;
}

/** "1 h 05 min", "3 min 20 s", "12 s". */
export function duration(seconds: number): string {
    const whole = Math.round(seconds);
    const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    if (hours > 0) return `${hours} h ${String(minutes).padStart(2, "0")} min`;
    return minutes > 0 ? `${minutes} min ${String(rest).padStart(2, "0")} s` : `${rest} s`;
}
