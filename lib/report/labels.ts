/** Where names stand beside what they name in a plot: near it, and not on each other, on dots or on curves. */

export interface Label {
    name: string;
    /** What it names: x from 0 to 1, y in pixels. */
    x: number;
    y: number;
    isOwn: boolean;
}

type Anchor = "start" | "middle" | "end";

export interface PlacedLabel extends Label {
    anchor: Anchor;
    /** Of the text's base line. */
    base: number;
    /** Pixels to the right of x. */
    aside: number;
}

/** Pixels: of a narrow screen's plot, where room is scarcest; of a character and a line of text. */
const width = 300;
const characterWidth = 7;
const lineHeight = 18;

/** The nearest first: above, below, at the sides, and further above and below. */
function placesOf({ x, y }: Label): Pick<PlacedLabel, "anchor" | "base" | "aside">[] {
    const inside: Anchor = x > 0.7 ? "end" : x < 0.3 ? "start" : "middle";
    const upright = (distances: readonly number[]) =>
        distances.map((distance) => ({ anchor: inside, base: y + distance, aside: 0 }));
    return [
        ...upright([-12, 24]),
        { anchor: "start", base: y + 4, aside: 12 },
        { anchor: "end", base: y + 4, aside: -12 },
        ...upright([-30, 42, -48, 60]),
    ];
}

interface Box {
    left: number;
    right: number;
    top: number;
    bottom: number;
}

/** dots and curves: points, x from 0 to 1, y in pixels. The first labels choose first. */
export function placeLabels(
    labels: readonly Label[],
    dots: readonly [number, number][],
    curves: readonly [number, number][][],
    height: number,
): PlacedLabel[] {
    const points = curves.flatMap(sampled);
    const taken: Box[] = [];
    return labels.map((label) => {
        const cost = (place: ReturnType<typeof placesOf>[number]) => {
            const box = boxOf({ ...label, ...place });
            const isOutside = box.top < 0 || box.bottom > height || box.left < -1 || box.right > width + 1;
            const on = (some: readonly [number, number][], margin: number) =>
                some.filter(([x, y]) => overlaps(box, around(x * width, y, margin))).length;
            const names = taken.filter((other) => overlaps(box, other)).length;
            return (isOutside ? 1e6 : 0) + 1e4 * names + 1e2 * on(dots, 7) + on(points, 2);
        };
        const place = placesOf(label).reduce((best, other) => (cost(other) < cost(best) ? other : best));
        const placed = { ...label, ...place };
        taken.push(boxOf(placed));
        return placed;
    });
}

function boxOf({ name, x, anchor, base, aside }: PlacedLabel): Box {
    const length = name.length * characterWidth;
    const left = x * width + aside - (anchor === "start" ? 0 : anchor === "end" ? length : length / 2);
    return { left, right: left + length, top: base - lineHeight + 5, bottom: base + 4 };
}

const around = (x: number, y: number, margin: number): Box => ({
    left: x - margin,
    right: x + margin,
    top: y - margin,
    bottom: y + margin,
});

const overlaps = (a: Box, b: Box): boolean => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

/** Points along a curve, a few pixels apart. */
function sampled(curve: readonly [number, number][]): [number, number][] {
    return curve.slice(1).flatMap(([x, y], i) => {
        const [fromX, fromY] = curve[i] as [number, number];
        const steps = Math.max(1, Math.ceil(Math.max(Math.abs(x - fromX) * width, Math.abs(y - fromY)) / 4));
        return Array.from({ length: steps }, (_, j): [number, number] => [
            fromX + ((x - fromX) * j) / steps,
            fromY + ((y - fromY) * j) / steps,
        ]);
    });
}
