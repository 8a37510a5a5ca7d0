/** Small data that is the same in every run. */

/** Uniform numbers in [0, 1): a linear congruential generator. */
export function random(seed: number): () => number {
    let state = seed >>> 0 || 1;
    return () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state / 2 ** 32;
    };
}

/** [rows, dim] numbers in [-1, 1). */
export function vectors(rows: number, dim: number, seed = 1): Float32Array {
    const next = random(seed);
    return Float32Array.from({ length: rows * dim }, () => next() * 2 - 1);
}

/** Tokens 0..below-1, repeated. */
export function tokens(rows: number, below = 50): Int32Array {
    return Int32Array.from({ length: rows }, (_, i) => i % below);
}

export const bytesOf = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** A copy whose first element does not lie at the start of its buffer. */
export function shifted(array: Float32Array): Float32Array {
    const wide = new Float32Array(array.length + 5);
    wide.set(array, 3);
    return wide.subarray(3, 3 + array.length);
}

/** A copy over a buffer that other threads can see. */
export function shared(array: Float32Array): Float32Array {
    const copy = new Float32Array(new SharedArrayBuffer(array.byteLength));
    copy.set(array);
    return copy;
}

/** A copy over a resizable buffer. */
export function resizable(array: Float32Array): Float32Array {
    const buffer = new (ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer)(array.byteLength, {
        maxByteLength: 2 * array.byteLength,
    });
    const copy = new Float32Array(buffer);
    copy.set(array);
    return copy;
}

/** Takes the memory away, as posting the buffer to another thread does. */
export function detach<T extends ArrayBufferView>(array: T): T {
    structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });
    return array;
}
