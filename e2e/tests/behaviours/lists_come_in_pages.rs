//! A list that does not fit a page comes in several: nothing twice, nothing missing, in order.

use discord_emulator::{NewChannel, OTHER_GUILD, PARLOR_DEV};
use parlor_client::v1;
use parlor_e2e::House;
use tonic::Code;
use tonic_types::StatusExt as _;

#[tokio::test(flavor = "multi_thread")]
async fn rooms() {
    let house = House::start().await;
    let mut watcher = house.watch().await;
    house.emulator.world(|world| {
        for number in 0..9 {
            let guild = if number % 3 == 0 { OTHER_GUILD } else { PARLOR_DEV };
            world.create_channel(guild, NewChannel::voice(&format!("Room {number}"))).expect("there is room");
        }
    });
    watcher.until_it_sees_the_truth(&house).await;
    let mut client = house.parlor().await.rooms();
    let whole = v1::ListRoomsRequest { page_size: 1_000, ..Default::default() };
    let whole = client.list_rooms(whole).await.expect("listed").into_inner();
    assert!(whole.rooms.len() >= 9 && whole.next_page_token.is_empty());
    let place = |room: &v1::Room| -> (u64, u64) {
        (room.guild_id.parse().expect("an id"), room.room_id.parse().expect("an id"))
    };
    assert!(whole.rooms.is_sorted_by_key(place), "by guild, then by room");

    for size in [1, 2, 5] {
        let (mut request, mut pages, mut listed) =
            (v1::ListRoomsRequest { page_size: size, ..Default::default() }, 0, Vec::new());
        loop {
            let page = client.list_rooms(request.clone()).await.expect("listed").into_inner();
            pages += 1;
            assert!(page.rooms.len() <= usize::try_from(size).expect("small"), "a page of {size}");
            listed.extend(page.rooms);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(listed, whole.rooms, "in pages of {size}");
        assert_eq!(pages, whole.rooms.len().div_ceil(usize::try_from(size).expect("small")));
    }
    // A page belongs to its question.
    let first = v1::ListRoomsRequest { page_size: 2, ..Default::default() };
    let token = client.list_rooms(first).await.expect("listed").into_inner().next_page_token;
    let other = v1::ListRoomsRequest { page_size: 2, page_token: token, managed_only: true, ..Default::default() };
    let refused = client.list_rooms(other).await.expect_err("another question");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.get_details_bad_request().expect("a BadRequest").field_violations[0].field, "page_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn guilds() {
    let house = House::start().await;
    let bot = house.emulator.bot(house.bot_token()).expect("it is logged in");
    house.emulator.world(|world| {
        for number in 0..3 {
            let guild = world.create_guild(&format!("Guild {number}"));
            world.add_bot(guild, bot);
        }
    });
    let mut client = house.parlor().await.rooms();
    let whole = parlor_e2e::soon("the new guilds", async {
        loop {
            let request = v1::ListGuildsRequest { page_size: 1_000, ..Default::default() };
            let whole = client.list_guilds(request).await.expect("listed").into_inner().guilds;
            if whole.len() == 5 && whole.iter().all(|guild| guild.available) {
                return whole;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (mut request, mut pages, mut listed) =
        (v1::ListGuildsRequest { page_size: 2, ..Default::default() }, 0, Vec::new());
    loop {
        let page = client.list_guilds(request.clone()).await.expect("listed").into_inner();
        pages += 1;
        listed.extend(page.guilds);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!((pages, listed), (3, whole));
}
