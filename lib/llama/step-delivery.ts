import type { AttachOptions, Step } from "./attach.js";

/**
 * Hands steps from the addon's queue to a listener, one at a time, after the event loop has gone on with what a decode led to. A listener that is slow,
 * or fails, delays and harms nothing but itself.
 */
export class StepDelivery {
    readonly #take: (limit: number) => Step[];
    readonly #onStep: NonNullable<AttachOptions["onStep"]>;
    readonly #onError: (error: unknown) => void;
    #rest: Step[] | undefined;
    #running = false;

    constructor(
        take: (limit: number) => Step[],
        onStep: NonNullable<AttachOptions["onStep"]>,
        onError: AttachOptions["onError"],
    ) {
        this.#take = take;
        this.#onStep = onStep;
        this.#onError = onError ?? uncaught;
    }

    /** Delivers what is queued, soon. */
    deliver(): void {
        if (this.#running) return;
        this.#running = true;
        setImmediate(() => void this.#run());
    }

    /** Takes over what is left in the queue, which goes away. */
    close(): void {
        this.#rest = this.#take(0xffffffff);
        this.deliver();
    }

    #next(): Step | undefined {
        return this.#rest === undefined ? this.#take(1)[0] : this.#rest.shift();
    }

    async #run(): Promise<void> {
        for (let step = this.#next(); step !== undefined; step = this.#next()) {
            try {
                await this.#onStep(step);
            } catch (error) {
                this.#report(error);
            }
        }
        this.#running = false;
    }

    #report(error: unknown): void {
        try {
            this.#onError(error);
        } catch (another) {
            uncaught(another);
        }
    }
}

function uncaught(error: unknown): void {
    setImmediate(() => {
        throw error;
    });
}
