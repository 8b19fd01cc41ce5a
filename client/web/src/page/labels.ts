// Labels as people write them: team=films, size=big.

/** Reads labels; `"wrong"` where one has no `=`. What keys may hold the server knows. */
export function readLabels(text: string): Record<string, string> | "wrong" {
  const written = text
    .split(/[,\n]/)
    .map((one) => one.trim())
    .filter((one) => one !== "");
  const labels: Record<string, string> = {};
  for (const one of written) {
    const at = one.indexOf("=");
    if (at < 1) {
      return "wrong";
    }
    labels[one.slice(0, at).trim()] = one.slice(at + 1).trim();
  }
  return labels;
}

/** Labels in the same words. */
export function labelsInWords(labels: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(labels).sort(([one], [other]) => (one < other ? -1 : 1));
  return sorted.map(([key, value]) => `${key}=${value}`).join(", ");
}

/** The ids in a text, however they are kept apart. */
export function readIds(text: string): string[] {
  return text.split(/[\s,;]+/).filter((id) => id !== "");
}
