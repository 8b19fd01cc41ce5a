import { defineConfig } from "vitest/config";

// Where `npm run watch` finds a Parlor; the built page asks whoever served it.
const PARLOR = "http://127.0.0.1:50051";

export default defineConfig({
  build: {
    // Cleared by the build script: cargo watches the folder, so it has to stay.
    emptyOutDir: false,
    // No file becomes a data: URL, and no script is inlined: the page's Content-Security-Policy allows its own files alone.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/parlor.v1.": PARLOR } },
  test: { include: ["tests/**/*.test.ts"] },
});
