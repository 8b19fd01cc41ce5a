"""Follows SubscribeVoiceEvents with grpcio's generated stubs and prints one JSON object a line.

    PARLOR_ADDR=127.0.0.1:50051 PARLOR_TOKEN=… python subscribe.py --guild ID [--cursor C] [--count N]

Runs until --count events came (without --count: until stdin is closed) or the call ends. The lines are described in ../README.md.
To follow for good, store each `cursor` after acting on its frame, and pass the last one when you call again.
"""

import argparse
import json
import os
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "gen" / "python"))

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from parlor.v1 import rooms_pb2 as rooms
from parlor.v1 import voice_events_pb2 as events
from parlor.v1.voice_events_pb2_grpc import VoiceEventServiceStub


def main():
    args = arguments()
    request = events.SubscribeVoiceEventsRequest(
        guild_ids=args.guild,
        channel_ids=args.room,
        kinds=[f"VOICE_EVENT_KIND_{kind.upper()}" for kind in args.kind],
        filter_id=args.filter_id,
        gap_policy=f"GAP_POLICY_{args.gap.upper()}",
    )
    if args.cursor:
        request.cursor = args.cursor
    elif args.start:
        request.start_at = events.StartAt.Value(f"START_AT_{args.start.upper()}")
    if args.heartbeat:
        request.heartbeat.CopyFrom(Duration(seconds=args.heartbeat))

    with grpc.insecure_channel(os.environ["PARLOR_ADDR"]) as channel:
        call = VoiceEventServiceStub(channel).SubscribeVoiceEvents(
            request, metadata=[("authorization", f"Bearer {os.environ['PARLOR_TOKEN']}")]
        )
        if args.count is None:
            threading.Thread(target=cancel_when_stdin_closes, args=[call], daemon=True).start()
        try:
            return follow(call, args.count)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.CANCELLED and call.cancelled():
                return finish({"end": "stdin"}, 0)
            return finish(described(error), 1)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--guild", action="append", default=[])
    parser.add_argument("--room", action="append", default=[])
    parser.add_argument("--kind", action="append", default=[], help="participant_joined and so on")
    parser.add_argument("--cursor", default="")
    parser.add_argument("--filter-id", default="")
    parser.add_argument("--start", choices=["snapshot", "latest"])
    parser.add_argument("--gap", choices=["reset", "fail"], default="reset")
    parser.add_argument("--heartbeat", type=int, metavar="SECONDS")
    parser.add_argument("--count", type=int, metavar="N")
    return parser.parse_args()


def cancel_when_stdin_closes(call):
    while sys.stdin.read(1):
        pass
    call.cancel()


def follow(call, count):
    """Prints frames until the call ends, and checks that no position is missing between them."""
    held = None
    seen = 0
    for frame in call:
        print_line(line(frame))
        body = frame.WhichOneof("body")
        if body in ("hello", "reset"):
            held = None
        if not frame.cursor:
            continue
        if held is not None and body != "snapshot_end" and frame.prev_sequence != held:
            call.cancel()
            return finish({"gap": {"held": held, "prev": frame.prev_sequence}}, 3)
        held = frame.sequence
        seen += body in ("event", "discontinuity")
        if count is not None and seen >= count:
            call.cancel()
            return finish({"end": "count"}, 0)
    return finish({"end": "server"}, 0)


def line(frame):
    # A newer server may say things that this program was not generated for: they are passed over, never an error.
    name = frame.WhichOneof("body") or "unknown"
    body = getattr(frame, name, None)
    position = {"frame": name, "sequence": frame.sequence, "prev": frame.prev_sequence, "cursor": frame.cursor}
    match name:
        case "hello":
            return {
                "frame": name,
                "epoch": body.epoch,
                "head": body.head_sequence,
                "oldest": body.oldest_sequence,
                "filter_id": body.filter_id,
                "upstream": upstream(body.upstream_state),
                "resumed": body.resumed,
                "heartbeat": body.heartbeat.seconds,
            }
        case "snapshot_begin":
            return {"frame": name, "at": body.at_sequence}
        case "snapshot_items":
            return {
                "frame": name,
                "guilds": [guild.guild_id for guild in body.guilds],
                "rooms": [
                    {
                        "guild": room.guild_id,
                        "room": room.room_id,
                        "name": room.display_name,
                        "state": named(rooms.Room.State, "STATE_", room.state),
                    }
                    for room in body.rooms
                ],
                "participants": [
                    {"guild": somebody.guild_id, "room": somebody.room_id, "user": somebody.user_id}
                    for somebody in body.participants
                ],
            }
        case "snapshot_end":
            return position | {
                "guilds": body.guild_count,
                "rooms": body.room_count,
                "participants": body.participant_count,
                "digest": body.digest,
            }
        case "event":
            return position | event(body)
        case "discontinuity":
            return position | {
                "guild": body.guild_id,
                "reason": named(events.Discontinuity.Reason, "REASON_", body.reason),
                "from": getattr(body, "from").ToJsonString(),
                "to": body.to.ToJsonString(),
            }
        case "bookmark":
            return position | {"upstream": upstream(body.upstream_state)}
        case "reset":
            return {
                "frame": name,
                "reason": named(events.Reset.Reason, "REASON_", body.reason),
                "oldest": body.oldest_sequence,
            }
        case "draining":
            return position | {"reconnect_after": seconds(body.reconnect_after)}
        case _:
            return position


def event(body):
    kind = body.WhichOneof("kind") or "unknown"
    change = getattr(body, kind, None)
    room = user = ""
    if kind.startswith("room_"):
        room = change.room.room_id
    elif kind.startswith("participant_"):
        room, user = change.participant.room_id, change.participant.user_id
    return {
        "kind": kind,
        "origin": named(events.Origin, "ORIGIN_", body.origin),
        "guild": body.guild_id,
        "room": room,
        "user": user,
        "from": change.from_room_id if kind == "participant_moved" else "",
    }


def upstream(state):
    return named(events.UpstreamState, "UPSTREAM_STATE_", state)


def named(enum, prefix, number):
    return enum.Name(number).removeprefix(prefix).lower() if number in enum.values() else "unknown"


def seconds(duration):
    exact = duration.seconds + duration.nanos / 1e9
    return int(exact) if exact.is_integer() else exact


def described(error):
    """The code of an error, and what google.rpc.ErrorInfo says about it."""
    info = ErrorInfo()
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        if detail.Is(ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
    return {
        "error": {
            "code": error.code().name,
            "reason": info.reason,
            "metadata": dict(sorted(info.metadata.items())),
            "message": error.details(),
        }
    }


def print_line(content):
    print(json.dumps(content, ensure_ascii=False, separators=(",", ":")), flush=True)


def finish(content, code):
    print_line(content)
    return code


if __name__ == "__main__":
    # The thread that waits for stdin may be inside a read, which an ordinary exit would wait for.
    code = main()
    sys.stdout.flush()
    os._exit(code)
