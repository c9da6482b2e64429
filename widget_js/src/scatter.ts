/**
 * Draws documents as dots into the pixels of an image. A dot is a small stamp of coverages, so 100,000 of
 * them are some million additions: a few milliseconds, with no graphics card and no code made at run time.
 */

import type { Viewport } from "./viewport";

export type Rgb = readonly [number, number, number];

export interface Dots {
  /** x0, y0, x1, y1, …; NaN where a document has no place. */
  places: Float32Array;
  /** The colour of each document, as a place in `colors`. */
  groups: Uint8Array;
  colors: readonly Rgb[];
  /** 1 where a document is selected; null when all are. The others are drawn first, in `faint`. */
  selected: Uint8Array | null;
  faint: Rgb;
  paper: Rgb;
}

interface Stamp {
  size: number;
  /** 0 to 256, row by row. */
  coverage: Uint16Array;
}

/** The radius in CSS pixels that keeps dots apart, by how many there are and how far one has zoomed in. */
export function radiusOf(nDots: number, zoomed: number): number {
  const base = Math.min(4.5, Math.max(1.3, 130 / Math.sqrt(Math.max(nDots, 1))));
  return Math.min(7, base * Math.max(1, zoomed) ** 0.35);
}

/**
 * Fills `pixels` (RGBA, width × height of the viewport times `density`).
 *
 * @param radius of a dot in CSS pixels.
 * @param density device pixels per CSS pixel.
 */
export function draw(pixels: Uint8ClampedArray, view: Viewport, density: number, radius: number, dots: Dots): void {
  const width = Math.round(view.width * density);
  const height = Math.round(view.height * density);
  const words = new Uint32Array(pixels.buffer, pixels.byteOffset, pixels.length >>> 2);
  words.fill(packed(dots.paper));
  const { places, groups, selected } = dots;
  const scale = view.scale * density;
  const left = width / 2 - view.x * scale;
  const top = height / 2 + view.y * scale;
  const nDots = groups.length;
  if (selected !== null) {
    const stamp = stampOf(radius * density * 0.85);
    for (let row = 0; row < nDots; row++) {
      if (selected[row] === 1) continue;
      const x = left + (places[2 * row] as number) * scale;
      const y = top - (places[2 * row + 1] as number) * scale;
      press(words, width, height, x, y, stamp, dots.faint);
    }
  }
  const stamp = stampOf(radius * density);
  for (let row = 0; row < nDots; row++) {
    if (selected !== null && selected[row] === 0) continue;
    const x = left + (places[2 * row] as number) * scale;
    const y = top - (places[2 * row + 1] as number) * scale;
    press(words, width, height, x, y, stamp, dots.colors[groups[row] as number] as Rgb);
  }
}

/** One word per pixel, little-endian as every machine with a browser is: alpha, blue, green, red. */
function packed([r, g, b]: Rgb): number {
  return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
}

function press(words: Uint32Array, width: number, height: number, x: number, y: number, stamp: Stamp, rgb: Rgb): void {
  const { size, coverage } = stamp;
  const x0 = Math.round(x - size / 2);
  const y0 = Math.round(y - size / 2);
  // Also false for NaN: a document without a place is not drawn.
  if (!(x0 > -size && y0 > -size && x0 < width && y0 < height)) return;
  const full = packed(rgb);
  const [r, g, b] = rgb;
  const [fromX, toX] = [Math.max(0, -x0), Math.min(size, width - x0)];
  const [fromY, toY] = [Math.max(0, -y0), Math.min(size, height - y0)];
  for (let j = fromY; j < toY; j++) {
    let at = (y0 + j) * width + x0 + fromX;
    for (let i = fromX; i < toX; i++, at++) {
      const cover = coverage[j * size + i] as number;
      if (cover === 256) {
        words[at] = full;
      } else if (cover !== 0) {
        const under = words[at] as number;
        const [ur, ug, ub] = [under & 255, (under >>> 8) & 255, (under >>> 16) & 255];
        words[at] =
          (0xff000000 |
            ((ub + (((b - ub) * cover) >> 8)) << 16) |
            ((ug + (((g - ug) * cover) >> 8)) << 8) |
            (ur + (((r - ur) * cover) >> 8))) >>>
          0;
      }
    }
  }
}

/** A disc: how much of each pixel it covers, from the distance of the pixel's middle to its edge. */
function stampOf(radius: number): Stamp {
  const size = Math.max(1, Math.ceil(radius * 2));
  const coverage = new Uint16Array(size * size);
  for (let j = 0; j < size; j++) {
    for (let i = 0; i < size; i++) {
      const distance = Math.hypot(i + 0.5 - size / 2, j + 0.5 - size / 2);
      coverage[j * size + i] = Math.round(256 * Math.min(1, Math.max(0, radius + 0.5 - distance)));
    }
  }
  return { size, coverage };
}

/** A colour as a browser computes it: rgb(…), color(srgb …) or #rrggbb. */
export function rgbOf(css: string): Rgb {
  const hex = /^#([0-9a-f]{6})$/i.exec(css.trim());
  if (hex !== null) {
    const n = Number.parseInt(hex[1] as string, 16);
    return [n >> 16, (n >> 8) & 255, n & 255];
  }
  const numbers = (css.match(/[\d.]+(?:e-?\d+)?/g) ?? []).map(Number);
  const [r = 128, g = 128, b = 128] = numbers;
  return css.startsWith("color(") ? [Math.round(r * 255), Math.round(g * 255), Math.round(b * 255)] : [r, g, b];
}

/** A mixture: `share` of the first. */
export function mixed(a: Rgb, b: Rgb, share: number): Rgb {
  return [0, 1, 2].map((i) => Math.round((a[i] as number) * share + (b[i] as number) * (1 - share))) as unknown as Rgb;
}
