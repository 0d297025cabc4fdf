/* What the live figures' scripts find on a page: types for `make lint`, no page loads them. */
interface Live {
  INKS: Record<Ink, { color: string; dash: number[]; width: number }>;
  figure(name: string, build: (stage: Stage) => void): void;
  chart(canvas: Canvas, axes: { x: Axis; y: Axis }): Chart;
  number(value: number, decimals: number): string;
  linspace(low: number, high: number, count: number): number[];
  float32(text: string): Float32Array;
  peak(slider: Movable, fromWidth: (width: number) => number): Movable;
  either(choose: () => Movable): Movable;
  [other: string]: any;
}

interface Window {
  VAE_LIVE: Live;
  VAE_WEIGHTS: any;
  VAE_MNIST: any;
  VAE_SPECTRUM: any;
  VAE_DIGITS: any;
  VAE_BITS: any;
  VAE_FRAMEWORK: any;
  VAE_LECTURE: any;
  VAE_SEARCH: any;
  VAE_PASSAGES: any;
  VAE_PREVIEWS: any;
  MathJax: any;
}
