"""Records everybody in a room, each to a file of their own, and answers whoever speaks with a tone:
PARLOR_ADDR=127.0.0.1:50051 PARLOR_TOKEN=… python record_and_answer.py ROOM SECONDS"""

import math, os, queue, struct, sys, wave

sys.path[:0] = ["stubs", os.path.join(os.path.dirname(__file__), "../../gen/python")]
import grpc
from parlor.v1 import voice_sessions_pb2 as voice, voice_sessions_pb2_grpc as calls

RATE, FRAME = 48_000, 960  # samples in a second, and in 20 ms
tone = [struct.pack("<h", int(8000 * math.sin(math.tau * 880 * at / RATE))) for at in range(RATE // 2)]
token = [("authorization", f"Bearer {os.environ['PARLOR_TOKEN']}")]
parlor = calls.VoiceSessionServiceStub(grpc.insecure_channel(os.environ["PARLOR_ADDR"]))
joined = parlor.Connect(voice.ConnectRequest(room_id=sys.argv[1]), metadata=token)
ids = {"session_id": joined.session.session_id, "lease_id": joined.lease.lease_id}
mono = {"format": voice.AudioFormat(encoding=voice.AUDIO_ENCODING_PCM_S16LE, channels=1)}
said, files, began = queue.SimpleQueue(), {}, None
said.put(voice.StreamAudioRequest(open=voice.OpenAudio(**ids, listen=mono, speak=mono)))
heard = parlor.StreamAudio(iter(said.get, None), metadata=token, timeout=float(sys.argv[2]))
try:
    for frame in (message.frame for message in heard if message.HasField("frame")):
        now = frame.receive_time.ToNanoseconds() * RATE // 10**9
        began = began or now  # every file begins here, on the server's clock: they can be laid side by side
        if frame.user_id not in files:
            files[frame.user_id] = wave.open(f"{frame.user_id}.wav", "wb")
            files[frame.user_id].setparams((1, 2, RATE, 0, "NONE", ""))
            for at in range(0, len(tone), FRAME):
                said.put(voice.StreamAudioRequest(frame=voice.SourceFrame(audio=b"".join(tone[at : at + FRAME]))))
            said.put(voice.StreamAudioRequest(finish=voice.FinishSpeaking()))
        file = files[frame.user_id]
        gap = now - began - file.tell()
        trembling = 5 * FRAME if file.tell() else 0  # of the network: no silence
        file.writeframes(bytes(2 * gap if gap > trembling else 0) + frame.audio)
except grpc.RpcError as error:
    if error.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
        raise
for user, file in files.items():
    print(user, f"{file.tell() / RATE:.1f} s")
    file.close()
parlor.Disconnect(voice.DisconnectRequest(**ids), metadata=token)
