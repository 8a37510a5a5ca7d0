/** What ends when, in any order: attachments, indexes, sequences, contexts; and that the last user leaves no trace. */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { expect, it } from "vitest";

import { attach, createRecorder } from "../../lib/index.js";
import { tap } from "../../lib/llama/tap.js";
import { constantIndex, contextOf, generate, noiseModel } from "./models.js";

const prompt = [50, 51, 52] as never[];

it("an attachment keeps the index that its owner disposes", async () => {
    const model = await noiseModel();
    const context = await contextOf(model);
    const index = constantIndex(model, 99);
    await attach(context, index, { referenceWeight: 1 });
    index.dispose();
    expect(await generate(context.getSequence(), prompt, 5)).toEqual(Array(5).fill(99));
});

it("a disposed context takes its attachment with it, and the next one at its address is a stranger", async () => {
    const model = await noiseModel();
    const plain = await generate((await contextOf(model)).getSequence(), prompt, 5);
    const context = await contextOf(model);
    const attachment = await attach(context, constantIndex(model, 99), { referenceWeight: 1 });
    await generate(context.getSequence(), prompt, 5);
    await context.dispose();
    expect(attachment.attached).toBe(false);
    expect(attachment.stats.merged).toBe(5);
    expect(tap().llamaUsers()).toBe(0);
    for (let i = 0; i < 4; i++) {
        const next = await contextOf(model);
        expect(await generate(next.getSequence(), prompt, 5)).toEqual(plain);
        await next.dispose();
    }
    expect(() => attachment.set({ k: 3 })).toThrow(expect.objectContaining({ code: "ERR_RTD_CLOSED" }));
    attachment.detach();
});

it("a context that is freed without a word from JavaScript is seen by llama_free", async () => {
    const model = await noiseModel();
    const context = await contextOf(model);
    const witness = await contextOf(model); // keeps the hooks in place
    const attachment = await attach(context, constantIndex(model, 99), { referenceWeight: 1 });
    await attach(witness, constantIndex(model, 98), { referenceWeight: 1 });
    await createRecorder(context);
    expect(tap().llamaUsers()).toBe(3);
    await (context as unknown as { _ctx: { dispose(): Promise<void> } })._ctx.dispose();
    expect(tap().llamaUsers()).toBe(1);
    expect(() => attachment.set({ k: 3 })).toThrow(expect.objectContaining({ code: "ERR_RTD_CLOSED" }));
    // The next contexts may get its address: none of them has inherited anything.
    for (let i = 0; i < 4; i++) {
        const next = await contextOf(model);
        expect(await generate(next.getSequence(), prompt, 2)).not.toContain(99);
    }
    attachment.detach();
    expect(tap().llamaUsers()).toBe(1);
});

it("detach gives the context back as it was, and may come twice, before or after disposal", async () => {
    const model = await noiseModel();
    const context = await contextOf(model);
    const sequence = context.getSequence();
    const plain = await generate(sequence, prompt, 5);
    const inner = (context as unknown as { _ctx: object })._ctx;
    const attachment = await attach(context, constantIndex(model, 99), { referenceWeight: 1 });
    expect(Object.hasOwn(inner, "decodeBatch")).toBe(true);
    await generate(sequence, prompt, 5);
    attachment.detach();
    attachment.detach();
    expect(Object.hasOwn(inner, "decodeBatch")).toBe(false);
    expect(await generate(sequence, prompt, 5)).toEqual(plain);
    expect(attachment.stats).toMatchObject({ decodes: 5, merged: 5 });
    await context.dispose();
    attachment[Symbol.dispose]();
});

it("detaching under a function that somebody has put over ours leaves theirs", async () => {
    const model = await noiseModel();
    const context = await contextOf(model);
    const sequence = context.getSequence();
    const plain = await generate(sequence, prompt, 5);
    const attachment = await attach(context, constantIndex(model, 99), { referenceWeight: 1 });
    const inner = (context as unknown as { _ctx: { decodeBatch: (this: void) => Promise<void> } })._ctx;
    const ours = inner.decodeBatch;
    let calls = 0;
    inner.decodeBatch = () => {
        calls++;
        return ours();
    };
    attachment.detach();
    expect(await generate(sequence, prompt, 5)).toEqual(plain);
    expect(calls).toBe(5);
});

it("the last user restores every redirected slot", async () => {
    const model = await noiseModel();
    const context = await contextOf(model);
    await generate(context.getSequence(), prompt, 1); // all that is lazily bound in a decode is bound
    const before = slots();
    const attachments = [await attach(context, constantIndex(model, 99)), await createRecorder(await contextOf(model))] as const;
    const during = slots();
    expect(during.filter((line, i) => line !== before[i]).length).toBe(5);
    attachments[0].detach();
    expect(slots()).toEqual(during);
    await attachments[1].dispose();
    expect(slots()).toEqual(before);
});

/** What every pointer-sized word in the writable, file-backed memory of the addon and libllama holds: where the tables of calls lie. */
function slots(): string[] {
    const words: string[] = [];
    const memory = readFileSync("/proc/self/maps", "utf8").split("\n");
    for (const line of memory) {
        const found = /^(\w+)-(\w+) rw-p .*\/(llama-addon\.node|libllama\.[^/]*so)$/.exec(line);
        if (found === null) continue;
        const [begin, end] = [parseInt(found[1]!, 16), parseInt(found[2]!, 16)];
        const bytes = readMemory(begin, end - begin);
        for (let at = 0; at < bytes.length; at += 8) words.push(bytes.readBigUInt64LE(at).toString(16));
    }
    expect(words.length).toBeGreaterThan(1000);
    return words;
}

function readMemory(begin: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    const memory = openSync("/proc/self/mem", "r");
    try {
        expect(readSync(memory, bytes, 0, length, begin)).toBe(length);
    } finally {
        closeSync(memory);
    }
    return bytes;
}
