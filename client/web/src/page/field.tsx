import type { VNode } from "preact";

import type { CallError } from "../client/index.ts";

/** What ties an input to its field. */
export interface Described {
  readonly name: string;
  readonly "aria-invalid": boolean;
  readonly "aria-describedby": string | undefined;
}

interface FieldProps {
  label: string;
  name: string;
  /** What is wrong about it. */
  wrong: string | undefined;
  children: (described: Described) => VNode;
}

/** An input with its label, and with what is wrong about it. */
export function Field({ label, name, wrong, children }: FieldProps): VNode {
  const id = `wrong-${name}`;
  return (
    <div class="field">
      <label>
        {label}
        {children({ name, "aria-invalid": wrong !== undefined, "aria-describedby": wrong && id })}
      </label>
      {wrong && (
        <p class="wrong" id={id}>
          {wrong}
        </p>
      )}
    </div>
  );
}

interface TextFieldProps {
  label: string;
  name: string;
  wrong: string | undefined;
  value: string;
  onValue: (value: string) => void;
  maxLength?: number;
  numeric?: boolean;
  autoFocus?: boolean;
  placeholder?: string;
}

/** A field for one line of text. */
export function TextField({ label, name, wrong, value, onValue, maxLength, numeric, autoFocus, placeholder }: TextFieldProps): VNode {
  return (
    <Field label={label} name={name} wrong={wrong}>
      {(described) => (
        <input
          {...described}
          type="text"
          inputMode={numeric ? "numeric" : "text"}
          maxLength={maxLength ?? 2_000}
          autocomplete="off"
          autoFocus={autoFocus ?? false}
          placeholder={placeholder ?? ""}
          value={value}
          onInput={(event) => {
            const typed = event.currentTarget.value;
            onValue(numeric ? typed.replace(/\D/g, "") : typed);
          }}
        />
      )}
    </Field>
  );
}

/** What the server says about a field, as a sentence; its words go on where the field's name ends. */
export function wrongAbout(error: CallError | undefined, field: string, called: string): string | undefined {
  const found = error?.wrongFields.find((one) => one.field === field || one.field.startsWith(`${field}[`));
  return found && `${called} ${found.description}.`;
}
