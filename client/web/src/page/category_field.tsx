import type { VNode } from "preact";
import { useEffect, useState } from "preact/hooks";

import { ChannelKind, type CallError, type Channel, type Parlor } from "../client/index.ts";
import { Field, wrongAbout } from "./field.tsx";

interface CategoryFieldProps {
  parlor: Parlor;
  guildId: string;
  /** The category's id; empty for none. */
  value: string;
  error: CallError | undefined;
  onValue: (categoryId: string) => void;
}

/** What is known of a guild's categories. */
type Known =
  | { readonly state: "asking" }
  | { readonly state: "told"; readonly categories: readonly Channel[] }
  | { readonly state: "untold" };

/** The category that a room stands in, of those that the guild has. Discord is asked for them. */
export function CategoryField({ parlor, guildId, value, error, onValue }: CategoryFieldProps): VNode {
  const [known, setKnown] = useState<Known>({ state: "asking" });
  useEffect(() => {
    let isShown = true;
    const tell = (told: Known): void => {
      if (isShown) {
        setKnown(told);
      }
    };
    parlor.listChannels(guildId, [ChannelKind.CATEGORY]).then(
      (categories) => tell({ state: "told", categories }),
      () => tell({ state: "untold" }),
    );
    return () => {
      isShown = false;
    };
  }, [parlor, guildId]);

  const categories = known.state === "told" ? known.categories : [];
  const isListed = value === "" || categories.some(({ channelId }) => channelId === value);
  const untold = known.state === "untold" ? "Which categories there are cannot be found out now." : undefined;
  return (
    <Field label="Category" name="category_id" wrong={wrongAbout(error, "category_id", "This category") ?? untold}>
      {(described) => (
        <select {...described} value={value} onChange={(event) => onValue(event.currentTarget.value)}>
          <option value="">None</option>
          {!isListed && <option value={value}>As it is</option>}
          {categories.map(({ channelId, displayName }) => (
            <option key={channelId} value={channelId}>
              {displayName}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
