import type { VNode } from "preact";

import type { Result } from "./batch.ts";
import { refusal } from "./words.ts";

interface ResultsProps {
  results: readonly Result[];
  /** How many there will be. */
  of: number;
  /** What was done to those that succeeded, such as `created`. */
  done: string;
}

/** How far a batch is, and what became of each item. */
export function Results({ results, of, done }: ResultsProps): VNode {
  const failed = results.filter(({ error }) => error !== undefined).length;
  return (
    <div class="results">
      <progress max={of} value={results.length} aria-label="Progress" />
      <p role="status">
        {results.length} of {of}
        {failed > 0 && `, ${failed} failed`}
      </p>
      <ul tabIndex={0} aria-label="Results">
        {results.map(({ name, error, link }, index) => (
          <li key={index} class={error ? "wrong" : undefined}>
            <strong>{name}</strong> {error ? `– ${inWords(error)}` : done}
            {link && (
              <>
                {": "}
                <InviteLink url={link} />
              </>
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}

/** An invite, to be opened or copied. */
export function InviteLink({ url }: { url: string }): VNode {
  return (
    <a href={url} target="_blank" rel="noreferrer">
      {url}
    </a>
  );
}

function inWords(error: NonNullable<Result["error"]>): string {
  const fields = error.wrongFields.map(({ field, description }) => `${field} ${description}`);
  return fields.length > 0 ? fields.join("; ") : refusal(error);
}
