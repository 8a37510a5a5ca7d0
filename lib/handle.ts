import { native, type HandleNumber } from "./native.js";

/** `Symbol.dispose` and `Symbol.asyncDispose`, also in a runtime that lacks them (where `using` is compiled to the same fallback). */
export const dispose: typeof Symbol.dispose = Symbol.dispose ?? Symbol.for("Symbol.dispose");
export const asyncDispose: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");

const abandoned = new FinalizationRegistry<HandleNumber>((number) => native().release(number));

/** Owns a native resource: freed by {@link release}, or some time after the garbage collector found that nobody holds this object. */
export class Handle {
    #number: HandleNumber;

    constructor(number: HandleNumber) {
        this.#number = number;
        abandoned.register(this, number, this);
    }

    /** What the addon knows it by; 0 once released, which it knows as nothing. */
    get number(): HandleNumber {
        return this.#number;
    }

    /** Frees it; calls in progress finish undisturbed. More than once is fine. */
    release(): void {
        const number = this.detach();
        if (number !== 0) native().release(number);
    }

    /** Gives the number away: the addon frees it by another call. */
    detach(): HandleNumber {
        const number = this.#number;
        this.#number = 0;
        abandoned.unregister(this);
        return number;
    }
}
