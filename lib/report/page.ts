/** A report as one HTML file that needs nothing else: no scripts, and style and plots inside. */
import type { Part, Report } from "./description.js";
import { element, Markup } from "./markup.js";
import { dotPlot, heatMap, linePlot, plainTable, reliabilityPlot } from "./plots.js";
import { style } from "./style.js";

/** What the page may load, should anything ever slip in: nothing. */
const policy = "default-src 'none'; style-src 'unsafe-inline'";

export function htmlOf({ title, summary, sections }: Report): string {
    const head = element(
        "head",
        {},
        element("meta", { charset: "utf-8" }),
        element("meta", { "http-equiv": "Content-Security-Policy", content: policy }),
        element("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }),
        element("meta", { name: "color-scheme", content: "light dark" }),
        element("title", {}, title),
        element("style", {}, new Markup(style)),
    );
    const body = element(
        "body",
        {},
        element(
            "main",
            {},
            element("header", {}, element("h1", {}, title), paragraphs(summary)),
            sections.map(({ title, parts }) => element("section", {}, element("h2", {}, title), parts.map(markupOf))),
            element("footer", {}, element("p", {}, "Made by node-rtd. Intervals are of 95%.")),
        ),
    );
    return `<!DOCTYPE html>\n${element("html", { lang: "en" }, head, body).text}\n`;
}

const paragraphs = (texts: readonly string[]): Markup[] => texts.map((text) => element("p", {}, text));

function markupOf(part: Part): Markup {
    switch (part.kind) {
        case "text":
            return element("p", {}, part.text);
        case "facts":
            return element(
                "dl",
                {},
                part.facts.map(([name, value]) =>
                    value === undefined ? undefined : [element("dt", {}, name), element("dd", {}, value)],
                ),
            );
        case "table":
            return plainTable(part);
        case "dots":
            return dotPlot(part);
        case "lines":
            return linePlot(part);
        case "heat":
            return heatMap(part);
        case "reliability":
            return reliabilityPlot(part);
    }
}
