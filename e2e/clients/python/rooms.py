"""Creates, shows, lists and ends rooms with grpcio's generated stubs; prints the answer as one line of JSON.

    PARLOR_ADDR=127.0.0.1:50051 PARLOR_TOKEN=… python rooms.py create --guild ID --name Workshop
    … rooms.py get --room ID | list [--guild ID] [--managed-only] | end --room ID [--force] | guilds

The lines, errors included, are described in ../README.md.
"""

import argparse
import json
import os
import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "gen" / "python"))

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status
from parlor.v1 import rooms_pb2 as rooms
from parlor.v1.rooms_pb2_grpc import RoomServiceStub

DEADLINE_SECONDS = 20


def main():
    args = arguments()
    with grpc.insecure_channel(os.environ["PARLOR_ADDR"]) as channel:
        service = RoomServiceStub(channel)

        def call(method, request):
            token = [("authorization", f"Bearer {os.environ['PARLOR_TOKEN']}")]
            return getattr(service, method)(request, metadata=token, timeout=DEADLINE_SECONDS)

        try:
            answer, code = args.run(call, args), 0
        except grpc.RpcError as error:
            answer, code = described(error), 1
    print(json.dumps(answer, ensure_ascii=False, separators=(",", ":")))
    return code


def arguments():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("create")
    command.set_defaults(run=create)
    command.add_argument("--guild", required=True)
    command.add_argument("--name", required=True)
    command.add_argument("--kind", choices=["voice", "stage"], default="voice")
    command.add_argument("--category", default="")
    command.add_argument("--user-limit", type=int, default=0)
    command.add_argument("--bitrate", type=int, default=0, metavar="BPS")
    command.add_argument("--request-id", default="", help="a UUID; the same one makes a repeat safe")
    command.add_argument("--reason", default="", help="for the guild's audit log")
    command = commands.add_parser("get")
    command.set_defaults(run=get)
    command.add_argument("--room", required=True)
    command = commands.add_parser("list")
    command.set_defaults(run=list_all)
    command.add_argument("--guild", default="")
    command.add_argument("--managed-only", action="store_true")
    command.add_argument("--page-size", type=int, default=0)
    command = commands.add_parser("end")
    command.set_defaults(run=end)
    command.add_argument("--room", required=True)
    command.add_argument("--force", action="store_true")
    command.add_argument("--reason", default="")
    command = commands.add_parser("guilds")
    command.set_defaults(run=guilds)
    command.add_argument("--page-size", type=int, default=0)
    return parser.parse_args()


def create(call, args):
    answer = call(
        "CreateRoom",
        rooms.CreateRoomRequest(
            guild_id=args.guild,
            display_name=args.name,
            kind=f"ROOM_KIND_{args.kind.upper()}",
            category_id=args.category,
            user_limit=args.user_limit,
            bitrate_bps=args.bitrate,
            request_id=args.request_id or str(uuid.uuid4()),
            audit_log_reason=args.reason,
        ),
    )
    return {"room": shown(answer.room), "cursor": answer.cursor, "request_id": answer.request_id}


def get(call, args):
    return {"room": shown(call("GetRoom", rooms.GetRoomRequest(room_id=args.room)).room)}


def list_all(call, args):
    request = rooms.ListRoomsRequest(guild_id=args.guild, page_size=args.page_size, managed_only=args.managed_only)
    return {"rooms": [shown(room) for page in pages(call, "ListRooms", request) for room in page.rooms]}


def end(call, args):
    answer = call(
        "EndRoom",
        rooms.EndRoomRequest(
            room_id=args.room, force=args.force, request_id=str(uuid.uuid4()), audit_log_reason=args.reason
        ),
    )
    return {"room": shown(answer.room), "already_gone": answer.already_gone, "cursor": answer.cursor}


def guilds(call, args):
    found = [
        guild
        for page in pages(call, "ListGuilds", rooms.ListGuildsRequest(page_size=args.page_size))
        for guild in page.guilds
    ]
    return {
        "guilds": [
            {"guild": guild.guild_id, "name": guild.display_name, "available": guild.available, "rooms": guild.room_count}
            for guild in found
        ]
    }


def pages(call, method, request):
    while True:
        page = call(method, request)
        yield page
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def shown(room):
    return {
        "room": room.room_id,
        "guild": room.guild_id,
        "name": room.display_name,
        "kind": named(rooms.RoomKind, "ROOM_KIND_", room.kind),
        "state": named(rooms.Room.State, "STATE_", room.state),
        "managed": room.managed,
        "category": room.category_id,
        "user_limit": room.user_limit,
        "bitrate_bps": room.bitrate_bps,
        "participants": room.participant_count,
    }


def named(enum, prefix, number):
    return enum.Name(number).removeprefix(prefix).lower() if number in enum.values() else "unknown"


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


if __name__ == "__main__":
    sys.exit(main())
