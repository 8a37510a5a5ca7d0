/** HTML and SVG from elements. Texts and attributes are escaped where they enter, so that no label, path or answer can become a tag. */

/** What stands in a page as it is. */
export class Markup {
    constructor(readonly text: string) {}
}

export type Child = Markup | string | number | undefined | readonly Child[];
export type Attributes = Readonly<Record<string, string | number | undefined>>;

/** Elements that have no content and no end tag. */
const empty = new Set(["meta"]);

/** Well-formed as XML, too. Attributes and children that are undefined are left out. */
export function element(name: string, attributes: Attributes, ...children: readonly Child[]): Markup {
    const given = Object.entries(attributes).flatMap(([key, value]) =>
        value === undefined ? [] : [` ${key}="${escaped(String(value))}"`],
    );
    const start = `<${name}${given.join("")}`;
    return new Markup(empty.has(name) ? `${start} />` : `${start}>${content(children)}</${name}>`);
}

function content(child: Child): string {
    if (child === undefined) return "";
    if (child instanceof Markup) return child.text;
    return typeof child === "object" ? child.map(content).join("") : escaped(String(child));
}

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Characters that neither HTML nor XML may hold are shown as U+FFFD. */
export function escaped(text: string): string {
    const allowed = text.replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffe\uffff]|\p{Surrogate}/gu, "\ufffd");
    return allowed.replaceAll(/[&<>"']/g, (character) => entities[character] as string);
}
