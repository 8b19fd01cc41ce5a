// What a call can end with, by what the caller may do about it.

import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import type { ItemFailure } from "../gen/parlor/v1/rooms_pb.ts";

/** A field that the server did not accept. */
export interface WrongField {
  /** Its path in the request, such as `display_name` or `guild_ids[2]`. */
  readonly field: string;
  /** What is wrong about it. */
  readonly description: string;
}

/** A call that the server did not carry out. */
export class CallError extends Error {
  override readonly name = "CallError";

  private constructor(
    /** The gRPC code. */
    readonly code: Code,
    /** `ErrorInfo.reason`, such as `ROOM_UNKNOWN`; empty where the server gave none. The contract's comments list them. */
    readonly reason: string,
    /** The server's words. */
    message: string,
    /** What the reason is about. */
    readonly metadata: Readonly<Record<string, string>>,
    /** Every field that was wrong. */
    readonly wrongFields: readonly WrongField[],
    /** After how many milliseconds a repeat makes sense, where the server says. */
    readonly retryAfterMs: number | undefined,
    cause: unknown,
  ) {
    super(message, { cause });
  }

  /** Reads what a call has thrown. */
  static from(thrown: unknown): CallError {
    if (thrown instanceof CallError) {
      return thrown;
    }
    const failure = ConnectError.from(thrown);
    const [info] = failure.findDetails(ErrorInfoSchema);
    const [request] = failure.findDetails(BadRequestSchema);
    const [retry] = failure.findDetails(RetryInfoSchema);
    return new CallError(
      failure.code,
      info?.reason ?? "",
      failure.rawMessage,
      { ...info?.metadata },
      (request?.fieldViolations ?? []).map(({ field, description }) => ({ field, description })),
      retry?.retryDelay && durationMs(retry.retryDelay),
      thrown,
    );
  }

  /** Reads why one item of a batch failed. */
  static ofItem(failure: ItemFailure): CallError {
    return new CallError(
      failure.code as Code,
      failure.reason,
      failure.message,
      { ...failure.metadata },
      failure.fieldViolations.map(({ field, description }) => ({ field, description })),
      failure.retryAfter && durationMs(failure.retryAfter),
      failure,
    );
  }

  /** Whether the same call may succeed later, with nothing changed by the caller. */
  get isPassing(): boolean {
    return !LASTING.has(this.code);
  }
}

/** Codes that repeating alone does not mend. */
const LASTING: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.PermissionDenied,
  Code.FailedPrecondition,
  Code.OutOfRange,
  Code.Unimplemented,
  Code.Unauthenticated,
]);
