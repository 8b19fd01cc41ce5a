// The page's icons: strokes on a grid of 24, in the colour of the text around them. What they mean is said in words
// beside them, for those who do not see them.

import type { VNode } from "preact";

const PATHS = {
  voice: "M4 14v-4M9 18V6M14 15V9M19 17V7",
  stage: "M12 3a4 4 0 0 1 4 4v4a4 4 0 0 1-8 0V7a4 4 0 0 1 4-4ZM5 11a7 7 0 0 0 14 0M12 18v3",
  muted: "M9 9v2a3 3 0 0 0 5 2.2M15 11V6a3 3 0 0 0-5.8-1M5 11a7 7 0 0 0 11 5.7M12 18v3M4 4l16 16",
  deaf: "M4 15v-3a8 8 0 0 1 13-6M20 12v3M4 14h3v5H5a1 1 0 0 1-1-1ZM4 4l16 16",
  camera: "M4 7h10v10H4ZM14 11l6-3v8l-6-3",
  stream: "M4 5h16v11H4ZM9 20h6",
  audience: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM4 21a8 8 0 0 1 16 0",
  clock: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18ZM12 7v5l3 2",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  plus: "M12 5v14M5 12h14",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14ZM20 20l-4-4",
  people: "M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM2.5 20a6.5 6.5 0 0 1 13 0M16 4.5a3.5 3.5 0 0 1 0 6M18 14.5a6.500 6.500 0 0 1 3.500 5.500",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }): VNode {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** Parlor's mark. */
export function Mark(): VNode {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M8 19v-6M13 23V9M18 20v-8M23 22V10" />
    </svg>
  );
}
