/** How a report looks: light or dark as the reader's system is, on a phone as on a desktop, and on paper. Every text is at least 4.5 to 1 on its ground. */
export const style = `
:root {
    color-scheme: light dark;
    --page: #f5f6f8;
    --ground: #ffffff;
    --ink: #16191d;
    --muted: #545c66;
    --rule: #dfe3e8;
    --other: #6b7480;
    --own: #0b5fa5;
    --heat: #3f8fd0;
}
@media (prefers-color-scheme: dark) {
    :root {
        --page: #0f1215;
        --ground: #181c21;
        --ink: #e9ecef;
        --muted: #a5aeb8;
        --rule: #343b43;
        --other: #97a1ac;
        --own: #74b8f5;
        --heat: #2568a8;
    }
}
* { box-sizing: border-box; }
body {
    margin: 0;
    background: var(--page);
    color: var(--ink);
    font: 16px/1.5 system-ui, sans-serif;
    overflow-wrap: anywhere;
    -webkit-text-size-adjust: 100%;
}
main { max-width: 58rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .75rem; }
h2 { font-size: 1.15rem; line-height: 1.3; margin: 0 0 .75rem; }
p { margin: 0 0 .75rem; max-width: 42rem; }
section { background: var(--ground); border: 1px solid var(--rule); border-radius: .6rem; padding: 1.1rem 1.1rem .6rem; margin: 1rem 0; }
footer, figcaption, .axis-title, .panel-title { color: var(--muted); font-size: .875rem; }
footer p { margin: 0; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .3rem 1.25rem; margin: 0 0 .6rem; }
dt { color: var(--muted); }
dd { margin: 0; }
figure { margin: 0 0 1.1rem; }
figcaption { margin-bottom: .5rem; font-weight: 600; }
.axis-title { margin: 0 0 .5rem; }
.beside-axis { padding-left: 3.4rem; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(12.5rem, 1fr)); gap: 1.25rem 1rem; align-items: end; }
.panel-title { margin: 0 0 .6rem; }
.panel-title strong { display: block; color: var(--ink); }
.panel .beside-axis { padding-left: 2.6rem; padding-right: .6rem; }
svg { display: block; overflow: visible; font: 13px system-ui, sans-serif; font-variant-numeric: tabular-nums; }
svg text { fill: var(--ink); paint-order: stroke; stroke: var(--ground); stroke-width: 4px; stroke-linejoin: round; }
svg .axis, svg .value { fill: var(--muted); }
svg .own .name, svg text.own { font-weight: 600; }
svg .own .value, svg text.own { fill: var(--ink); }
svg text.other { fill: var(--muted); }
.value, .end { text-anchor: end; }
.middle { text-anchor: middle; }
.grid { stroke: var(--rule); }
.zero { stroke: var(--muted); stroke-width: 1.5px; }
.interval { stroke: var(--other); stroke-width: 3px; stroke-linecap: round; }
.curve { stroke: var(--other); stroke-width: 1.5px; stroke-linecap: round; }
.dot { fill: var(--other); stroke: var(--ground); stroke-width: 1.5px; }
.own .interval, .panel .interval { stroke: var(--own); }
.own .curve { stroke: var(--own); stroke-width: 2.5px; }
.own .dot, .panel .dot, .beside-axis > svg > .dot { fill: var(--own); }
.scroll { overflow-x: auto; margin: 0 0 1rem; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--own); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .9375rem; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: .4rem .75rem; text-align: right; vertical-align: bottom; border-bottom: 1px solid var(--rule); white-space: nowrap; }
thead th { color: var(--muted); font-weight: 600; font-size: .875rem; white-space: normal; min-width: 4.5rem; }
tbody th { text-align: left; font-weight: 400; position: sticky; left: 0; background: var(--ground); padding-left: 0; }
details { margin: .6rem 0 0; }
summary { cursor: pointer; color: var(--muted); font-size: .875rem; margin-bottom: .5rem; }
.heat th { max-width: 9rem; overflow: hidden; text-overflow: ellipsis; }
.heat td { min-width: 3rem; border: 2px solid var(--ground); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.heat tbody td { background: color-mix(in srgb, var(--heat) calc(var(--share) * 100%), var(--ground)); }
.heat .right { font-weight: 700; outline: 1.5px solid var(--ink); outline-offset: -3px; }
.heat .none { color: var(--muted); }
@media (max-width: 34rem) {
    dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
    dd { margin-bottom: .5rem; }
    section { padding: .9rem .85rem .4rem; }
    .beside-axis { padding-left: 2.9rem; }
    .range { display: none; }
    .panels { grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
}
@media print {
    body { background: none; }
    section { border: 0; padding: 0; break-inside: avoid; }
}
`;
