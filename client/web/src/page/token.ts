// The visitor's token: it comes in the URL's fragment, which no browser sends to a server, or is typed in; it lives as
// long as the tab.

const KEY = "parlor.token";

/** What a token says about its bearer. It is shown, never relied on: the server is the one that checks it. */
export interface Claims {
  /** Whose it is. */
  readonly subject: string;
  /** When it ends. */
  readonly expiresAt: Date | undefined;
  /** What it is good for; undefined where the token does not say it in a way that can be read. */
  readonly scopes: ReadonlySet<string> | undefined;
}

/** Takes the token out of the URL, if there is one, and removes it there at once: the address bar is not a safe place. */
export function takeFromUrl(): string | undefined {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token")?.trim();
  if (fragment.has("token")) {
    history.replaceState(null, "", location.pathname + location.search);
  }
  return token || undefined;
}

/** The token of this tab. */
export function kept(): string | undefined {
  return sessionStorage.getItem(KEY) ?? undefined;
}

/** Keeps the token for this tab, or forgets it. */
export function keep(token: string | undefined): void {
  if (token === undefined) {
    sessionStorage.removeItem(KEY);
  } else {
    sessionStorage.setItem(KEY, token);
  }
}

/** Reads the claims of a JWT (RFC 7519) without checking them. */
export function claims(token: string): Claims {
  const { sub, exp, scope } = payload(token);
  return {
    subject: typeof sub === "string" ? sub : "",
    expiresAt: typeof exp === "number" ? new Date(exp * 1_000) : undefined,
    scopes: typeof scope === "string" ? new Set(scope.split(" ")) : undefined,
  };
}

/** Whether the token allows something, as far as it says so itself. */
export function allows({ scopes }: Claims, scope: string): boolean {
  return scopes?.has(scope) ?? true;
}

function payload(token: string): Record<string, unknown> {
  try {
    const base64 = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const read: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof read === "object" && read !== null ? { ...read } : {};
  } catch {
    return {};
  }
}
