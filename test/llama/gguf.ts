/**
 * Model files written by hand: random weights, a vocabulary of bytes and characters, a few thousand numbers in all. The stock node-llama-cpp loads and
 * runs them in milliseconds, so the tests need no real model; what they say is noise, but always the same noise.
 *
 * | architecture | for |
 * |---|---|
 * | `llama` | plain attention |
 * | `gemma2` | a sliding window, tied embeddings, a soft cap after the LM head |
 * | `granite` | a scale after the LM head |
 * | `plamo3` | neither of the two tensors is named |
 * | `mamba` | a recurrent state instead of a cache |
 */
import { writeFileSync } from "node:fs";

export type Architecture = "llama" | "gemma2" | "granite" | "plamo3" | "mamba";

export interface ModelShape {
    architecture?: Architecture;
    /** Dimensions of a hidden state, a multiple of 4 heads. Default 64. */
    embeddingSize?: number;
    layers?: number;
    /** At least 355: further tokens are given names that no text contains. */
    vocabulary?: number;
    contextSize?: number;
    /** Other weights. Default 1. */
    seed?: number;
    /** Length of the sliding window of `gemma2`. Default 16. */
    window?: number;
    /** `llama`: with the weights of the adapter of this seed (see {@link writeAdapter}) worked into the model's own. */
    adapted?: number;
    /** By how much of them. Default 1. */
    adaptedBy?: number;
}

/** The bits of GGUF that are needed: 32-bit numbers, strings, and lists of them. */
type Value = { u32: number } | { f32: number } | { text: string } | { i32s: number[] } | { f32s: number[] } | { texts: string[] };
type Tensor = [name: string, dims: number[], fill: (values: Float32Array, random: () => number) => void];

const heads = 4;

export function writeModel(path: string, shape: ModelShape = {}): void {
    const {
        architecture = "llama",
        embeddingSize = 64,
        layers = 2,
        contextSize = 512,
        vocabulary = 355,
        seed = 1,
        window = 16,
        adapted,
        adaptedBy = 1,
    } = shape;
    const feedForward = 2 * embeddingSize;
    const metadata: [string, Value][] = [
        ["general.architecture", { text: architecture }],
        ["general.name", { text: `noise-${architecture}` }],
        [`${architecture}.context_length`, { u32: contextSize }],
        [`${architecture}.embedding_length`, { u32: embeddingSize }],
        [`${architecture}.block_count`, { u32: layers }],
        [`${architecture}.feed_forward_length`, { u32: architecture === "mamba" ? 0 : feedForward }],
        [`${architecture}.attention.head_count`, { u32: architecture === "mamba" ? 0 : heads }],
        [`${architecture}.attention.head_count_kv`, { u32: architecture === "mamba" ? 0 : heads }],
        [`${architecture}.attention.layer_norm_rms_epsilon`, { f32: 1e-5 }],
        ...special(architecture, embeddingSize, window),
        ...tokenizer(vocabulary),
    ];
    const tensors: Tensor[] = [
        ["token_embd.weight", [embeddingSize, vocabulary], noise(1)],
        ["output_norm.weight", [embeddingSize], ones],
        ...(architecture === "gemma2" ? [] : ([["output.weight", [embeddingSize, vocabulary], noise(0.4)]] as Tensor[])),
    ];
    for (let i = 0; i < layers; i++) {
        for (const [name, dims, fill] of layer(architecture, embeddingSize, feedForward))
            tensors.push([`blk.${i}.${name}`, dims, fill]);
    }
    const deltas = adapted === undefined ? [] : adapterOf(shape, adapted);
    const merged = tensors.map(([name, dims, fill]): Tensor => [
        name,
        dims,
        (values, random) => {
            fill(values, random);
            for (const delta of deltas) if (delta.name === name) addProduct(values, delta, adaptedBy);
        },
    ]);
    writeFileSync(path, encode(metadata, merged, generator(seed)));
}

/** A LoRA adapter of noise for a `llama` model of this shape: of some of its matrices in every layer, and of the LM head. */
export function writeAdapter(path: string, shape: ModelShape, seed: number): void {
    const metadata: [string, Value][] = [
        ["general.type", { text: "adapter" }],
        ["general.architecture", { text: "llama" }],
        ["adapter.type", { text: "lora" }],
        ["adapter.lora.alpha", { f32: alpha }],
    ];
    const tensors = adapterOf(shape, seed).flatMap(({ name, columns, rows, a, b }): Tensor[] => [
        [`${name}.lora_a`, [columns, rank], (values) => values.set(a)],
        [`${name}.lora_b`, [rank, rows], (values) => values.set(b)],
    ]);
    writeFileSync(path, encode(metadata, tensors, generator(seed)));
}

const [rank, alpha] = [4, 8];

/** Adds alpha / rank times b a to a matrix of `rows` rows: a is [rank, columns], b [rows, rank]. */
interface Delta {
    name: string;
    columns: number;
    rows: number;
    a: Float32Array;
    b: Float32Array;
}

function adapterOf({ embeddingSize: d = 64, layers = 2, vocabulary = 355 }: ModelShape, seed: number): Delta[] {
    const random = generator(seed);
    const numbers = (count: number, deviation: number): Float32Array => {
        const values = new Float32Array(count);
        noise(deviation)(values, random);
        return values;
    };
    const adapted: [string, number, number][] = [["output.weight", d, vocabulary]];
    for (let i = 0; i < layers; i++) adapted.push([`blk.${i}.attn_v.weight`, d, d], [`blk.${i}.ffn_down.weight`, 2 * d, d]);
    return adapted.map(([name, columns, rows]) => {
        const [a, b] = [numbers(rank * columns, 1 / Math.sqrt(columns)), numbers(rows * rank, 0.3)];
        return { name, columns, rows, a, b };
    });
}

function addProduct(matrix: Float32Array, { columns, rows, a, b }: Delta, scale: number): void {
    for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++) {
            let sum = 0;
            for (let i = 0; i < rank; i++) sum += b[row * rank + i]! * a[i * columns + column]!;
            matrix[row * columns + column]! += scale * (alpha / rank) * sum;
        }
}

function special(architecture: Architecture, embeddingSize: number, window: number): [string, Value][] {
    switch (architecture) {
        case "llama":
            return [["llama.rope.dimension_count", { u32: embeddingSize / heads }]];
        case "gemma2":
            return [
                ["gemma2.attention.sliding_window", { u32: window }],
                ["gemma2.attn_logit_softcapping", { f32: 50 }],
                ["gemma2.final_logit_softcapping", { f32: 30 }],
                ["gemma2.attention.key_length", { u32: embeddingSize / heads }],
                ["gemma2.attention.value_length", { u32: embeddingSize / heads }],
            ];
        case "granite":
            return [
                ["granite.rope.dimension_count", { u32: embeddingSize / heads }],
                ["granite.logit_scale", { f32: 2 }],
                ["granite.embedding_scale", { f32: 1 }],
                ["granite.residual_scale", { f32: 1 }],
                ["granite.attention.scale", { f32: 0.25 }],
            ];
        case "plamo3":
            return [
                ["plamo3.attention.key_length", { u32: embeddingSize / heads }],
                ["plamo3.attention.value_length", { u32: embeddingSize / heads }],
            ];
        case "mamba":
            return [
                ["mamba.ssm.conv_kernel", { u32: 4 }],
                ["mamba.ssm.inner_size", { u32: 2 * embeddingSize }],
                ["mamba.ssm.state_size", { u32: 8 }],
                ["mamba.ssm.time_step_rank", { u32: 4 }],
            ];
    }
}

function layer(architecture: Architecture, d: number, feedForward: number): Tensor[] {
    const matrix = (name: string, columns: number, rows: number): Tensor => [
        `${name}.weight`,
        [columns, rows],
        noise(1.5 / Math.sqrt(columns)),
    ];
    const norm = (name: string, width = d): Tensor => [`${name}.weight`, [width], ones];
    const attention = [matrix("attn_q", d, d), matrix("attn_k", d, d), matrix("attn_v", d, d), matrix("attn_output", d, d)];
    switch (architecture) {
        case "llama":
        case "granite": {
            const feed = [
                matrix("ffn_gate", d, feedForward),
                matrix("ffn_up", d, feedForward),
                matrix("ffn_down", feedForward, d),
            ];
            return [norm("attn_norm"), ...attention, norm("ffn_norm"), ...feed];
        }
        case "gemma2": {
            const feed = [
                matrix("ffn_gate", d, feedForward),
                matrix("ffn_up", d, feedForward),
                matrix("ffn_down", feedForward, d),
            ];
            return [
                norm("attn_norm"),
                ...attention,
                norm("post_attention_norm"),
                norm("ffn_norm"),
                ...feed,
                norm("post_ffw_norm"),
            ];
        }
        case "plamo3":
            return [
                norm("attn_norm"),
                matrix("attn_qkv", d, 3 * d),
                norm("attn_q_norm", d / heads),
                norm("attn_k_norm", d / heads),
                matrix("attn_output", d, d),
                ["post_attention_norm", [d], ones],
                norm("ffn_norm"),
                ["post_ffw_norm", [d], ones],
                matrix("ffn_up", d, 2 * feedForward),
                matrix("ffn_down", feedForward, d),
            ];
        case "mamba": {
            const inner = 2 * d;
            return [
                norm("attn_norm"),
                matrix("ssm_in", d, 2 * inner),
                matrix("ssm_conv1d", 4, inner),
                ["ssm_conv1d.bias", [inner], noise(0.1)],
                matrix("ssm_x", inner, 4 + 2 * 8),
                matrix("ssm_dt", 4, inner),
                ["ssm_dt.bias", [inner], noise(0.1)],
                ["ssm_a", [8, inner], (values) => values.fill(-1)],
                ["ssm_d", [inner], ones],
                matrix("ssm_out", inner, d),
            ];
        }
    }
}

/** A SentencePiece vocabulary: control tokens, all bytes, a space and the printable characters. */
function tokenizer(vocabulary: number): [string, Value][] {
    const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`);
    const characters = ["\u2581", ...Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i))];
    const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...characters];
    const types = [2, 3, 3, ...bytes.map(() => 6), ...characters.map(() => 1)];
    while (tokens.length < vocabulary) {
        tokens.push(`\u2581\u2581${tokens.length}`);
        types.push(1);
    }
    return [
        ["tokenizer.ggml.model", { text: "llama" }],
        ["tokenizer.ggml.tokens", { texts: tokens }],
        ["tokenizer.ggml.scores", { f32s: tokens.map((_, i) => -i) }],
        ["tokenizer.ggml.token_type", { i32s: types }],
        ["tokenizer.ggml.bos_token_id", { u32: 1 }],
        ["tokenizer.ggml.eos_token_id", { u32: 2 }],
    ];
}

const ones = (values: Float32Array): void => void values.fill(1);

/** Roughly normal numbers of this deviation. Long tensors repeat a block: their content does not matter, the time to make it does. */
function noise(deviation: number): Tensor[2] {
    return (values, random) => {
        const block = Math.min(values.length, (1 << 20) - 17);
        for (let i = 0; i < block; i++) values[i] = (random() + random() + random() - 1.5) * 2 * deviation;
        for (let i = block; i < values.length; i += block) values.copyWithin(i, 0, Math.min(block, values.length - i));
    };
}

/** Numbers from 0 to 1, the same for the same seed. */
export function generator(seed: number): () => number {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let x = Math.imul(state ^ (state >>> 15), state | 1);
        x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
        return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
    };
}

const alignment = 32;

function encode(metadata: [string, Value][], tensors: Tensor[], random: () => number): Buffer {
    const parts: Buffer[] = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(metadata.length)];
    for (const [key, value] of metadata) parts.push(text(key), ...encodeValue(value));
    const data: Buffer[] = [];
    let offset = 0;
    for (const [name, dims, fill] of tensors) {
        parts.push(text(name), u32(dims.length), ...dims.map(u64), u32(0), u64(offset));
        const values = new Float32Array(dims.reduce((product, dim) => product * dim, 1));
        fill(values, random);
        data.push(...padded(Buffer.from(values.buffer)));
        offset += Math.ceil(values.byteLength / alignment) * alignment;
    }
    return Buffer.concat([...padded(Buffer.concat(parts)), ...data]);
}

function padded(bytes: Buffer): Buffer[] {
    return [bytes, Buffer.alloc((alignment - (bytes.length % alignment)) % alignment)];
}

function encodeValue(value: Value): Buffer[] {
    if ("u32" in value) return [u32(4), u32(value.u32)];
    if ("f32" in value) return [u32(6), f32s([value.f32])];
    if ("text" in value) return [u32(8), text(value.text)];
    if ("i32s" in value) return [u32(9), u32(5), u64(value.i32s.length), Buffer.from(Int32Array.from(value.i32s).buffer)];
    if ("f32s" in value) return [u32(9), u32(6), u64(value.f32s.length), f32s(value.f32s)];
    return [u32(9), u32(8), u64(value.texts.length), Buffer.concat(value.texts.map(text))];
}

function u32(value: number): Buffer {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return bytes;
}

function u64(value: number): Buffer {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(value));
    return bytes;
}

function f32s(values: number[]): Buffer {
    return Buffer.from(Float32Array.from(values).buffer);
}

function text(value: string): Buffer {
    const bytes = Buffer.from(value);
    return Buffer.concat([u64(bytes.length), bytes]);
}
