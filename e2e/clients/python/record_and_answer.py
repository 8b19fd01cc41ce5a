"""Records everybody in a room, each to a file of their own, and answers whoever speaks with a tone.

    PARLOR_ADDR=127.0.0.1:50051 PARLOR_TOKEN=… python record_and_answer.py ROOM SECONDS
"""

import math, os, queue, struct, sys, threading, wave
from pathlib import Path

sys.path[:0] = ["stubs", str(Path(__file__).resolve().parents[2] / "gen" / "python")]
import grpc
from parlor.v1 import voice_sessions_pb2 as voice, voice_sessions_pb2_grpc as calls

FRAME = 960  # samples in 20 ms at 48 kHz
tone = [struct.pack("<h", int(8000 * math.sin(math.tau * 880 * sample / 48000))) for sample in range(48000)]
answer = [b"".join(tone[at : at + FRAME]) for at in range(0, 24000, FRAME)]  # half a second

room, seconds = sys.argv[1], float(sys.argv[2])
token = [("authorization", f"Bearer {os.environ['PARLOR_TOKEN']}")]
parlor = calls.VoiceSessionServiceStub(grpc.insecure_channel(os.environ["PARLOR_ADDR"]))
joined = parlor.Connect(voice.ConnectRequest(room_id=room), metadata=token)
session, lease = joined.session.session_id, joined.lease.lease_id

mono = voice.AudioFormat(encoding=voice.AUDIO_ENCODING_PCM_S16LE, channels=1)
listen, speak = voice.ListenOptions(format=mono), voice.SpeakOptions(format=mono)
said = queue.SimpleQueue()
said.put(voice.StreamAudioRequest(open=voice.OpenAudio(session_id=session, lease_id=lease, listen=listen, speak=speak)))
stream = parlor.StreamAudio(iter(said.get, None), metadata=token)
threading.Timer(seconds, stream.cancel).start()
files, position = {}, {}
try:
    for message in stream:
        if message.WhichOneof("body") != "frame":
            continue
        frame, now = message.frame, message.frame.receive_time.ToNanoseconds() * 48 // 10**6
        if not files:
            began = now  # every file begins here, on the server's clock: they can be laid side by side
        if frame.user_id not in files:
            file = files[frame.user_id] = wave.open(f"{frame.user_id}.wav", "wb")
            file.setparams((1, 2, 48000, 0, "NONE", ""))
            position[frame.user_id] = 0
            for audio in answer:
                said.put(voice.StreamAudioRequest(frame=voice.SourceFrame(audio=audio)))
            said.put(voice.StreamAudioRequest(finish=voice.FinishSpeaking()))
        silence = now - began - position[frame.user_id]
        if silence > 5 * FRAME or not position[frame.user_id]:  # less than that is the network's trembling
            files[frame.user_id].writeframes(bytes(2 * silence))
            position[frame.user_id] += silence
        files[frame.user_id].writeframes(frame.audio)
        position[frame.user_id] += FRAME
except grpc.RpcError as error:
    if error.code() != grpc.StatusCode.CANCELLED:
        raise
for user, file in files.items():
    file.close()
    print(user, f"{position[user] / 48000:.1f} s")
parlor.Disconnect(voice.DisconnectRequest(session_id=session, lease_id=lease), metadata=token)
