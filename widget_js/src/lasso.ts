/** Polygons drawn on the map, with no more corners than their shape needs. */

export type Point = [number, number];

/** The polygon with the corners that matter by more than `tolerance` (Ramer–Douglas–Peucker). */
export function simplify(polygon: readonly Point[], tolerance: number): Point[] {
  if (polygon.length < 4) return [...polygon];
  const kept = new Uint8Array(polygon.length);
  kept[0] = kept[polygon.length - 1] = 1;
  const parts: [number, number][] = [[0, polygon.length - 1]];
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    const [from, to] = part;
    let worst = 0;
    let at = -1;
    for (let i = from + 1; i < to; i++) {
      const off = distance(polygon[i] as Point, polygon[from] as Point, polygon[to] as Point);
      if (off > worst) [worst, at] = [off, i];
    }
    if (at >= 0 && worst > tolerance) {
      kept[at] = 1;
      parts.push([from, at], [at, to]);
    }
  }
  return polygon.filter((_, i) => kept[i] === 1);
}

/** The distance of a point from a segment. */
function distance([x, y]: Point, [ax, ay]: Point, [bx, by]: Point): number {
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const t = length === 0 ? 0 : Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / length));
  return Math.hypot(x - ax - t * dx, y - ay - t * dy);
}
