//! People make channels, too, and with the same names: Parlor takes and ends none of theirs, whatever it cannot find out.

use std::time::Duration;

use discord_emulator::{ANN, ChannelId, Fault, NewChannel, PARLOR_DEV, Permissions, RestFault, RestTrouble, Work};
use parlor_client::{CallError, Parlor, v1};
use parlor_e2e::{House, soon};
use tonic::Code;

const CREATE: &str = "POST /guilds/{guild.id}/channels";

fn request(name: &str, number: u32) -> v1::CreateRoomRequest {
    v1::CreateRoomRequest {
        guild_id: PARLOR_DEV.to_string(),
        display_name: name.to_owned(),
        request_id: format!("00000000-0000-4000-8000-{number:012}"),
        ..Default::default()
    }
}

/// The connection breaks while Discord is asked for the next channel.
fn cut(house: &House, work: Work) {
    house.emulator.inject(Fault::Rest(RestFault::new(RestTrouble::Cut { work }).on(CREATE).times(1)));
}

/// The bot has everything that rooms need but View Audit Log.
fn blind(house: &House) {
    let enough = Permissions::VIEW_CHANNEL | Permissions::CONNECT | Permissions::MANAGE_CHANNELS;
    let bot = house.emulator.bot(house.bot_token()).expect("it is logged in");
    house.emulator.world(|world| world.set_bot_permissions(PARLOR_DEV, bot, enough));
}

/// Ann makes a voice channel with Discord's defaults.
fn ann_makes(house: &House, name: &str) -> ChannelId {
    house.emulator.world(|world| world.create_channel_by(ANN, PARLOR_DEV, NewChannel::voice(name))).expect("made")
}

fn channels(house: &House, name: &str) -> Vec<String> {
    house.emulator.world(|world| world.channels_named(name).map(|channel| channel.id.to_string()).collect())
}

async fn managed(parlor: &Parlor) -> Vec<String> {
    let request = v1::ListRoomsRequest { managed_only: true, ..Default::default() };
    parlor.list_rooms(request).await.expect("listed").into_iter().map(|room| room.room_id).collect()
}

/// Nobody knows whose it is: that is what the caller hears, and no more is done.
async fn left_alone(house: &House, parlor: &Parlor, asked: v1::CreateRoomRequest, room: &str) {
    let name = asked.display_name.clone();
    let error: CallError = parlor.create_room(asked).await.expect_err("nothing proves whose it is");
    assert_eq!((error.code, error.reason.as_deref()), (Code::Unknown, Some("CREATE_OUTCOME_UNKNOWN")), "{error}");
    assert_eq!(error.metadata.get("room_ids").map(String::as_str), Some(room), "it is named");
    assert_eq!(channels(house, &name), [room], "it is there, and there is no other");
    assert_eq!(managed(parlor).await, [""; 0]);
    let seen = async {
        while parlor.get_room(room).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon("the room, as anybody's", seen).await;
    let end = v1::EndRoomRequest { room_id: room.to_owned(), ..Default::default() };
    let error = parlor.end_room(end).await.expect_err("it is not ours to end");
    assert_eq!(error.reason.as_deref(), Some("ROOM_NOT_MANAGED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_tells_whose_it_is() {
    let house = House::start().await;
    let mut watcher = house.watch().await;
    let parlor = house.parlor().await;
    let theirs = ann_makes(&house, "Squad").to_string();
    cut(&house, Work::Skipped);
    let asked = v1::CreateRoomRequest {
        policy: Some(v1::RoomPolicy {
            empty_timeout: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            ..Default::default()
        }),
        ..request("Squad", 1)
    };
    let ours = parlor.create_room(asked).await.expect("made at the second time").room_id;
    assert_ne!(ours, theirs);
    let ended = async {
        while channels(&house, "Squad").len() > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the end of ours by its policy", ended).await;
    assert_eq!(channels(&house, "Squad"), std::slice::from_ref(&theirs), "hers stays");

    // Ours is there, and so is hers: the mark tells them apart.
    let hers = ann_makes(&house, "Twins").to_string();
    cut(&house, Work::Done);
    let ours = parlor.create_room(request("Twins", 2)).await.expect("found").room_id;
    let mut both = [hers, ours.clone()];
    both.sort();
    assert_eq!(channels(&house, "Twins"), both);
    assert_eq!(managed(&parlor).await, [ours]);
    watcher.until_it_sees_the_truth(&house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_the_audit_log_does_not_speak_of_is_left() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    // Made without an entry, as if it came late.
    let made = house.emulator.world(|world| world.create_channel(PARLOR_DEV, NewChannel::voice("Late")));
    let made = made.expect("made").to_string();
    cut(&house, Work::Skipped);
    left_alone(&house, &parlor, request("Late", 1), &made).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_audit_log_nothing_that_looks_like_it_is_taken_for_it() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    blind(&house);
    let hers = ann_makes(&house, "Hers");
    cut(&house, Work::Skipped);
    left_alone(&house, &parlor, request("Hers", 1), &hers.to_string()).await;
    // Where hers is gone, nothing stands in the way.
    house.emulator.world(|world| world.delete_channel(hers)).expect("deleted");
    let room = parlor.create_room(request("Hers", 1)).await.expect("made").room_id;
    assert_eq!((channels(&house, "Hers"), managed(&parlor).await), (vec![room.clone()], vec![room]));
    assert!(house.metrics().await.contains("parlor_rooms_ambiguous_total"));
}

/// It is ours in truth; without the log that is not proven, and there is no second one.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_audit_log_a_lost_answer_stays_lost() {
    let house = House::start().await;
    let parlor = house.parlor().await;
    blind(&house);
    cut(&house, Work::Done);
    let first = parlor.create_room(request("Alone", 1)).await.expect_err("nothing proves it");
    assert_eq!(first.reason.as_deref(), Some("CREATE_OUTCOME_UNKNOWN"), "{first}");
    let [made] = channels(&house, "Alone").try_into().expect("one");
    left_alone(&house, &parlor, request("Alone", 1), &made).await;
}
