"""Follows who is in which room for good: comes back after every disconnect, and proves that nothing is missing.

    PARLOR_ADDR=127.0.0.1:50051 PARLOR_TOKEN=… python follow.py CURSOR_FILE
"""

import os, random, sys, time
from pathlib import Path

sys.path[:0] = ["stubs", str(Path(__file__).resolve().parents[2] / "gen" / "python")]
import grpc
from parlor.v1 import voice_events_pb2 as voice, voice_events_pb2_grpc as calls


def frames(cursor):
    token = [("authorization", f"Bearer {os.environ['PARLOR_TOKEN']}")]
    alive = [("grpc.keepalive_time_ms", 20_000)]
    tries = 0
    while True:
        position = None
        try:
            with grpc.insecure_channel(os.environ["PARLOR_ADDR"], alive) as channel:
                request = voice.SubscribeVoiceEventsRequest(cursor=cursor)
                for frame in calls.VoiceEventServiceStub(channel).SubscribeVoiceEvents(request, metadata=token):
                    if frame.WhichOneof("body") == "reset":
                        position = None  # a snapshot follows: it replaces everything that is known
                    if frame.cursor:
                        if position not in (None, frame.prev_sequence):
                            break  # something is missing: come back with the last good cursor
                        position, tries = frame.sequence, 0
                    yield frame
                    cursor = frame.cursor or cursor
        except grpc.RpcError as error:
            if error.code().name not in ("UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED"):  # CANCELLED: we read too slowly
                raise
        time.sleep(random.uniform(0, min(30, 2**tries)))
        tries += 1


kept = Path(sys.argv[1] if len(sys.argv) > 1 else "cursor")
for frame in frames(kept.read_text() if kept.exists() else ""):
    if frame.WhichOneof("body") == "event":
        print(frame.sequence, frame.event.WhichOneof("kind"), flush=True)
    if frame.cursor:
        new = kept.with_suffix(".new")  # after the frame was dealt with: at worst one comes twice, none is lost
        new.write_text(frame.cursor), new.replace(kept)  # whole or not at all, whatever ends the program
