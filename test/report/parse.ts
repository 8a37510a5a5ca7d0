/** A strict reader of well-formed markup, apart from what writes it: every tag closed in its order, attributes quoted and given once, no stray < or &. */

export interface Node {
    name: string;
    attributes: Record<string, string>;
    children: (Node | string)[];
}

export function parse(markup: string): Node {
    const text = markup.replace(/^<!DOCTYPE html>\n/, "");
    const root: Node = { name: "", attributes: {}, children: [] };
    const open = [root];
    let at = 0;
    while (at < text.length) {
        const rest = text.slice(at);
        const here = open.at(-1)!;
        const end = /^<\/([a-z0-9]+)>/i.exec(rest);
        const start = /^<([a-z][a-z0-9]*)((?: [a-z][a-z0-9-]*="[^"<]*")*)( \/)?>/i.exec(rest);
        const plain = /^[^<]+/.exec(rest);
        if (end) {
            if (open.pop()!.name !== end[1]) throw new Error(`</${end[1]}> closes <${here.name}>`);
        } else if (start) {
            const pairs = [...start[2]!.matchAll(/ ([a-z][a-z0-9-]*)="([^"]*)"/gi)].map(([, name, value]) => [
                name!,
                decoded(value!),
            ]);
            const node: Node = { name: start[1]!, attributes: Object.fromEntries(pairs) as Record<string, string>, children: [] };
            if (Object.keys(node.attributes).length !== pairs.length) throw new Error(`an attribute twice: ${start[0]}`);
            here.children.push(node);
            if (start[3] === undefined) open.push(node);
        } else if (plain) here.children.push(here.name === "style" ? plain[0] : decoded(plain[0]));
        else throw new Error(`not well-formed at ${JSON.stringify(rest.slice(0, 60))}`);
        at += (end ?? start ?? plain)![0].length;
    }
    if (open.length !== 1) throw new Error(`<${open.at(-1)!.name}> is not closed`);
    return root;
}

const entities: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };

function decoded(text: string): string {
    return text.replaceAll(/&([^;]*;?)/g, (_, name: string) => {
        const character = entities[name.replace(/;$/, "")];
        if (character === undefined || !name.endsWith(";")) throw new Error(`a stray & before ${name.slice(0, 20)}`);
        return character;
    });
}

/** All nodes of a name, in the order of the text. */
export function all(node: Node, name: string): Node[] {
    return node.children.flatMap((child) =>
        typeof child === "string" ? [] : [...(child.name === name ? [child] : []), ...all(child, name)],
    );
}

export function everyNode(node: Node): Node[] {
    return node.children.flatMap((child) => (typeof child === "string" ? [] : [child, ...everyNode(child)]));
}

export function textOf(node: Node | string): string {
    return typeof node === "string" ? node : node.children.map(textOf).join("");
}

/** The cells of a table, row by row. */
export function cellsOf(table: Node): string[][] {
    return all(table, "tr").map((row) => row.children.map(textOf));
}

/** The section of a page under a heading. */
export const sectionOf = (page: Node, title: string): Node =>
    all(page, "section").find((one) => textOf(all(one, "h2")[0]!) === title)!;
