import type { VNode } from "preact";

import { time, type Entry } from "./activity.ts";

/** What has happened since the page was opened. Not read aloud as it comes: it would never stop. */
export function ActivityList({ entries }: { entries: readonly Entry[] }): VNode {
  return (
    <aside class="activity" aria-labelledby="activity">
      <h2 id="activity">Activity</h2>
      {entries.length === 0 ? (
        <p class="empty">What happens from now on is listed here.</p>
      ) : (
        <ol reversed tabIndex={0} aria-labelledby="activity">
          {entries.map((entry) => (
            <li key={entry.id}>
              <time dateTime={entry.at.toISOString()}>{time(entry.at)}</time>
              <span>
                <strong>{entry.subject}</strong> {entry.text}
                {entry.remark !== "" && <span class="quiet"> ({entry.remark})</span>}
              </span>
            </li>
          ))}
        </ol>
      )}
    </aside>
  );
}
