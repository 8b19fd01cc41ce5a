import type { ComponentChildren, VNode } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

interface DialogProps {
  title: string;
  /** The visitor wants it gone, with Escape for example. */
  onClose: () => void;
  onSubmit: () => void;
  children: ComponentChildren;
}

/** A modal form. The browser keeps the focus inside, and gives it back afterwards. */
export function Dialog({ title, onClose, onSubmit, children }: DialogProps): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  // Before the browser paints, and before the dialog leaves the page: only then does the focus go back where it was.
  useLayoutEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    return () => shown?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          onSubmit();
        }}
      >
        <h2 id="dialog-title">{title}</h2>
        {children}
      </form>
    </dialog>
  );
}
