// Creates a room and prints what happens in it next, with Debian's gRPC C++ and generated stubs.
//
//     PARLOR_ADDR=127.0.0.1:50051 PARLOR_TOKEN=… rooms_and_events GUILD NAME [--snapshot]
//
// Prints CreateRoom's answer, then the frames of SubscribeVoiceEvents from the answer's cursor on (with --snapshot: from a
// snapshot on), and ends after the first event or discontinuity. The lines are described in ../README.md.

#include <google/protobuf/util/time_util.h>
#include <grpcpp/grpcpp.h>

#include <cctype>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "parlor/v1/rooms.grpc.pb.h"
#include "parlor/v1/voice_events.grpc.pb.h"

namespace {

namespace v1 = parlor::v1;

// Writes one JSON object, keys in the order of the calls.
class Json {
 public:
  Json& Raw(const std::string& key, const std::string& value) {
    text_ += (text_.empty() ? "" : ",") + Quoted(key) + ":" + value;
    return *this;
  }
  Json& Text(const std::string& key, const std::string& value) { return Raw(key, Quoted(value)); }
  Json& Number(const std::string& key, uint64_t value) { return Raw(key, std::to_string(value)); }
  Json& Flag(const std::string& key, bool value) { return Raw(key, value ? "true" : "false"); }
  std::string Done() const { return "{" + text_ + "}"; }

  static std::string Quoted(const std::string& value) {
    std::string quoted = "\"";
    for (const char c : value) {
      if (c == '"' || c == '\\') {
        quoted += '\\';
        quoted += c;
      } else if (static_cast<unsigned char>(c) < 0x20) {
        char escape[7];
        std::snprintf(escape, sizeof escape, "\\u%04x", c);
        quoted += escape;
      } else {
        quoted += c;
      }
    }
    return quoted + "\"";
  }

 private:
  std::string text_;
};

template <typename Items, typename Show>
std::string Array(const Items& items, Show show) {
  std::string all;
  for (const auto& item : items) all += (all.empty() ? "" : ",") + show(item);
  return "[" + all + "]";
}

void Print(const Json& json) { std::cout << json.Done() << std::endl; }

// "UPSTREAM_STATE_LIVE" without its prefix is "live"; a number that this program was not generated for has no name.
std::string Named(const std::string& prefix, const std::string& name) {
  if (name.size() <= prefix.size()) return "unknown";
  std::string bare = name.substr(prefix.size());
  for (char& c : bare) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return bare;
}

std::string Upstream(v1::UpstreamState state) { return Named("UPSTREAM_STATE_", v1::UpstreamState_Name(state)); }

std::string State(const v1::Room& room) { return Named("STATE_", v1::Room::State_Name(room.state())); }

std::string Seconds(const google::protobuf::Duration& duration) {
  std::ostringstream text;
  text.precision(12);
  text << static_cast<double>(duration.seconds()) + duration.nanos() / 1e9;
  return text.str();
}

Json RoomJson(const v1::Room& room) {
  Json json;
  json.Text("room", room.room_id())
      .Text("guild", room.guild_id())
      .Text("name", room.display_name())
      .Text("kind", Named("ROOM_KIND_", v1::RoomKind_Name(room.kind())))
      .Text("state", State(room))
      .Flag("managed", room.managed())
      .Text("category", room.category_id())
      .Number("user_limit", room.user_limit())
      .Number("bitrate_bps", room.bitrate_bps())
      .Number("participants", room.participant_count());
  return json;
}

// The name of the field that is set in a oneof, or "unknown" for one that this program was not generated for.
std::string SetIn(const google::protobuf::Message& message, const std::string& oneof) {
  const auto* descriptor = message.GetDescriptor()->FindOneofByName(oneof);
  const auto* field = message.GetReflection()->GetOneofFieldDescriptor(message, descriptor);
  return field == nullptr ? "unknown" : field->name();
}

void AddEvent(const v1::VoiceEvent& event, Json& json) {
  v1::Room room;
  v1::Participant who;
  std::string from;
  switch (event.kind_case()) {
    case v1::VoiceEvent::kRoomCreated: room = event.room_created().room(); break;
    case v1::VoiceEvent::kRoomUpdated: room = event.room_updated().room(); break;
    case v1::VoiceEvent::kRoomEnded: room = event.room_ended().room(); break;
    case v1::VoiceEvent::kParticipantJoined: who = event.participant_joined().participant(); break;
    case v1::VoiceEvent::kParticipantLeft: who = event.participant_left().participant(); break;
    case v1::VoiceEvent::kParticipantMoved:
      who = event.participant_moved().participant();
      from = event.participant_moved().from_room_id();
      break;
    case v1::VoiceEvent::kParticipantUpdated: who = event.participant_updated().participant(); break;
    case v1::VoiceEvent::kGuildUpdated: break;
    case v1::VoiceEvent::KIND_NOT_SET: break;
  }
  json.Text("kind", SetIn(event, "kind"))
      .Text("origin", Named("ORIGIN_", v1::Origin_Name(event.origin())))
      .Text("guild", event.guild_id())
      .Text("room", room.room_id().empty() ? who.room_id() : room.room_id())
      .Text("user", who.user_id())
      .Text("from", from);
}

Json FrameJson(const v1::SubscribeVoiceEventsResponse& frame) {
  Json json;
  json.Text("frame", SetIn(frame, "body"));
  const auto position = [&]() -> Json& {
    return json.Number("sequence", frame.sequence()).Number("prev", frame.prev_sequence()).Text("cursor", frame.cursor());
  };
  switch (frame.body_case()) {
    case v1::SubscribeVoiceEventsResponse::kHello: {
      const auto& hello = frame.hello();
      json.Text("epoch", hello.epoch())
          .Number("head", hello.head_sequence())
          .Number("oldest", hello.oldest_sequence())
          .Text("filter_id", hello.filter_id())
          .Text("upstream", Upstream(hello.upstream_state()))
          .Flag("resumed", hello.resumed())
          .Raw("heartbeat", Seconds(hello.heartbeat()));
      break;
    }
    case v1::SubscribeVoiceEventsResponse::kSnapshotBegin:
      json.Number("at", frame.snapshot_begin().at_sequence());
      break;
    case v1::SubscribeVoiceEventsResponse::kSnapshotItems: {
      const auto& items = frame.snapshot_items();
      json.Raw("guilds", Array(items.guilds(), [](const auto& guild) { return Json::Quoted(guild.guild_id()); }))
          .Raw("rooms", Array(items.rooms(),
                              [](const auto& room) {
                                return Json()
                                    .Text("guild", room.guild_id())
                                    .Text("room", room.room_id())
                                    .Text("name", room.display_name())
                                    .Text("state", State(room))
                                    .Done();
                              }))
          .Raw("participants", Array(items.participants(), [](const auto& who) {
                 return Json()
                     .Text("guild", who.guild_id())
                     .Text("room", who.room_id())
                     .Text("user", who.user_id())
                     .Done();
               }));
      break;
    }
    case v1::SubscribeVoiceEventsResponse::kSnapshotEnd:
      position()
          .Number("guilds", frame.snapshot_end().guild_count())
          .Number("rooms", frame.snapshot_end().room_count())
          .Number("participants", frame.snapshot_end().participant_count())
          .Text("digest", frame.snapshot_end().digest());
      break;
    case v1::SubscribeVoiceEventsResponse::kEvent:
      AddEvent(frame.event(), position());
      break;
    case v1::SubscribeVoiceEventsResponse::kDiscontinuity:
      position()
          .Text("guild", frame.discontinuity().guild_id())
          .Text("reason", Named("REASON_", v1::Discontinuity::Reason_Name(frame.discontinuity().reason())))
          .Text("from", google::protobuf::util::TimeUtil::ToString(frame.discontinuity().from()))
          .Text("to", google::protobuf::util::TimeUtil::ToString(frame.discontinuity().to()));
      break;
    case v1::SubscribeVoiceEventsResponse::kBookmark:
      position().Text("upstream", Upstream(frame.bookmark().upstream_state()));
      break;
    case v1::SubscribeVoiceEventsResponse::kReset:
      json.Text("reason", Named("REASON_", v1::Reset::Reason_Name(frame.reset().reason())))
          .Number("oldest", frame.reset().oldest_sequence());
      break;
    case v1::SubscribeVoiceEventsResponse::kDraining:
      position().Raw("reconnect_after", Seconds(frame.draining().reconnect_after()));
      break;
    case v1::SubscribeVoiceEventsResponse::BODY_NOT_SET:
      position();
      break;
  }
  return json;
}

std::string CodeName(grpc::StatusCode code) {
  static const char* const kNames[] = {
      "OK",           "CANCELLED",           "UNKNOWN",   "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
      "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
      "UNIMPLEMENTED", "INTERNAL",           "UNAVAILABLE", "DATA_LOSS",      "UNAUTHENTICATED"};
  return kNames[code];
}

// The code of an error, and what google.rpc.ErrorInfo says about it.
Json ErrorJson(const grpc::Status& status) {
  google::rpc::ErrorInfo info;
  google::rpc::Status rich;
  if (rich.ParseFromString(status.error_details())) {
    for (const auto& detail : rich.details()) {
      if (detail.Is<google::rpc::ErrorInfo>()) detail.UnpackTo(&info);
    }
  }
  Json metadata;
  for (const auto& [key, value] : std::map<std::string, std::string>(info.metadata().begin(), info.metadata().end())) {
    metadata.Text(key, value);
  }
  Json error;
  error.Text("code", CodeName(status.error_code()))
      .Text("reason", info.reason())
      .Raw("metadata", metadata.Done())
      .Text("message", status.error_message());
  Json json;
  json.Raw("error", error.Done());
  return json;
}

// The token goes into every call's metadata. A deadline bounds what should be quick; a subscription has none.
void Prepare(grpc::ClientContext& context, std::optional<std::chrono::seconds> deadline) {
  context.AddMetadata("authorization", "Bearer " + std::string(std::getenv("PARLOR_TOKEN")));
  if (deadline) context.set_deadline(std::chrono::system_clock::now() + *deadline);
}

int Follow(v1::VoiceEventService::Stub& events, const v1::SubscribeVoiceEventsRequest& request) {
  grpc::ClientContext context;
  Prepare(context, std::nullopt);
  const auto stream = events.SubscribeVoiceEvents(&context, request);
  v1::SubscribeVoiceEventsResponse frame;
  while (stream->Read(&frame)) {
    Print(FrameJson(frame));
    if (frame.has_event() || frame.has_discontinuity()) {
      context.TryCancel();
      Print(Json().Text("end", "count"));
      return EXIT_SUCCESS;
    }
  }
  const grpc::Status status = stream->Finish();
  Print(status.ok() ? Json().Text("end", "server") : ErrorJson(status));
  return status.ok() ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) {
  const bool snapshot = argc == 4 && std::string(argv[3]) == "--snapshot";
  if ((argc != 3 && !snapshot) || !std::getenv("PARLOR_ADDR") || !std::getenv("PARLOR_TOKEN")) {
    std::cerr << "usage: PARLOR_ADDR=host:port PARLOR_TOKEN=jwt " << argv[0] << " GUILD NAME [--snapshot]\n";
    return 2;
  }
  const auto channel = grpc::CreateChannel(std::getenv("PARLOR_ADDR"), grpc::InsecureChannelCredentials());
  const auto rooms = v1::RoomService::NewStub(channel);
  const auto events = v1::VoiceEventService::NewStub(channel);

  v1::CreateRoomRequest create;
  create.set_guild_id(argv[1]);
  create.set_display_name(argv[2]);
  v1::CreateRoomResponse created;
  grpc::ClientContext context;
  Prepare(context, std::chrono::seconds(20));
  if (const grpc::Status status = rooms->CreateRoom(&context, create, &created); !status.ok()) {
    Print(ErrorJson(status));
    return EXIT_FAILURE;
  }
  Print(Json()
            .Raw("room", RoomJson(created.room()).Done())
            .Text("cursor", created.cursor())
            .Text("request_id", created.request_id()));

  v1::SubscribeVoiceEventsRequest subscribe;
  if (snapshot) {
    subscribe.add_guild_ids(argv[1]);
  } else {
    subscribe.add_channel_ids(created.room().room_id());
    subscribe.set_cursor(created.cursor());
  }
  return Follow(*events, subscribe);
}
